/// Which stored axis of a weight runs over outputs and which over inputs.
///
/// All axes after the first two are spatial. Burn stores a convolution as
/// `[out, in / groups, k..]`, a transposed convolution as `[in, out / groups, k..]` and a linear
/// layer as `[in, out]` (transposed against PyTorch).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layout {
    /// Axis 0 is the output, axis 1 the input: convolutions, and PyTorch's linear weights.
    OutputFirst,
    /// Axis 0 is the input, axis 1 the output: Burn's linear weights, transposed convolutions,
    /// embeddings.
    InputFirst,
}

impl Layout {
    /// The layout of `Conv1d`, `Conv2d` and `Conv3d` weights.
    pub const CONVOLUTION: Self = Self::OutputFirst;
    /// The layout of Burn's `Linear` weights.
    pub const LINEAR: Self = Self::InputFirst;
    /// The layout of `ConvTranspose1d`, `ConvTranspose2d` and `ConvTranspose3d` weights.
    pub const TRANSPOSED_CONVOLUTION: Self = Self::InputFirst;
}
