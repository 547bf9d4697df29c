use std::fmt;

use super::derived::Derivation;
use super::masks::PruningMask;
use super::problem::Listed;

/// The result of loading a file: which tensors were used, and which were not.
///
/// `Display` prints it in one line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoadReport {
    /// The prefix of the weights' names in the file, without the dot after it: `state_dict.module`. Empty if there is
    /// none.
    pub prefix: String,
    /// The loaded parameters and running statistics, in the order of the module, under PyTorch's names.
    pub loaded: Vec<String>,
    /// Parameters that the module uses in several places and that the file contains once.
    pub tied: Vec<String>,
    /// Weights that were computed from two tensors of the file.
    pub derived: Vec<(String, Derivation)>,
    /// The pruning masks of weights that were multiplied by them; [`LoadReport::masks_for`] returns them as masks of a
    /// module.
    pub masks: Vec<PruningMask>,
    /// Tensors under the prefix that are not weights, such as `num_batches_tracked`, and were not used.
    pub buffers: Vec<String>,
    /// Tensors outside the prefix, such as those of an optimizer, which were not used.
    pub outside: Vec<String>,
    /// Tensors and parameters that match [`LoadOptions::ignore`](super::LoadOptions::ignore); these parameters keep
    /// their values.
    pub ignored: Vec<String>,
}

impl LoadReport {
    /// Whether anything in the file was skipped or computed, apart from counts of batches and tensors outside the
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
