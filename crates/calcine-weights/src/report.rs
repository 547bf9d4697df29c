use std::fmt;

use super::derived::Derivation;
use super::masks::PruningMask;
use super::problem::Listed;

/// What a load took from a file, and what it did not.
///
/// `Display` says it in one line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoadReport {
    /// What the names of the weights begin with in the file, without the dot behind it: `state_dict.module`. Empty if
    /// they begin with nothing.
    pub prefix: String,
    /// The parameters and running statistics that were loaded, in the module's order, under PyTorch's names.
    pub loaded: Vec<String>,
    /// Parameters that the module uses in several places and that the file has once.
    pub tied: Vec<String>,
    /// Weights that were computed from two tensors of the file.
    pub derived: Vec<(String, Derivation)>,
    /// The pruning masks of weights that were multiplied by them; [`LoadReport::masks_for`] has them as masks of a module.
    pub masks: Vec<PruningMask>,
    /// Tensors beneath the prefix that are no weights, like `num_batches_tracked`, and were not used.
    pub buffers: Vec<String>,
    /// Tensors that are not beneath the prefix, like an optimizer's, and were not used.
    pub outside: Vec<String>,
    /// Tensors and parameters that match [`LoadOptions::ignore`](super::LoadOptions::ignore): the parameters have
    /// the values that they had before.
    pub ignored: Vec<String>,
}

impl LoadReport {
    /// Whether anything of the file was left out or computed, but for counts of batches and for what lies beside the
    /// weights.
    #[must_use]
    pub fn is_remarkable(&self) -> bool {
        let known = |name: &String| super::names::last_element(name) == "num_batches_tracked";
        !self.derived.is_empty()
            || !self.ignored.is_empty()
            || !self.tied.is_empty()
            || !self.buffers.iter().all(known)
    }
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tensors loaded", self.loaded.len())?;
        if !self.prefix.is_empty() {
            write!(f, " from beneath `{}`", self.prefix)?;
        }
        let derived = |asked: Derivation| {
            let found = self
                .derived
                .iter()
                .filter(move |(_, derivation)| *derivation == asked);
            found.count()
        };
        let tracked = |name: &&String| super::names::last_element(name) == "num_batches_tracked";
        let counts = self.buffers.iter().filter(tracked).count();
        let others: Vec<String> = self
            .buffers
            .iter()
            .filter(|name| !tracked(name))
            .cloned()
            .collect();
        let parts: [(usize, &str, &[String]); 7] = [
            (
                derived(Derivation::Mask),
                "multiplied by their pruning masks",
                &[],
            ),
            (
                derived(Derivation::WeightNorm),
                "computed from their weight norms",
                &[],
            ),
            (self.tied.len(), "shared with another use", &self.tied),
            (counts, "counts of batches not used", &[]),
            (others.len(), "other buffers not used", &others),
            (self.outside.len(), "tensors beside them not used", &[]),
            (self.ignored.len(), "ignored", &self.ignored),
        ];
        for (count, what, names) in parts {
            if count > 0 {
                write!(f, "; {count} {what}")?;
            }
            if !names.is_empty() {
                write!(f, " ({})", Listed(names))?;
            }
        }
        Ok(())
    }
}
