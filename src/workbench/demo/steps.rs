//! The list of steps below the picture, or line by line where there is none.

use super::judge::{Act, Grade};

/// What is done, step by step: the start and every act.
pub(super) struct Steps {
    all: Vec<Step>,
}

struct Step {
    title: &'static str,
    state: State,
}

enum State {
    Waiting,
    Running,
    Ended(Grade, String),
}

impl Steps {
    pub(super) fn new() -> Self {
        let titles = ["start both nodes"].into_iter().chain(Act::ALL.map(Act::title));
        Self { all: titles.map(|title| Step { title, state: State::Waiting }).collect() }
    }

    /// A step begins; 0 is the start.
    pub(super) fn begin(&mut self, step: usize) {
        self.set(step, State::Running);
    }

    /// A step has ended.
    pub(super) fn end(&mut self, step: usize, grade: Grade, result: String) {
        self.set(step, State::Ended(grade, result));
    }

    fn set(&mut self, step: usize, state: State) {
        if let Some(step) = self.all.get_mut(step) {
            step.state = state;
        }
    }

    /// The lines of all steps.
    pub(super) fn lines(&self) -> Vec<String> {
        (0..self.all.len()).map(|step| self.line(step)).collect()
    }

    /// The line of one step.
    pub(super) fn line(&self, step: usize) -> String {
        let Some(step) = self.all.get(step) else { return String::new() };
        let (mark, result) = match &step.state {
            State::Waiting => ("", ""),
            State::Running => (" >>", "..."),
            State::Ended(grade, result) => (grade.word(), result.as_str()),
        };
        format!("  {mark:<4}  {:<34}{result}", step.title).trim_end().to_string()
    }
}
