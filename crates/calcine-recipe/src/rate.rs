use calcine_schedule::rate::{
    Constant, Cosine, CosineRestarts, Exponential, Mode, MultiStep, MultiStepMultiGamma, OneCycle,
    Plateau, Polynomial, Step,
};
use calcine_schedule::{LearningRate, RateError};

use crate::section::{At, Section};

/// A `[lr.NAME]` table.
#[derive(Debug, Clone)]
pub(crate) struct Rate {
    pub(crate) name: At<String>,
    pub(crate) kind: Kind,
}

/// The type and parameters of a schedule; missing lengths are those of the run.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Constant {
        factor: f64,
    },
    Step {
        size: u64,
        gamma: f64,
    },
    MultiStep {
        milestones: Vec<u64>,
        gamma: f64,
    },
    MultiStepMultiGamma {
        milestones: Vec<u64>,
        gammas: Vec<f64>,
    },
    Exponential {
        gamma: f64,
    },
    Cosine {
        t_max: Option<f64>,
        warm_up: f64,
        floor: f64,
    },
    CosineRestarts {
        period: f64,
        growth: f64,
        floor: f64,
    },
    Polynomial {
        t_max: Option<f64>,
        power: f64,
    },
    OneCycle {
        t_max: Option<f64>,
        warm_up: f64,
        initial_divisor: f64,
        last_divisor: f64,
    },
    Plateau {
        factor: f64,
        patience: u64,
    },
}

#[derive(Debug, Clone, Copy)]
enum Name {
    Constant,
    Step,
    MultiStep,
    MultiStepMultiGamma,
    Exponential,
    Cosine,
    CosineRestarts,
    Polynomial,
    OneCycle,
    Plateau,
}

const NAMES: [(&str, Name); 10] = [
    ("constant", Name::Constant),
    ("step", Name::Step),
    ("multi_step", Name::MultiStep),
    ("multi_step_multi_gamma", Name::MultiStepMultiGamma),
    ("exponential", Name::Exponential),
    ("cosine", Name::Cosine),
    ("cosine_warm_restarts", Name::CosineRestarts),
    ("polynomial", Name::Polynomial),
    ("one_cycle", Name::OneCycle),
    ("plateau", Name::Plateau),
];

impl Kind {
    /// The schedule in a run with this number of epochs.
    pub(crate) fn build(&self, epochs: u64) -> Result<Box<dyn LearningRate + Send>, RateError> {
        let length = |given: &Option<f64>| given.unwrap_or(epochs as f64);
        Ok(match self {
            Self::Constant { factor } => Box::new(Constant(*factor)),
            Self::Step { size, gamma } => Box::new(Step::new(*size, *gamma)?),
            Self::MultiStep { milestones, gamma } => {
                Box::new(MultiStep::new(milestones.iter().copied(), *gamma)?)
            }
            Self::MultiStepMultiGamma { milestones, gammas } => Box::new(MultiStepMultiGamma::new(
                milestones.iter().copied(),
                gammas.iter().copied(),
            )?),
            Self::Exponential { gamma } => Box::new(Exponential::new(*gamma)?),
            Self::Cosine {
                t_max,
                warm_up,
                floor,
            } => {
                let cosine = Cosine::new(length(t_max))?.with_warm_up(*warm_up)?;
                Box::new(cosine.with_floor(*floor)?)
            }
            Self::CosineRestarts {
                period,
                growth,
                floor,
            } => {
                let cosine = CosineRestarts::new(*period)?.with_growth(*growth)?;
                Box::new(cosine.with_floor(*floor)?)
            }
            Self::Polynomial { t_max, power } => Box::new(Polynomial::new(length(t_max), *power)?),
            Self::OneCycle {
                t_max,
                warm_up,
                initial_divisor,
                last_divisor,
            } => {
                let cycle = OneCycle::new(length(t_max))?.with_warm_up(*warm_up)?;
                let cycle = cycle.with_initial_divisor(*initial_divisor)?;
                Box::new(cycle.with_last_divisor(*last_divisor)?)
            }
            Self::Plateau { factor, patience } => {
                let plateau = Plateau::new(Mode::Min).with_factor(*factor)?;
                Box::new(plateau.with_patience(*patience))
            }
        })
    }

    /// What the schedule does not reach before this epoch, if anything.
    pub(crate) fn unreached(&self, epochs: u64) -> Option<String> {
        let late = |epoch: f64, what: &str| {
            (epoch > epochs as f64).then(|| format!("{what} is epoch {epoch}"))
        };
        match self {
            Self::MultiStep { milestones, .. } | Self::MultiStepMultiGamma { milestones, .. } => {
                let missed: Vec<u64> = milestones
                    .iter()
                    .copied()
                    .filter(|m| *m >= epochs)
                    .collect();
                (!missed.is_empty()).then(|| format!("the milestones {missed:?} are not reached"))
            }
            Self::Step { size, .. } => (*size >= epochs)
                .then(|| format!("the rate never changes: `step_size` is {size} epochs")),
            Self::Cosine { t_max, .. }
            | Self::Polynomial { t_max, .. }
            | Self::OneCycle { t_max, .. } => late((*t_max)?, "its end (`t_max`)"),
            Self::CosineRestarts { period, .. } => late(*period, "the end of its first period"),
            Self::Plateau { patience, .. } => (patience.saturating_add(1) >= epochs)
                .then(|| format!("the rate never falls: `patience` is {patience} epochs")),
            Self::Constant { .. } | Self::Exponential { .. } => None,
        }
    }

    fn read(name: Name, section: &Section<'_>) -> Option<Self> {
        let number = |key, default: f64| section.number(key).map_or(default, |x| x.value);
        let length = |key| section.number(key).map(|x| x.value);
        let gamma = || {
            let gamma = section.number("gamma");
            section
                .need("gamma", "the factor for the rate", gamma)
                .map(|x| x.value)
        };
        let milestones = || {
            let milestones = section.counts("milestones");
            section
                .need("milestones", "a list of epochs", milestones)
                .map(|x| x.value)
        };
        Some(match name {
            Name::Constant => Self::Constant {
                factor: number("factor", 1.0),
            },
            Name::Step => {
                let size = section.positive("step_size");
                let size = section.need("step_size", "epochs between two drops", size);
                let gamma = gamma();
                Self::Step {
                    size: size?.value,
                    gamma: gamma?,
                }
            }
            Name::MultiStep => {
                let (milestones, gamma) = (milestones(), gamma());
                Self::MultiStep {
                    milestones: milestones?,
                    gamma: gamma?,
                }
            }
            Name::MultiStepMultiGamma => {
                let gammas = section.numbers("gammas");
                let gammas = section.need("gammas", "a factor for each milestone", gammas);
                let milestones = milestones();
                Self::MultiStepMultiGamma {
                    milestones: milestones?,
                    gammas: gammas?.value,
                }
            }
            Name::Exponential => Self::Exponential { gamma: gamma()? },
            Name::Cosine => Self::Cosine {
                t_max: length("t_max"),
                warm_up: number("warm_up", 0.0),
                floor: number("floor", 0.0),
            },
            Name::CosineRestarts => {
                let period = section.number("period");
                let period = section.need("period", "epochs of the first cycle", period);
                let (growth, floor) = (number("growth", 1.0), number("floor", 0.0));
                Self::CosineRestarts {
                    period: period?.value,
                    growth,
                    floor,
                }
            }
            Name::Polynomial => Self::Polynomial {
                t_max: length("t_max"),
                power: number("power", 1.0),
            },
            Name::OneCycle => Self::OneCycle {
                t_max: length("t_max"),
                warm_up: number("warm_up", 0.3),
                initial_divisor: number("initial_divisor", 25.0),
                last_divisor: number("last_divisor", 250_000.0),
            },
            Name::Plateau => Self::Plateau {
                factor: number("factor", 0.1),
                patience: section.count("patience").map_or(10, |n| n.value),
            },
        })
    }
}

impl Rate {
    /// Reads the table; `epochs` is the length in the recipe, which is used to check the parameters.
    pub(crate) fn read(name: At<String>, section: Section<'_>, epochs: u64) -> Option<Self> {
        let problems = section.problems;
        let word = section.word("type", &NAMES);
        let word = section.need("type", "step, multi_step, cosine, …", word);
        let kind = word
            .as_ref()
            .and_then(|word| Kind::read(word.value, &section));
        // Without a type, it is not known which keys are valid.
        if word.is_some() {
            section.close();
        }
        let kind = kind?;
        if let Err(error) = kind.build(epochs) {
            problems.add(&name.span, format!("`lr.{}`: {error}", name.value));
            return None;
        }
        Some(Self { name, kind })
    }
}
