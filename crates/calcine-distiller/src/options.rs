/// What a schedule does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Epochs of the run. If absent, the end of the last pruner's or regularizer's policy, and Distiller's
    /// default of 90 at least.
    pub epochs: Option<u64>,
    /// The reference model that the recipe is for.
    pub model: Option<String>,
}
