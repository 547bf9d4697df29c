/// Whether features go that a layer norm or an RMS norm, or another mean, is taken over.
///
/// A norm over fewer features is another norm, even if those that went were zero: its mean and its variance are those
/// of the features that are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum NormFeatures {
    /// They stay, so that what is left computes the same.
    #[default]
    Pinned,
    /// They can go, for networks that train on.
    Removable,
}
