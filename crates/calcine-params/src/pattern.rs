use globset::{GlobBuilder, GlobMatcher};

use crate::Parameter;

/// How many near names an error offers.
const NEAREST: usize = 3;

/// A pattern of dotted names, of parameters, layers or nodes alike.
///
/// | in a pattern | matches |
/// |---|---|
/// | `*` | any characters within one element of a name |
/// | `**` | any number of elements |
/// | `?` | one character within an element |
/// | `[abc]`, `[0-9]` | one of these characters |
/// | `{a,b}` | one of these alternatives |
///
/// Everything else matches itself, so that a name matches that name alone: `layer1.*.conv1` matches
/// `layer1.0.conv1` and not `layer1.0.inner.conv1`, which `layer1.**.conv1` matches too. The element `module`, which
/// data-parallel wrapping adds, is ignored on both sides where nothing matches otherwise
/// ([`matches_unwrapped`](Self::matches_unwrapped)).
///
/// # Examples
///
/// ```
/// use calcine_params::Pattern;
///
/// let pattern = Pattern::new("layer1.*.conv1")?;
/// assert!(pattern.matches("layer1.0.conv1"));
/// assert!(!pattern.matches("layer1.0.inner.conv1"));
/// assert!(!pattern.matches("layer1.0.conv1.relu"));
/// # Ok::<(), calcine_params::PatternError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    glob: GlobMatcher,
    unwrapped: GlobMatcher,
}

/// A text that is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{pattern}` is no pattern: {reason}")]
#[non_exhaustive]
pub struct PatternError {
    /// The text.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// If it is empty, a bracket is not closed, or a range of characters is none.
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

    /// Whether it matches a name. The empty name, of what has none, is matched by nothing.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        !name.is_empty() && self.glob.is_match(elements(name))
    }

    /// Whether it matches a name without the element `module`, in the pattern and in the name.
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

/// The three names most like one that is not there, best first; of equally like ones, the first.
#[must_use]
pub fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    most_like(
        names
            .into_iter()
            .map(|other| (likeness(name, other), other)),
    )
}

/// Of two names, from 0 to 1.
fn likeness(name: &str, other: &str) -> f64 {
    strsim::normalized_damerau_levenshtein(name, other)
}

fn most_like<S: Into<String>>(names: impl Iterator<Item = (f64, S)>) -> Vec<String> {
    let mut names: Vec<(f64, S)> = names.collect();
    names.sort_by(|a, b| b.0.total_cmp(&a.0));
    let best = names.into_iter().take(NEAREST);
    best.map(|(_, name)| name.into()).collect()
}

/// A pattern that is malformed or matches no parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownParameter {
    pattern: String,
    reason: Reason,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Reason {
    Malformed(String),
    NoMatch(Vec<String>),
}

impl UnknownParameter {
    /// The pattern as written.
    #[must_use]
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// The names most like it, best first.
    #[must_use]
    pub fn nearest(&self) -> &[String] {
        match &self.reason {
            Reason::NoMatch(nearest) => nearest,
            Reason::Malformed(_) => &[],
        }
    }
}

impl std::fmt::Display for UnknownParameter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.reason {
            Reason::Malformed(why) => write!(f, "`{}` is no pattern: {why}", self.pattern),
            Reason::NoMatch(nearest) if nearest.is_empty() => {
                write!(
                    f,
                    "`{}` matches no parameter: the model has none",
                    self.pattern
                )
            }
            Reason::NoMatch(nearest) => {
                write!(
                    f,
                    "`{}` matches no parameter; nearest: {}",
                    self.pattern,
                    nearest.join(", ")
                )
            }
        }
    }
}

impl std::error::Error for UnknownParameter {}

/// What a parameter is called where Burn has this path.
type Naming = fn(&Parameter, &str) -> String;

/// Whether a pattern matches a name.
type Matching = fn(&Pattern, &str) -> bool;

/// The indices of the trainable parameters one of whose paths `pattern` matches: by Burn's names, else by PyTorch's,
/// else by either without the path element that data-parallel wrapping adds, on both sides.
pub(crate) fn matches(
    pattern: &str,
    parameters: &[Parameter],
) -> Result<Vec<usize>, UnknownParameter> {
    let compiled = Pattern::new(pattern).map_err(|error| UnknownParameter {
        pattern: error.pattern,
        reason: Reason::Malformed(error.reason),
    })?;
    let burns: Naming = |_, path| path.to_owned();
    let attempts: [(Matching, Naming); 4] = [
        (Pattern::matches, burns),
        (Pattern::matches, Parameter::pytorch_name),
        (Pattern::matches_unwrapped, burns),
        (Pattern::matches_unwrapped, Parameter::pytorch_name),
    ];
    for (is_match, name) in attempts {
        let found: Vec<usize> = parameters
            .iter()
            .enumerate()
            .filter(|(_, parameter)| parameter.is_trainable())
            .filter(|(_, parameter)| {
                let mut names = parameter.paths().map(|path| name(parameter, path));
                names.any(|name| is_match(&compiled, &name))
            })
            .map(|(index, _)| index)
            .collect();
        if !found.is_empty() {
            return Ok(found);
        }
    }
    let trainable = parameters
        .iter()
        .filter(|parameter| parameter.is_trainable());
    let nearest = most_like(trainable.map(|parameter| {
        let [burn, pytorch] = [parameter.path.clone(), parameter.pytorch_path()];
        let alike = likeness(pattern, &burn).max(likeness(pattern, &pytorch));
        (alike, burn)
    }));
    Err(UnknownParameter {
        pattern: pattern.to_owned(),
        reason: Reason::NoMatch(nearest),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use calcine_testkit::each;

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
        each(rows, |(pattern, name, expected)| {
            assert_eq!(Pattern::new(pattern).unwrap().matches(name), *expected);
        });
    }

    #[test]
    fn texts_that_are_no_patterns_say_why() {
        for text in ["", "{a", "[a", "[z-a]"] {
            let error = Pattern::new(text).unwrap_err();
            assert_eq!(error.pattern, text);
            assert!(error.to_string().contains("is no pattern: "), "{error}");
        }
    }
}
