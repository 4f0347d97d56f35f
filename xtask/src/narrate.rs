//! Telling a person what is going on, and a program what came of it.

use std::{sync::LazyLock, time::Instant};

use serde::Serialize;

/// Form of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For programs: JSON, one line each.
    Json,
}

static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Says something, with the time since this program began, on standard error.
pub fn say(text: &str) {
    eprintln!("[{:>6.1} s] {text}", BEGAN.elapsed().as_secs_f64());
}

/// Seconds since this program began.
pub fn elapsed() -> f64 {
    BEGAN.elapsed().as_secs_f64()
}

/// Phases with their times; each line goes to standard error as it happens.
#[derive(Debug)]
pub struct Narrator {
    phases: Vec<PhaseTime>,
}

/// A phase that ended.
#[derive(Debug, Clone, Serialize)]
pub struct PhaseTime {
    /// Name.
    pub name: String,
    /// How long it took.
    pub seconds: f64,
}

impl Narrator {
    /// Begins now.
    pub fn new() -> Self {
        LazyLock::force(&BEGAN);
        Self { phases: Vec::new() }
    }

    /// Does something and keeps its time.
    pub async fn phase<T, E>(
        &mut self,
        name: &str,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        say(name);
        let began = Instant::now();
        let done = work.await?;
        self.note(name, began);
        Ok(done)
    }

    /// The same for what does not wait.
    pub fn step<T, E>(&mut self, name: &str, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        say(name);
        let began = Instant::now();
        let done = work()?;
        self.note(name, began);
        Ok(done)
    }

    fn note(&mut self, name: &str, began: Instant) {
        self.phases.push(PhaseTime { name: name.to_owned(), seconds: began.elapsed().as_secs_f64() });
    }

    /// The phases so far.
    pub fn phases(&self) -> &[PhaseTime] {
        &self.phases
    }

    /// Prints the phases with their times.
    pub fn print(&self) {
        for phase in &self.phases {
            println!("{:<14} {:>6.1} s", phase.name, phase.seconds);
        }
    }
}
