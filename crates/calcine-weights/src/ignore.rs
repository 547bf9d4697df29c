use calcine_names::Pattern;

use super::error::Kind;
use super::names::without_wrappers;

/// The names that [`LoadOptions::ignore`](super::LoadOptions::ignore) stands for.
pub(super) struct Ignored(Vec<Pattern>);

impl Ignored {
    pub(super) fn new(patterns: &[String]) -> Result<Self, Kind> {
        let read = |text: &String| {
            Pattern::new(text).map_err(|error| Kind::Pattern {
                pattern: error.pattern,
                reason: error.reason,
            })
        };
        Ok(Self(patterns.iter().map(read).collect::<Result<_, _>>()?))
    }

    /// Whether a name, or the path of a module that it is in, matches a pattern, with or without wrappers.
    pub(super) fn has(&self, name: &str) -> bool {
        [name.to_owned(), without_wrappers(name)]
            .iter()
            .any(|name| {
                let ends = name
                    .match_indices('.')
                    .map(|(dot, _)| dot)
                    .chain([name.len()]);
                ends.into_iter()
                    .any(|end| self.0.iter().any(|pattern| pattern.matches(&name[..end])))
            })
    }
}
