use std::fmt;
use std::ops::Range;

/// All problems of a recipe, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipeError {
    file: Option<String>,
    problems: Vec<Problem>,
}

/// One problem and its position.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What was found, and what would be valid.
    pub message: String,
}

impl RecipeError {
    /// Problems of a text, each with the range of bytes that it is about. They are sorted by position.
    ///
    /// Range ends beyond the end of the text, or within a character, are moved to the previous character boundary.
    #[must_use]
    pub fn new(
        file: Option<String>,
        text: &str,
        mut problems: Vec<(Range<usize>, String)>,
    ) -> Self {
        problems.sort_by_key(|(span, _)| span.start);
        let mut placed: Vec<Problem> = Vec::with_capacity(problems.len());
        for (span, message) in problems {
            let problem = Problem::at(text, &span, message);
            // A problem that both the length of the run and the model cause is reported once.
            if !placed.contains(&problem) {
                placed.push(problem);
            }
        }
        Self {
            file,
            problems: placed,
        }
    }

    pub(crate) fn of_found(file: Option<String>, text: &str, found: Vec<Found>) -> Self {
        let problems = found.into_iter().map(|found| (found.span, found.message));
        Self::new(file, text, problems.collect())
    }

    /// The name of the file, if the recipe came from one.
    #[must_use]
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    /// The problems, in the order of the file.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

/// Displays one line per problem: `file:line:column: message`.
impl fmt::Display for RecipeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.as_deref().unwrap_or("recipe");
        for (
            i,
            Problem {
                line,
                column,
                message,
            },
        ) in self.problems.iter().enumerate()
        {
            let end = if i == 0 { "" } else { "\n" };
            write!(f, "{end}{file}:{line}:{column}: {message}")?;
        }
        Ok(())
    }
}

impl std::error::Error for RecipeError {}

/// A problem at a range of bytes of the text.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) span: Range<usize>,
    pub(crate) message: String,
}

impl Problem {
    fn at(text: &str, span: &Range<usize>, message: String) -> Self {
        let before = &text[..text.floor_char_boundary(span.start)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            message,
        }
    }
}

/// Collects problems, so that reading can continue.
#[derive(Debug, Default)]
pub(crate) struct Problems(std::cell::RefCell<Vec<Found>>);

impl Problems {
    pub(crate) fn add(&self, span: &Range<usize>, message: impl fmt::Display) {
        self.0.borrow_mut().push(Found {
            span: span.clone(),
            message: message.to_string(),
        });
    }

    /// The number of problems so far.
    pub(crate) fn len(&self) -> usize {
        self.0.borrow().len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    pub(crate) fn into_inner(self) -> Vec<Found> {
        self.0.into_inner()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_counts_lines_and_characters_from_one() {
        let text = "ä = 1\nöö = x\n";
        let span = text.find('x').unwrap();
        let problem = Problem::at(text, &(span..span + 1), String::new());
        assert_eq!((problem.line, problem.column), (2, 6));
    }
}
