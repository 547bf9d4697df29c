use calcine_graph::NormFeatures;

/// What to do with constant channels that are read through zero padding.
///
/// A removed filter still says something: its bias, or what its batch norm makes of nothing. A layer that
/// reads it gets that as a bias of its own. Where its windows hang over a border they saw less of it, and the
/// bias is too much there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PaddingEffect {
    /// Remove them, and report by how much the border may be off.
    #[default]
    DropBorder,
    /// Keep them.
    KeepBorder,
}

/// How a network is thinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ThinOptions {
    /// What becomes of constant channels at padded borders.
    pub padding_effect: PaddingEffect,
    /// Whether features go that layer norms, RMS norms and other means are taken over. A norm is that of the features
    /// that are left, then, and the network computes something else; it is for networks that train on.
    pub norm_features: NormFeatures,
}
