use calcine_names::{Pattern, similarity};

use crate::parameter::Parameter;

/// How many similar paths an error offers.
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

    /// The nearest names, best first.
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
            Reason::Malformed(why) => write!(f, "`{}` is not a valid pattern: {why}", self.pattern),
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
    let mut similar: Vec<(f64, String)> = trainable
        .map(|parameter| {
            let [burn, pytorch] = [parameter.path.clone(), parameter.pytorch_path()];
            let best = similarity(pattern, &burn).max(similarity(pattern, &pytorch));
            (best, burn)
        })
        .collect();
    similar.sort_by(|a, b| b.0.total_cmp(&a.0));
    let nearest = similar.into_iter().take(NEAREST).map(|(_, path)| path);
    Err(UnknownParameter {
        pattern: pattern.to_owned(),
        reason: Reason::NoMatch(nearest.collect()),
    })
}
