use calcine_graph::NormFeatures;

/// What happens to constant channels that are read through zero padding.
///
/// The output of a removed filter may be a constant that is not zero: its bias, or what its batch norm computes from
/// zero. The layers that read the channel receive that constant as a part of their biases. At a padded border their
/// windows contained less of the channel, so there the bias is too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PaddingEffect {
    /// Remove them, and report the largest error at the border.
    #[default]
    DropBorder,
    /// Keep them.
    KeepBorder,
}

/// The options of thinning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ThinOptions {
    /// What happens to constant channels at padded borders.
    pub padding_effect: PaddingEffect,
    /// Whether features are removed over which layer norms, RMS norms and other means are computed. The norm is then
    /// computed over the remaining features, so the outputs change, and the network should be fine-tuned.
    pub norm_features: NormFeatures,
}
