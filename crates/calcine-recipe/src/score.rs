//! `score`: a criterion by its name.

use calcine_criteria::{
    Apoz, GeometricMedian, Gradient, Lamp, Magnitude, MeanActivation, Movement, Needs, Noisy, Norm,
    NormScale, Random, Score, SecondOrder, Snip, Taylor, Wanda,
};
use calcine_train::Batches;

use crate::section::{At, Section, describe};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScoreName {
    Magnitude,
    L1,
    L2,
    MeanL2,
    Max,
    Lamp,
    GeometricMedian,
    NormScale,
    Taylor,
    TaylorSigned,
    TaylorSquare,
    Gradient,
    Snip,
    Movement,
    SecondOrder,
    Apoz,
    MeanActivation,
    Wanda,
    Random,
}

/// The default number of batches for scores of activations.
const ACTIVATION_BATCHES: u64 = 8;

/// To add a criterion to recipes, add a line here and in [`ScoreName::build`].
const SCORES: [(&str, ScoreName); 19] = [
    ("magnitude", ScoreName::Magnitude),
    ("l1", ScoreName::L1),
    ("l2", ScoreName::L2),
    ("mean_l2", ScoreName::MeanL2),
    ("max", ScoreName::Max),
    ("lamp", ScoreName::Lamp),
    ("geometric_median", ScoreName::GeometricMedian),
    ("norm_scale", ScoreName::NormScale),
    ("taylor", ScoreName::Taylor),
    ("taylor_signed", ScoreName::TaylorSigned),
    ("taylor_square", ScoreName::TaylorSquare),
    ("gradient", ScoreName::Gradient),
    ("snip", ScoreName::Snip),
    ("movement", ScoreName::Movement),
    ("second_order", ScoreName::SecondOrder),
    ("apoz", ScoreName::Apoz),
    ("mean_activation", ScoreName::MeanActivation),
    ("wanda", ScoreName::Wanda),
    ("random", ScoreName::Random),
];

impl ScoreName {
    pub(crate) fn read(section: &Section<'_>) -> Option<At<Self>> {
        let score = section.word("score", &SCORES);
        section.need("score", "magnitude, l1, l2, taylor, …", score)
    }

    pub(crate) fn build(self) -> Box<dyn Score + Send> {
        match self {
            Self::Magnitude => Box::new(Magnitude),
            Self::L1 => Box::new(Norm::L1),
            Self::L2 => Box::new(Norm::L2),
            Self::MeanL2 => Box::new(Norm::L2.length_normalised()),
            Self::Max => Box::new(Norm::MAX),
            Self::Lamp => Box::new(Lamp),
            Self::GeometricMedian => Box::new(GeometricMedian),
            Self::NormScale => Box::new(NormScale),
            Self::Taylor => Box::new(Taylor::ABSOLUTE),
            Self::TaylorSigned => Box::new(Taylor::SIGNED),
            Self::TaylorSquare => Box::new(Taylor::SQUARE),
            Self::Gradient => Box::new(Gradient),
            Self::Snip => Box::new(Snip),
            Self::Movement => Box::new(Movement),
            Self::SecondOrder => Box::new(SecondOrder),
            Self::Apoz => Box::new(Apoz),
            Self::MeanActivation => Box::new(MeanActivation),
            Self::Wanda => Box::new(Wanda),
            Self::Random => Box::new(Random),
        }
    }

    pub(crate) fn with_noise(self, probability: f64) -> Box<dyn Score + Send> {
        let score = self.build();
        if probability > 0.0 {
            Box::new(Noisy { score, probability })
        } else {
            score
        }
    }

    /// The inputs that the score requires.
    pub(crate) fn needs(self) -> Needs {
        self.build().needs()
    }

    /// Whether the score has one value per output of a layer.
    pub(crate) fn is_of_outputs(self) -> bool {
        matches!(self.needs(), Needs::NormScale | Needs::Activity(_))
    }

    /// Whether the score needs activations.
    pub(crate) fn is_of_activations(self) -> bool {
        matches!(self.needs(), Needs::Activity(_) | Needs::InputNorm)
    }

    /// Whether the score needs gradients or activations, and is therefore averaged over batches.
    pub(crate) fn looks_at_batches(self) -> bool {
        self.build().needs() == Needs::Gradient || self.is_of_activations()
    }

    /// Whether the score needs gradients, norms or activations.
    pub(crate) fn needs_more_than_weights(self) -> bool {
        self.needs() != Needs::Weight
    }

    /// The default number of batches for this score.
    pub(crate) fn batches(self) -> Batches {
        match self {
            Self::Movement => Batches::All,
            Self::Apoz | Self::MeanActivation | Self::Wanda => Batches::Count(ACTIVATION_BATCHES),
            _ => Batches::default(),
        }
    }
}

/// Reads `batches = 8` or `batches = "all"`.
pub(crate) fn batches(section: &Section<'_>) -> Option<At<Batches>> {
    let value = section.get("batches")?;
    let span = value.span();
    if value.get_ref().as_str() == Some("all") {
        return Some(At::new(Batches::All, span));
    }
    if value.get_ref().as_integer().is_some() {
        let count = section.positive("batches")?;
        return Some(At::new(Batches::Count(count.value), span));
    }
    let found = describe(value.get_ref());
    let message = format!("`batches` is {found}, expected a whole number above 0 or \"all\"");
    section.problems.add(&span, message);
    None
}
