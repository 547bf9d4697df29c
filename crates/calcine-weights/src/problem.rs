use std::fmt;

use burn::tensor::DType;

use super::names::{last_element, layer_of};

/// A problem of a file that does not fit a module.
///
/// Names and shapes are PyTorch's: `bn1.weight` rather than `bn1.gamma`, and `[out, in]` for fully
/// connected weights.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Problem {
    /// The file has no tensor for a parameter.
    Missing {
        /// The parameter.
        parameter: String,
        /// Its shape in the module.
        expected: Vec<usize>,
    },
    /// The file contains a parameter in parts from which this crate cannot compute it, such as those of a spectral
    /// norm.
    Parametrized {
        /// The parameter.
        parameter: String,
        /// The names of the parts in the file.
        tensors: Vec<String>,
    },
    /// The module has no parameter for a tensor.
    Unknown {
        /// The tensor's name in the file.
        tensor: String,
        /// Its shape in the file.
        found: Vec<usize>,
    },
    /// A tensor has another shape than its parameter.
    Shape {
        /// The parameter.
        parameter: String,
        /// Its shape in the module.
        expected: Vec<usize>,
        /// Its shape in the file.
        found: Vec<usize>,
    },
    /// A tensor contains another type of number than its parameter: for example, integers instead of floats.
    Type {
        /// The parameter.
        parameter: String,
        /// Its type in the module.
        expected: DType,
        /// Its type in the file.
        found: DType,
    },
    /// Two tensors match one parameter.
    Ambiguous {
        /// The parameter.
        parameter: String,
        /// The names of the two tensors in the file.
        tensors: [String; 2],
    },
    /// Two tensors with different values match one parameter that the module uses in two places.
    Tied {
        /// The parameter's two names in the module.
        parameters: [String; 2],
        /// The names of the two tensors in the file.
        tensors: [String; 2],
    },
    /// A tensor contains NaN, infinity, a number that is too large for the parameter's type, or a negative variance.
    NotFinite {
        /// The parameter.
        parameter: String,
        /// The number of such values.
        count: usize,
        /// The first of these values, in the layout of the module.
        value: f64,
        /// The position of the first value.
        position: Vec<usize>,
    },
    /// A tensor's values cannot be read or used.
    Unreadable {
        /// The parameter.
        parameter: String,
        /// The message of the reader.
        reason: String,
    },
}

impl Problem {
    /// The parameter or tensor with the problem.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Unknown { tensor, .. } => tensor,
            Self::Tied {
                parameters: [first, _],
                ..
            } => first,
            Self::Missing { parameter, .. }
            | Self::Parametrized { parameter, .. }
            | Self::Shape { parameter, .. }
            | Self::Type { parameter, .. }
            | Self::Ambiguous { parameter, .. }
            | Self::NotFinite { parameter, .. }
            | Self::Unreadable { parameter, .. } => parameter,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing {
                parameter,
                expected,
            } => {
                write!(f, "`{parameter}` is missing, expected shape {expected:?}")
            }
            Self::Parametrized { parameter, tensors } => {
                write!(
                    f,
                    "`{parameter}` is kept as {}, from which it cannot be computed: remove the parametrization \
                     before saving",
                    Listed(tensors)
                )
            }
            Self::Unknown { tensor, found } => {
                write!(
                    f,
                    "`{tensor}` of shape {found:?} is not a parameter of the model"
                )
            }
            Self::Shape {
                parameter,
                expected,
                found,
            } => {
                write!(
                    f,
                    "`{parameter}` has shape {found:?}, expected {expected:?}"
                )
            }
            Self::Type {
                parameter,
                expected,
                found,
            } => {
                write!(f, "`{parameter}` has type {found:?}, expected {expected:?}")
            }
            Self::Ambiguous {
                parameter,
                tensors: [first, second],
            } => {
                write!(
                    f,
                    "`{parameter}` is there twice, as `{first}` and as `{second}`"
                )
            }
            Self::Tied {
                parameters: [first, second],
                tensors: [first_tensor, second_tensor],
            } => {
                write!(
                    f,
                    "`{first}` and `{second}` are one parameter, but `{first_tensor}` and `{second_tensor}` have \
                     different values"
                )
            }
            Self::NotFinite {
                parameter,
                count,
                value,
                position,
            } => {
                let s = if *count == 1 { "" } else { "s" };
                write!(
                    f,
                    "`{parameter}` has {count} value{s} that no layer can compute with, the first {value} at {position:?}"
                )
            }
            Self::Unreadable { parameter, reason } => {
                write!(f, "`{parameter}` cannot be read: {reason}")
            }
        }
    }
}

/// Names, the first few of them.
pub(super) struct Listed<'a, S>(pub(super) &'a [S]);

impl<S: AsRef<str>> fmt::Display for Listed<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 4;
        for (index, name) in self.0.iter().take(SHOWN).enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}`{}`", name.as_ref())?;
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// All problems in one line: by kind, with the first few names of each, and what to do.
pub(super) fn summary(problems: &[Problem]) -> String {
    let of = |kind: fn(&Problem) -> bool| -> Vec<&Problem> {
        problems.iter().filter(|problem| kind(problem)).collect()
    };
    let missing_statistic =
        |p: &Problem| matches!(p, Problem::Missing { parameter, .. } if is_statistic(parameter));
    let missing_other =
        |p: &Problem| matches!(p, Problem::Missing { parameter, .. } if !is_statistic(parameter));
    let mut parts: Vec<String> = Vec::new();
    let statistics = of(missing_statistic);
    if !statistics.is_empty() {
        parts.push(format!(
            "{} running statistics are missing ({}): save the whole `state_dict()`, or keep the model's own \
             (`--weights-ignore '**.running_*'`)",
            statistics.len(),
            Listed(&names(&statistics)),
        ));
    }
    parts.extend(listed(&of(missing_other), "parameters are missing"));
    let shapes = of(|p| matches!(p, Problem::Shape { .. }));
    parts.extend(in_full(&shapes));
    parts.extend(other_classes(problems));
    let unknown = of(|p| matches!(p, Problem::Unknown { .. }));
    parts.extend(listed(&unknown, "tensors are not parameters of the model"));
    if !unknown.is_empty() {
        parts.push("`--weights-ignore` leaves tensors out".to_owned());
    }
    let others = of(|p| {
        !matches!(
            p,
            Problem::Missing { .. } | Problem::Shape { .. } | Problem::Unknown { .. }
        )
    });
    parts.extend(in_full(&others));
    parts.join("; ")
}

fn names<'a>(problems: &[&'a Problem]) -> Vec<&'a str> {
    problems.iter().map(|problem| problem.name()).collect()
}

/// One problem in its own words, or several by their names.
fn listed(problems: &[&Problem], what: &str) -> Option<String> {
    match problems {
        [] => None,
        [problem] => Some(problem.to_string()),
        several => Some(format!(
            "{} {what} ({})",
            several.len(),
            Listed(&names(several))
        )),
    }
}

/// The first few problems in their own words.
fn in_full(problems: &[&Problem]) -> Vec<String> {
    const SHOWN: usize = 3;
    let mut told: Vec<String> = problems
        .iter()
        .take(SHOWN)
        .map(ToString::to_string)
        .collect();
    if let Some((_, rest)) = problems.split_at_checked(SHOWN)
        && !rest.is_empty()
    {
        told.push(format!(
            "{} more of this kind ({})",
            rest.len(),
            Listed(&names(rest))
        ));
    }
    told
}

/// What to do if the last layer has another number of outputs, and everything else fits.
fn other_classes(problems: &[Problem]) -> Option<String> {
    let mut layers = Vec::new();
    let mut sizes = None;
    for problem in problems {
        let Problem::Shape {
            parameter,
            expected,
            found,
        } = problem
        else {
            return None;
        };
        let same_beyond = expected.len() == found.len() && expected.get(1..) == found.get(1..);
        let size = Some((found.first()?, expected.first()?));
        if !same_beyond || sizes.is_some_and(|sizes| Some(sizes) != size) {
            return None;
        }
        sizes = size;
        if !layers.contains(&layer_of(parameter)) {
            layers.push(layer_of(parameter));
        }
    }
    let ((found, expected), [layer]) = (sizes?, layers.as_slice()) else {
        return None;
    };
    Some(format!(
        "the file is of a model with {found} outputs of `{layer}`, not {expected}: make the model so, or keep its own \
         values of that layer (`--weights-ignore {layer}`)"
    ))
}

/// Whether a name is that of a running mean or variance.
pub(super) fn is_statistic(name: &str) -> bool {
    last_element(name).starts_with("running_")
}
