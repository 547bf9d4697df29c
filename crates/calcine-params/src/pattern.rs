use globset::{GlobBuilder, GlobMatcher};

use crate::Parameter;

/// How many near names an error offers.
const NEAREST: usize = 3;

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

/// What a parameter is called.
type Naming = fn(&Parameter) -> String;

/// The indices of the trainable parameters that `pattern` matches: by Burn's names, else by PyTorch's,
/// else by either without the path element that data-parallel wrapping adds, on both sides.
pub(crate) fn matches(
    pattern: &str,
    parameters: &[Parameter],
) -> Result<Vec<usize>, UnknownParameter> {
    let glob = glob(pattern)?;
    let unwrapped = self::glob(&without_module(pattern))?;
    let attempts: [(&GlobMatcher, Naming); 4] = [
        (&glob, |parameter| parameter.path.clone()),
        (&glob, Parameter::pytorch_path),
        (&unwrapped, |parameter| without_module(&parameter.path)),
        (&unwrapped, |parameter| {
            without_module(&parameter.pytorch_path())
        }),
    ];
    for (glob, name) in attempts {
        let found: Vec<usize> = parameters
            .iter()
            .enumerate()
            .filter(|(_, parameter)| parameter.is_trainable())
            .filter(|(_, parameter)| glob.is_match(name(parameter).replace('.', "/")))
            .map(|(index, _)| index)
            .collect();
        if !found.is_empty() {
            return Ok(found);
        }
    }
    let nearest = nearest(pattern, parameters);
    Err(UnknownParameter {
        pattern: pattern.to_owned(),
        reason: Reason::NoMatch(nearest),
    })
}

/// Path elements are glob components, so that `*` stays inside one.
fn glob(pattern: &str) -> Result<GlobMatcher, UnknownParameter> {
    GlobBuilder::new(&pattern.replace('.', "/"))
        .literal_separator(true)
        .build()
        .map(|glob| glob.compile_matcher())
        .map_err(|error| UnknownParameter {
            pattern: pattern.to_owned(),
            reason: Reason::Malformed(error.kind().to_string()),
        })
}

/// The name without the path element that data-parallel wrapping adds.
fn without_module(pattern: &str) -> String {
    let elements: Vec<_> = pattern
        .split('.')
        .filter(|element| *element != "module")
        .collect();
    elements.join(".")
}

fn nearest(pattern: &str, parameters: &[Parameter]) -> Vec<String> {
    let mut names: Vec<(f64, String)> = parameters
        .iter()
        .filter(|parameter| parameter.is_trainable())
        .map(|parameter| {
            let likeness = strsim::normalized_damerau_levenshtein(pattern, &parameter.path).max(
                strsim::normalized_damerau_levenshtein(pattern, &parameter.pytorch_path()),
            );
            (likeness, parameter.path.clone())
        })
        .collect();
    names.sort_by(|a, b| b.0.total_cmp(&a.0));
    names
        .into_iter()
        .take(NEAREST)
        .map(|(_, name)| name)
        .collect()
}
