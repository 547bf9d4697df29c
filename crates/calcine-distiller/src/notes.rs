//! What a conversion has to say: problems, and warnings.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;

use calcine_recipe::{Problem, RecipeError};

/// A message about a range of bytes of the schedule.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) span: Range<usize>,
    pub(crate) message: String,
}

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
pub(crate) struct Notes {
    problems: RefCell<Vec<Found>>,
    warnings: RefCell<Vec<Found>>,
}

impl Notes {
    /// What the schedule cannot mean.
    pub(crate) fn problem(&self, span: &Range<usize>, message: impl fmt::Display) {
        self.problems.borrow_mut().push(Found {
            span: span.clone(),
            message: message.to_string(),
        });
    }

    /// What means something else in the recipe. The same text is said once, at its first place.
    pub(crate) fn warn(&self, span: &Range<usize>, text: impl Into<String>) {
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
    pub(crate) fn finish(self, yaml: &str) -> (Vec<Found>, Vec<Warning>) {
        let mut problems: Vec<Found> = Vec::new();
        for found in self.problems.into_inner() {
            let said = |known: &Found| known.span == found.span && known.message == found.message;
            if !problems.iter().any(said) {
                problems.push(found);
            }
        }
        // An error knows how to find lines.
        let warnings = self.warnings.into_inner().into_iter();
        let warnings = warnings.map(|found| (found.span, found.message));
        let placed = RecipeError::new(None, yaml, warnings.collect());
        let warning = |problem: &Problem| Warning {
            line: problem.line,
            text: problem.message.clone(),
        };
        (problems, placed.problems().iter().map(warning).collect())
    }
}
