/// Whether features can be removed that a layer norm, an RMS norm or another mean includes.
///
/// A norm over fewer features computes something else, even if the removed features were zero, because its mean and
/// variance are those of the remaining features.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum NormFeatures {
    /// They are kept, so that the remaining network computes the same result.
    #[default]
    Pinned,
    /// They can be removed, for networks that are trained further.
    Removable,
}
