use burn::tensor::Tensor;

use super::scores::Scores;
use super::{Evidence, Join, Score};

/// A norm of each unit.
///
/// ```text
/// L1 = Σ|w_i|      L2 = √Σw_i²      Max = max|w_i|
/// ```
///
/// Length-normalized norms are divided by the number `n` of members, as in Distiller: `√Σw_i² / n`, which is not the root mean
/// square. Within one parameter this does not change the order; between parameters with units of different sizes it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Norm {
    kind: Kind,
    length: Length,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    L1,
    L2,
    Max,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Total,
    Normalised,
}

impl Norm {
    /// Sum of magnitudes.
    pub const L1: Self = Self {
        kind: Kind::L1,
        length: Length::Total,
    };
    /// Euclidean norm.
    pub const L2: Self = Self {
        kind: Kind::L2,
        length: Length::Total,
    };
    /// Largest magnitude.
    pub const MAX: Self = Self {
        kind: Kind::Max,
        length: Length::Total,
    };

    /// The same norm divided by the number of members.
    #[must_use]
    pub const fn length_normalised(self) -> Self {
        Self {
            length: Length::Normalised,
            ..self
        }
    }
}

impl Score for Norm {
    fn score(&self, evidence: &Evidence) -> Tensor<1> {
        self.deferred(evidence).values()
    }

    /// If a unit has one member, its norm is the magnitude of the member.
    fn deferred(&self, evidence: &Evidence) -> Scores {
        let members = evidence.members();
        if members == 1 {
            return Scores::MagnitudesOf(evidence.rows().reshape([evidence.units()]));
        }
        let norm = match self.kind {
            Kind::L1 => evidence.joined(Join::Sum, Tensor::abs),
            Kind::L2 => evidence.joined(Join::Sum, |w| w.square()).sqrt(),
            Kind::Max => evidence.joined(Join::Max, Tensor::abs),
        };
        Scores::Values(match self.length {
            Length::Total => norm,
            Length::Normalised => norm.div_scalar(members as f64),
        })
    }
}
