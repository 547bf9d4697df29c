use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::error::Kind;
use super::names::without_wrappers;

/// The names that [`LoadOptions::ignore`](super::LoadOptions::ignore) stands for.
pub(super) struct Ignored(GlobSet);

impl Ignored {
    pub(super) fn new(patterns: &[String]) -> Result<Self, Kind> {
        let mut set = GlobSetBuilder::new();
        for pattern in patterns {
            // Path elements are glob components, so that `*` stays inside one.
            let glob = GlobBuilder::new(&pattern.replace('.', "/"))
                .literal_separator(true)
                .build();
            set.add(glob.map_err(|error| Kind::Pattern {
                pattern: pattern.clone(),
                reason: error.kind().to_string(),
            })?);
        }
        let set = set.build().map_err(|error| Kind::Pattern {
            pattern: patterns.join(", "),
            reason: error.kind().to_string(),
        })?;
        Ok(Self(set))
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
                    .any(|end| self.0.is_match(name[..end].replace('.', "/")))
            })
    }
}
