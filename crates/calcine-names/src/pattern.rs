use globset::{GlobBuilder, GlobMatcher};

/// A glob pattern for dotted names of parameters, layers or nodes.
///
/// | in a pattern | matches |
/// |---|---|
/// | `*` | any characters within one element of a name |
/// | `**` | any number of elements |
/// | `?` | one character within an element |
/// | `[abc]`, `[0-9]` | one of these characters |
/// | `{a,b}` | one of these alternatives |
///
/// Everything else matches itself, so a pattern without these characters matches exactly one name: `layer1.*.conv1` matches
/// `layer1.0.conv1` and not `layer1.0.inner.conv1`, which `layer1.**.conv1` matches too. The element `module`, which
/// data-parallel wrapping adds, is ignored on both sides where nothing matches otherwise
/// ([`matches_unwrapped`](Self::matches_unwrapped)).
///
/// # Examples
///
/// ```
/// use calcine_names::Pattern;
///
/// let pattern = Pattern::new("layer1.*.conv1")?;
/// assert!(pattern.matches("layer1.0.conv1"));
/// assert!(!pattern.matches("layer1.0.inner.conv1"));
/// assert!(!pattern.matches("layer1.0.conv1.relu"));
/// # Ok::<(), calcine_names::PatternError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    glob: GlobMatcher,
    unwrapped: GlobMatcher,
}

/// The error for a text that is not a valid pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{pattern}` is not a valid pattern: {reason}")]
#[non_exhaustive]
pub struct PatternError {
    /// The text.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Pattern {
    /// Parses a pattern.
    ///
    /// # Errors
    ///
    /// If the text is empty, a bracket is not closed, or a range of characters is reversed.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        let error = |reason: String| PatternError {
            pattern: text.to_owned(),
            reason,
        };
        if text.is_empty() {
            return Err(error("it is empty, expected a name or a glob".to_owned()));
        }
        let compiled = |text: &str| glob(text).map_err(|why| error(why.kind().to_string()));
        Ok(Self {
            glob: compiled(text)?,
            unwrapped: compiled(&without_module(text))?,
            text: text.to_owned(),
        })
    }

    /// The pattern as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the pattern matches a name. No pattern matches the empty name.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        !name.is_empty() && self.glob.is_match(elements(name))
    }

    /// Whether the pattern matches a name if the element `module` is removed from both.
    #[must_use]
    pub fn matches_unwrapped(&self, name: &str) -> bool {
        let name = without_module(name);
        !name.is_empty() && self.unwrapped.is_match(elements(&name))
    }
}

/// Path elements are glob components, so that `*` stays inside one.
fn glob(pattern: &str) -> Result<GlobMatcher, globset::Error> {
    let glob = GlobBuilder::new(&elements(pattern))
        .literal_separator(true)
        .build()?;
    Ok(glob.compile_matcher())
}

fn elements(name: &str) -> String {
    name.replace('.', "/")
}

/// The name without the path element that data-parallel wrapping adds.
fn without_module(name: &str) -> String {
    let elements: Vec<_> = name
        .split('.')
        .filter(|element| *element != "module")
        .collect();
    elements.join(".")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_star_stays_within_an_element_and_two_do_not() {
        let rows = [
            ("conv1", "conv1", true),
            ("conv1", "conv1.relu", false),
            ("conv1", "layer1.conv1", false),
            ("*", "conv1", true),
            ("*", "layer1.conv1", false),
            ("*", "", false),
            ("conv*", "conv", true),
            ("conv*", "conv1_2", true),
            ("conv*", "conv1.relu", false),
            ("*.conv1", "layer1.conv1", true),
            ("*.conv1", "conv1", false),
            ("*.conv1", "layer1.0.conv1", false),
            ("layer1.*.conv1", "layer1.0.conv1", true),
            ("layer1.*.conv1", "layer1.0.inner.conv1", false),
            ("layer1.**.conv1", "layer1.0.inner.conv1", true),
            ("layer1.**.conv1", "layer1.conv1", true),
            ("**", "layer1.0.conv1", true),
            ("**.conv1", "conv1", true),
            ("{conv1,fc}", "fc", true),
            ("layer[0-2].fc?", "layer2.fc1", true),
            ("layer[0-2].fc?", "layer3.fc1", false),
            ("layer[!0].fc", "layer0.fc", false),
        ];
        for (pattern, name, expected) in rows {
            let matches = Pattern::new(pattern).unwrap().matches(name);
            assert_eq!(matches, expected, "`{pattern}` and `{name}`");
        }
    }

    #[test]
    fn texts_that_are_no_patterns_say_why() {
        for text in ["", "{a", "[a", "[z-a]"] {
            let error = Pattern::new(text).unwrap_err();
            assert_eq!(error.pattern, text);
            assert!(
                error.to_string().contains("is not a valid pattern: "),
                "{error}"
            );
        }
    }
}
