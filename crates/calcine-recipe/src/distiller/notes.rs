//! What a conversion has to say: problems, and warnings.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;

use crate::error::{Found, Problems, RecipeError};

/// Something that the recipe does otherwise than the schedule did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Warning {
    /// The line of the schedule, from 1; of the first of several that the same is true of.
    pub line: usize,
    /// What is different.
    pub text: String,
}

/// `line 12: what is different`.
impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.text)
    }
}

/// Collects while the conversion goes on.
#[derive(Debug, Default)]
pub(super) struct Notes {
    problems: Problems,
    warnings: RefCell<Vec<Found>>,
}

impl Notes {
    /// What the schedule cannot mean.
    pub(super) fn problem(&self, span: &Range<usize>, message: impl fmt::Display) {
        self.problems.add(span, message);
    }

    /// What means something else in the recipe. The same text is said once, at its first place.
    pub(super) fn warn(&self, span: &Range<usize>, text: impl Into<String>) {
        let text = text.into();
        let mut warnings = self.warnings.borrow_mut();
        match warnings.iter_mut().find(|known| known.message == text) {
            Some(known) if known.span.start <= span.start => {}
            Some(known) => known.span = span.clone(),
            None => warnings.push(Found {
                span: span.clone(),
                message: text,
            }),
        }
    }

    /// The problems, each once, and the warnings in the order of the file.
    pub(super) fn finish(self, yaml: &str) -> (Vec<Found>, Vec<Warning>) {
        let mut problems: Vec<Found> = Vec::new();
        for found in self.problems.into_inner() {
            let said = |known: &Found| known.span == found.span && known.message == found.message;
            if !problems.iter().any(said) {
                problems.push(found);
            }
        }
        // An error knows how to find lines.
        let placed = RecipeError::new(None, yaml, self.warnings.into_inner());
        let warning = |problem: &crate::error::Problem| Warning {
            line: problem.line,
            text: problem.message.clone(),
        };
        (problems, placed.problems().iter().map(warning).collect())
    }
}
