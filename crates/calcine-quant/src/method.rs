use serde::{Deserialize, Serialize};

/// How weights and activations get to their quantizers while a network trains.
///
/// | method | a weight | what a relu gives |
/// |---|---|---|
/// | `Lsq` | a quantizer with a learned scale (Esser et al., 2020) | the same |
/// | `Linear` | a quantizer over its largest magnitude, each time anew | a quantizer over a range that follows training |
/// | `Dorefa` | `2^b` levels of its `tanh` (Zhou et al., 2016) | clipped to `[0, 1]` |
/// | `Pact` | as `Dorefa` | clipped at a learned `α` (Choi et al., 2018) |
/// | `Wrpn` | clipped to `[−1, 1]` (Mishra et al., 2018) | clipped to `[0, 1]` |
///
/// What no relu gives has a learned scale, but for `Linear`, which treats all alike.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Learned scales.
    #[default]
    Lsq,
    /// Ranges: of a weight its own, of activations one that moves by `1 − decay` towards each batch's.
    Linear {
        /// From 0, the last batch alone, to below 1.
        decay: f64,
    },
    /// Levels of a squashed weight, unit activations.
    Dorefa,
    /// The same weights, activations with a learned end.
    Pact,
    /// Clipped weights, unit activations.
    Wrpn,
}
