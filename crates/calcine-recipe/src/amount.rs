//! Amounts (`level`, `threshold`, `strength` and others): a number, a curve, or a table of them by parameter.

use calcine_schedule::{
    Constant, Cosine, Cubic, Curve, CurveError, Exponential, Linear, Steps, TwoSlopes, Window,
};
use toml::de::DeValue;

use crate::error::Problems;
use crate::section::{At, Section, describe, number};

/// An amount as a function of the progress of a window.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Amount {
    Constant(f64),
    Between {
        shape: Shape,
        from: f64,
        to: f64,
    },
    Steps {
        from: f64,
        steps: Vec<(f64, f64)>,
    },
    TwoSlopes {
        q: f64,
        offset: u64,
        slope: f64,
    },
    /// A random number for every parameter and selection.
    Range {
        low: f64,
        high: f64,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Linear,
    Cubic,
    Cosine,
    Exponential,
    Steps,
    TwoSlopes,
}

const SHAPES: [(&str, Shape); 6] = [
    ("cubic", Shape::Cubic),
    ("linear", Shape::Linear),
    ("cosine", Shape::Cosine),
    ("exponential", Shape::Exponential),
    ("steps", Shape::Steps),
    ("two_slopes", Shape::TwoSlopes),
];

/// Keys that identify a table as an amount, so that the error says that `curve` is missing.
const KEYS: [&str; 6] = ["curve", "from", "to", "steps", "q", "range"];

/// One amount for all parameters, or one for each of several patterns.
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
        let of_amount = |table: &toml::de::DeTable<'_>| {
            let mut keys = table.keys();
            keys.any(|key| KEYS.contains(&key.get_ref().as_ref()))
        };
        let by_pattern = value.get_ref().as_table().filter(|table| !of_amount(table));
        let Some(table) = by_pattern else {
            return Amount::read(value, problems).map(Self::One);
        };
        if table.is_empty() {
            problems.add(
                &value.span(),
                "the table is empty: expected `parameter = amount`",
            );
            return None;
        }
        let amounts = table.iter().filter_map(|(pattern, value)| {
            let pattern = At::new(pattern.get_ref().to_string(), pattern.span());
            Some((pattern, Amount::read(value, problems)?))
        });
        Some(Self::ByPattern(amounts.collect()))
    }

    /// Whether an amount changes over the window.
    pub(crate) fn change(&self) -> bool {
        let changes = |amount: &&At<Amount>| match &amount.value {
            Amount::Constant(_) | Amount::Range { .. } => false,
            Amount::Between { from, to, .. } => from != to,
            Amount::Steps { .. } | Amount::TwoSlopes { .. } => true,
        };
        self.all().iter().any(changes)
    }

    /// Reports amounts outside of a range.
    pub(crate) fn check(
        &self,
        key: &str,
        valid: &std::ops::RangeInclusive<f64>,
        problems: &Problems,
    ) {
        let bound = match valid.end().is_finite() {
            true => format!("between {} and {}", valid.start(), valid.end()),
            false => format!("{} or more", valid.start()),
        };
        for amount in self.all() {
            let values = amount.value.values();
            if let Some(bad) = values.into_iter().find(|value| !valid.contains(value)) {
                problems.add(&amount.span, format!("`{key}` is {bad}, expected {bound}"));
            }
        }
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
                "{found} is not an amount: expected a number or {{ curve = …, from = …, to = … }}"
            );
            problems.add(&span, message);
            return None;
        };
        let section = Section::new(table, span.clone(), problems);
        let amount = Self::read_table(&section)?;
        section.close();
        amount.map(|amount| At::new(amount, span))
    }

    /// `None` if it is not known which keys the table may have.
    fn read_table(section: &Section<'_>) -> Option<Option<Self>> {
        if section.has("range") {
            return Some(Self::range(section));
        }
        let shape = section.word("curve", &SHAPES);
        let words = "cubic, linear, cosine, exponential, steps or two_slopes";
        let shape = section.need("curve", words, shape)?.value;
        if let Shape::TwoSlopes = shape {
            let q = section.number("q");
            let q = section.need("q", "the final threshold", q);
            let offset = section.count("ramp_offset");
            let offset = section.need("ramp_offset", "moments from the start to the bend", offset);
            let slope = section
                .number("ramp_slope")
                .map_or(1.5, |slope| slope.value);
            return Some(q.zip(offset).map(|(q, offset)| Self::TwoSlopes {
                q: q.value,
                offset: offset.value,
                slope,
            }));
        }
        let from = section.number("from");
        let from = section.need("from", "the first value of the curve", from);
        if let Shape::Steps = shape {
            let steps = section.pairs("steps");
            let steps = section.need("steps", "pairs of progress and value", steps);
            let (steps, from) = match steps.zip(from) {
                Some((steps, from)) => (steps, from.value),
                None => return Some(None),
            };
            if let Err(error) = Steps::new(from, steps.value.clone()) {
                section.problems.add(&steps.span, error);
                return Some(None);
            }
            let steps = steps.value;
            return Some(Some(Self::Steps { from, steps }));
        }
        let to = section.number("to");
        let to = section.need("to", "the last value of the curve", to);
        Some(from.zip(to).map(|(from, to)| Self::Between {
            shape,
            from: from.value,
            to: to.value,
        }))
    }

    fn range(section: &Section<'_>) -> Option<Self> {
        let range = section.numbers("range")?;
        match range.value.as_slice() {
            [low, high] if low <= high => Some(Self::Range {
                low: *low,
                high: *high,
            }),
            _ => {
                let message =
                    "expected `range` to be two numbers, the lower one first, such as [0.1, 0.2]";
                section.problems.add(&range.span, message);
                None
            }
        }
    }

    /// All values that define the amount.
    pub(crate) fn values(&self) -> Vec<f64> {
        match self {
            Self::Constant(value) => vec![*value],
            Self::Between { from, to, .. } => vec![*from, *to],
            Self::Steps { from, steps } => std::iter::once(*from)
                .chain(steps.iter().map(|step| step.1))
                .collect(),
            Self::TwoSlopes { q, slope, .. } => vec![*q, *slope],
            Self::Range { low, high } => vec![*low, *high],
        }
    }

    /// The curve over a window; for a range, its lower end.
    pub(crate) fn curve(
        &self,
        window: &Window,
    ) -> Result<Box<dyn Curve + Send + Sync>, CurveError> {
        Ok(match self {
            Self::Constant(value) | Self::Range { low: value, .. } => Box::new(Constant(*value)),
            Self::Steps { from, steps } => Box::new(Steps::new(*from, steps.iter().copied())?),
            Self::TwoSlopes { q, offset, slope } => {
                Box::new(TwoSlopes::new(*q, *offset, *slope, window)?)
            }
            Self::Between { shape, from, to } => {
                let (initial, last) = (*from, *to);
                match shape {
                    Shape::Linear => Box::new(Linear { initial, last }),
                    Shape::Cubic => Box::new(Cubic { initial, last }),
                    Shape::Cosine => Box::new(Cosine { initial, last }),
                    Shape::Exponential => Box::new(Exponential { initial, last }),
                    Shape::Steps | Shape::TwoSlopes => unreachable!("they are read as such"),
                }
            }
        })
    }
}
