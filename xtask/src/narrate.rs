//! Telling a person what is going on, and a program what came of it.

use std::time::Instant;

use serde::Serialize;

/// Form of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For programs: JSON, one line each.
    Json,
}

/// Phases with their times; each line goes to standard error as it happens.
#[derive(Debug)]
pub struct Narrator {
    began: Instant,
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
        Self { began: Instant::now(), phases: Vec::new() }
    }

    /// Says something.
    pub fn say(&self, text: &str) {
        eprintln!("[{:>6.1} s] {text}", self.began.elapsed().as_secs_f64());
    }

    /// Does something and keeps its time.
    pub async fn phase<T, E>(
        &mut self,
        name: &str,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        self.say(name);
        let began = Instant::now();
        let done = work.await?;
        self.phases.push(PhaseTime { name: name.to_owned(), seconds: began.elapsed().as_secs_f64() });
        Ok(done)
    }

    /// The phases so far.
    pub fn phases(&self) -> &[PhaseTime] {
        &self.phases
    }
}
