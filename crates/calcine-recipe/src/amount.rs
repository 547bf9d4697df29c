//! `level`, `threshold`, `sensitivity`: a number, a curve, or a table of them by parameter.

use calcine_schedule::{Constant, Cosine, Cubic, Curve, Exponential, Linear, Steps};
use toml::de::DeValue;

use crate::error::Problems;
use crate::section::{At, Section, describe, number};

/// An amount over a window's progress.
#[derive(Debug, Clone)]
pub(crate) enum Amount {
    Constant(f64),
    Between { shape: Shape, from: f64, to: f64 },
    Steps { from: f64, steps: Vec<(f64, f64)> },
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape {
    Linear,
    Cubic,
    Cosine,
    Exponential,
    Steps,
}

const SHAPES: [(&str, Shape); 5] = [
    ("cubic", Shape::Cubic),
    ("linear", Shape::Linear),
    ("cosine", Shape::Cosine),
    ("exponential", Shape::Exponential),
    ("steps", Shape::Steps),
];

/// One amount for all parameters of a pruner, or one for each of several patterns.
#[derive(Debug, Clone)]
pub(crate) enum Amounts {
    One(At<Amount>),
    ByPattern(Vec<(At<String>, At<Amount>)>),
}

impl Amounts {
    pub(crate) fn all(&self) -> Vec<&At<Amount>> {
        match self {
            Self::One(amount) => vec![amount],
            Self::ByPattern(amounts) => amounts.iter().map(|(_, amount)| amount).collect(),
        }
    }

    pub(crate) fn read(value: &toml::Spanned<DeValue<'_>>, problems: &Problems) -> Option<Self> {
        // One of a curve's keys makes it a curve, so that a forgotten `curve` is named as such.
        let of_curve = |table: &toml::de::DeTable<'_>| {
            table
                .keys()
                .any(|key| ["curve", "from", "to", "steps"].contains(&key.get_ref().as_ref()))
        };
        let by_pattern = value.get_ref().as_table().filter(|table| !of_curve(table));
        let Some(table) = by_pattern else {
            return Amount::read(value, problems).map(Self::One);
        };
        if table.is_empty() {
            problems.add(
                &value.span(),
                "an empty table prunes nothing: expected parameter = amount",
            );
            return None;
        }
        let amounts = table.iter().filter_map(|(pattern, value)| {
            let pattern = At::new(pattern.get_ref().to_string(), pattern.span());
            Some((pattern, Amount::read(value, problems)?))
        });
        Some(Self::ByPattern(amounts.collect()))
    }
}

impl Amount {
    fn read(value: &toml::Spanned<DeValue<'_>>, problems: &Problems) -> Option<At<Self>> {
        let span = value.span();
        if let Some(number) = number(value.get_ref()) {
            return Some(At::new(Self::Constant(number), span));
        }
        let Some(table) = value.get_ref().as_table() else {
            let found = describe(value.get_ref());
            let message = format!(
                "{found} is no amount: expected a number or {{ curve = …, from = …, to = … }}"
            );
            problems.add(&span, message);
            return None;
        };
        let section = Section::new(table, span.clone(), problems);
        let shape = section.word("curve", &SHAPES);
        let shape = section.need(
            "curve",
            "cubic, linear, cosine, exponential or steps",
            shape,
        );
        let from = section.number("from");
        let from = section.need("from", "where the curve begins", from);
        let amount = match shape {
            Some(At {
                value: Shape::Steps,
                ..
            }) => {
                let steps = section.pairs("steps");
                let steps = section.need("steps", "pairs of progress and value", steps);
                steps.zip(from).and_then(|(steps, from)| {
                    if let Err(error) = Steps::new(from.value, steps.value.clone()) {
                        problems.add(&steps.span, error);
                        return None;
                    }
                    Some(Self::Steps {
                        from: from.value,
                        steps: steps.value,
                    })
                })
            }
            None => {
                // Which keys belong to it is unknown.
                return None;
            }
            shape => {
                let to = section.number("to");
                let to = section.need("to", "where the curve ends", to);
                shape
                    .zip(from)
                    .zip(to)
                    .map(|((shape, from), to)| Self::Between {
                        shape: shape.value,
                        from: from.value,
                        to: to.value,
                    })
            }
        };
        section.close();
        amount.map(|amount| At::new(amount, span))
    }

    /// Every value that the amount is anchored at.
    pub(crate) fn values(&self) -> Vec<f64> {
        match self {
            Self::Constant(value) => vec![*value],
            Self::Between { from, to, .. } => vec![*from, *to],
            Self::Steps { from, steps } => std::iter::once(*from)
                .chain(steps.iter().map(|step| step.1))
                .collect(),
        }
    }

    pub(crate) fn curve(&self) -> Box<dyn Curve + Send + Sync> {
        match self {
            Self::Constant(value) => Box::new(Constant(*value)),
            Self::Steps { from, steps } => Box::new(
                Steps::new(*from, steps.iter().copied()).expect("checked when it was read"),
            ),
            Self::Between {
                shape,
                from: initial,
                to: last,
            } => {
                let (initial, last) = (*initial, *last);
                match shape {
                    Shape::Linear => Box::new(Linear { initial, last }),
                    Shape::Cubic => Box::new(Cubic { initial, last }),
                    Shape::Cosine => Box::new(Cosine { initial, last }),
                    Shape::Exponential => Box::new(Exponential { initial, last }),
                    Shape::Steps => unreachable!("a curve of steps is read as steps"),
                }
            }
        }
    }
}
