use serde::{Deserialize, Serialize};

/// How weights and activations are fake-quantized in quantization-aware training.
///
/// | method | weights | outputs of ReLUs |
/// |---|---|---|
/// | `Lsq` | learned scale (Esser et al., 2020) | learned scale |
/// | `Linear` | range of the largest magnitude, recomputed in each step | moving average of the batch ranges |
/// | `Dorefa` | `2^b` levels of its `tanh` (Zhou et al., 2016) | clipped to `[0, 1]` |
/// | `Pact` | as `Dorefa` | clipped at a learned `α` (Choi et al., 2018) |
/// | `Wrpn` | clipped to `[−1, 1]` (Mishra et al., 2018) | clipped to `[0, 1]` |
///
/// All other activations have a learned scale, except with `Linear`, which treats all activations alike.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Learned scales.
    #[default]
    Lsq,
    /// Ranges: that of the weight, and for activations a moving average of the batch ranges.
    Linear {
        /// The decay of the moving average: at least 0 (only the last batch counts) and below 1.
        decay: f64,
    },
    /// Weights transformed by `tanh`, activations clipped to `[0, 1]`.
    Dorefa,
    /// Weights as `Dorefa`, activations with a learned clipping value.
    Pact,
    /// Weights clipped to `[−1, 1]`, activations clipped to `[0, 1]`.
    Wrpn,
}
