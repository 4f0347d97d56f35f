use proptest::prelude::*;

use super::*;

/// What the world does to the processes between two looks of the supervisor.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Time(u64),
    Dies(usize),
    Answers(usize),
    FailsCheck(usize),
    Stop,
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let one = prop_oneof![
        (0u64..90_000).prop_map(Fate::Time),
        (0usize..5).prop_map(Fate::Dies),
        (0usize..5).prop_map(Fate::Answers),
        (0usize..5).prop_map(Fate::FailsCheck),
        Just(Fate::Stop),
    ];
    proptest::collection::vec(one, 0..80)
}

/// A world in which every action does what it says, and processes die as fate has it.
struct World {
    now: Instant,
    goal: Goal,
    processes: Vec<Seen>,
    /// When each was last started.
    starts: Vec<Option<Instant>>,
}

impl World {
    fn new(stages: &[u8]) -> Self {
        let now = Instant::now();
        let down = |stage: &u8| Seen { stage: *stage, state: State::Down { failures: 0, since: now } };
        Self {
            now,
            goal: Goal::Run { open: u8::MAX },
            processes: stages.iter().map(down).collect(),
            starts: vec![None; stages.len()],
        }
    }

    fn suffer(&mut self, fate: Fate) {
        let now = self.now;
        match fate {
            Fate::Time(millis) => self.now += Duration::from_millis(millis),
            Fate::Stop => self.goal = Goal::Stop,
            Fate::Dies(index) => self.change(index, |state| match state {
                State::Down { .. } => state,
                other => other.ended(now),
            }),
            Fate::Answers(index) => self.change(index, |state| state.heard(Health::Good, now)),
            Fate::FailsCheck(index) => self.change(index, |state| state.heard(Health::Bad, now)),
        }
    }

    fn change(&mut self, index: usize, change: impl FnOnce(State) -> State) {
        if let Some(process) = self.processes.get_mut(index) {
            process.state = change(process.state);
        }
    }

    /// Looks, checks what must hold for every action, and does it.
    fn look(&mut self) -> Plan {
        let plan = plan(&self.processes, self.goal, self.now);
        let seen = self.processes.clone();
        for action in &plan.actions {
            match *action {
                Action::Start(index) => {
                    let process = self.processes[index];
                    assert_ne!(self.goal, Goal::Stop, "nothing starts while stopping");
                    assert!(process.state.is_down());
                    for below in seen.iter().filter(|other| other.stage < process.stage) {
                        assert!(below.state.is_ready(), "a start before what it needs is ready");
                    }
                    if let State::Down { failures, since } = process.state
                        && self.starts[index].is_some()
                    {
                        assert!(self.now - since >= BACKOFF.delay(failures, 1.0), "a restart too early");
                    }
                    self.starts[index] = Some(self.now);
                    self.processes[index].state = process.state.started(self.now);
                }
                Action::Terminate(index) => {
                    let process = self.processes[index];
                    if self.goal == Goal::Stop {
                        for above in seen.iter().filter(|other| other.stage > process.stage) {
                            assert!(above.state.is_down(), "an end before what needs it is down");
                        }
                    }
                    self.processes[index].state = process.state.asked(Ask::Term, self.now);
                }
                Action::Kill(index) => {
                    let process = self.processes[index];
                    assert!(matches!(process.state, State::Ending { how: Ask::Term, .. }));
                    self.processes[index].state = process.state.asked(Ask::Kill, self.now);
                }
            }
        }
        if let Some(again) = plan.look_again {
            assert!(again > self.now, "a wake-up in the past would spin");
        }
        plan
    }
}

proptest! {
    /// Whatever has happened: in a world that behaves from now on, everything gets ready, or everything ends.
    #[test]
    fn comes_to_its_goal(fates in fates(), stages in proptest::collection::vec(0u8..3, 1..5)) {
        let mut world = World::new(&stages);
        for fate in fates {
            world.suffer(fate);
            world.look();
        }
        for _ in 0..200 {
            let plan = world.look();
            let ending: Vec<usize> = (0..stages.len())
                .filter(|&index| matches!(world.processes[index].state, State::Ending { .. }))
                .collect();
            for index in ending {
                world.suffer(Fate::Dies(index));
            }
            for index in 0..stages.len() {
                world.suffer(Fate::Answers(index));
            }
            if let Some(again) = plan.look_again {
                world.now = world.now.max(again.min(world.now + Duration::from_secs(31)));
            }
        }
        match world.goal {
            Goal::Run { .. } => prop_assert!(world.processes.iter().all(|seen| seen.state.is_ready())),
            Goal::Stop => prop_assert!(world.processes.iter().all(|seen| seen.state.is_down())),
        }
    }

    /// A process that is killed whenever it is ready does not come back faster and faster.
    #[test]
    fn backs_off(kills in 1u32..12) {
        let mut world = World::new(&[0]);
        let mut last = Duration::ZERO;
        world.look();
        for _ in 0..kills {
            world.suffer(Fate::Answers(0));
            world.suffer(Fate::Dies(0));
            let died = world.now;
            while world.processes[0].state.is_down() {
                if let Some(again) = world.look().look_again {
                    world.now = again;
                }
            }
            let waited = world.now - died;
            prop_assert!(waited >= last && waited <= BACKOFF.cap);
            last = waited;
        }
    }
}

#[test]
fn a_silent_process_is_started_anew_and_killed_if_it_does_not_end() {
    let mut world = World::new(&[0]);
    world.look();
    world.suffer(Fate::Answers(0));
    world.suffer(Fate::FailsCheck(0));
    assert_eq!(world.look().actions, []);
    world.now += SILENCE_LIMIT;
    assert_eq!(world.look().actions, [Action::Terminate(0)]);
    world.now += TERM_LIMIT;
    assert_eq!(world.look().actions, [Action::Kill(0)]);
}

#[test]
fn a_closed_stage_waits() {
    let mut world = World::new(&[0, 1]);
    world.goal = Goal::Run { open: 0 };
    world.look();
    world.suffer(Fate::Answers(0));
    assert_eq!(world.look().actions, []);
    world.goal = Goal::Run { open: 1 };
    assert_eq!(world.look().actions, [Action::Start(1)]);
}

#[test]
fn a_long_good_life_forgives() {
    let start = Instant::now();
    let state = State::Down { failures: 7, since: start }.started(start).heard(Health::Good, start);
    assert_eq!(state.ended(start + STABLE), State::Down { failures: 1, since: start + STABLE });
    let soon = start + STABLE / 2;
    assert_eq!(state.ended(soon), State::Down { failures: 8, since: soon });
}
