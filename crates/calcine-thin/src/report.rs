use std::fmt;

use serde::Serialize;

/// The result of thinning.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct ThinningReport {
    /// The removed units, by group.
    pub removed: Vec<Removed>,
    /// The layers that received the constants of removed channels.
    pub folded: Vec<FoldedConstants>,
    /// The outputs of weights that are zero and were not removed.
    pub kept: Vec<KeptZeros>,
    /// The norms and means that are computed over fewer features than before, which changes the outputs.
    pub norms: Vec<NarrowedNorm>,
    /// The difference of the outputs for the given inputs; `None` if no inputs were given.
    pub difference: Option<Difference>,
    /// The size of the network before thinning.
    pub before: NetworkSize,
    /// The size of the network after thinning.
    pub after: NetworkSize,
}

/// The removed units of one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// The parameter that identifies the group.
    pub parameter: String,
    /// The axis of the parameter.
    pub axis: usize,
    /// The number of units before.
    pub units: usize,
    /// The number of removed units.
    pub removed: usize,
}

/// A layer that received the constants of the removed channels that it read.
#[derive(Debug, Clone, PartialEq)]
pub struct FoldedConstants {
    /// The layer.
    pub layer: String,
    /// The number of channels.
    pub channels: usize,
    /// The vector to which the constants were added.
    pub into: ConstantTarget,
    /// The largest possible error of an output at the border; 0 if there is none.
    pub border_error: f64,
}

/// The vector to which constants were added.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ConstantTarget {
    /// The bias of the layer, with this path.
    Bias(String),
    /// The running mean, with this path, of the batch norm behind the layer.
    Mean(String),
    /// A new bias, because the layer had none.
    NewBias,
}

/// Outputs of a weight that are zero and were not removed, for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeptZeros {
    /// The weight.
    pub parameter: String,
    /// The axis of its outputs.
    pub axis: usize,
    /// The number of outputs of the weight.
    pub length: usize,
    /// The number of outputs that are zero and were not removed.
    pub zeros: usize,
    /// The node that needs them; `None` if they are an input or an output of the network, or the last output of their
    /// group.
    pub needed_by: Option<String>,
    /// The reason, as a clause that names the node.
    pub reason: String,
}

/// A norm or a mean that is computed over fewer features than before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NarrowedNorm {
    /// The node.
    pub node: String,
    /// The operation of the node, `layer_norm` or `mean`.
    pub op: &'static str,
    /// The number of features before.
    pub before: usize,
    /// The number of remaining features.
    pub after: usize,
}

/// The difference between the outputs of two networks.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Difference {
    /// The root mean square of the difference, relative to that of the original outputs.
    pub relative: f64,
    /// The largest difference of two elements.
    pub largest: f64,
}

/// The size of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct NetworkSize {
    /// The number of elements of all parameters, including running statistics.
    pub parameters: usize,
    /// Multiply-accumulates for one sample.
    pub macs: u64,
}

impl ThinningReport {
    /// The largest possible error of any layer's output at a border.
    #[must_use]
    pub fn border_error(&self) -> f64 {
        self.folded
            .iter()
            .map(|folded| folded.border_error)
            .fold(0.0, f64::max)
    }

    /// Adds units to those that were removed from the same group in an earlier round.
    pub(crate) fn remove(&mut self, more: Removed) {
        let known = self.removed.iter_mut();
        let same =
            |known: &&mut Removed| known.parameter == more.parameter && known.axis == more.axis;
        match known.into_iter().find(same) {
            Some(known) => known.removed += more.removed,
            None => self.removed.push(more),
        }
    }
}

impl fmt::Display for ThinningReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for group in &self.removed {
            let Removed {
                parameter,
                axis,
                units,
                removed,
            } = group;
            writeln!(f, "{parameter} axis {axis}: {removed} of {units} removed")?;
        }
        for folded in &self.folded {
            let into = match &folded.into {
                ConstantTarget::Bias(path) | ConstantTarget::Mean(path) => path.as_str(),
                ConstantTarget::NewBias => "a new bias",
            };
            write!(
                f,
                "{}: {} constant channels into {into}",
                folded.layer, folded.channels
            )?;
            match folded.border_error {
                0.0 => writeln!(f)?,
                off => writeln!(f, ", off by at most {off:.2e} at the border")?,
            }
        }
        for kept in &self.kept {
            let KeptZeros {
                parameter,
                axis,
                length,
                zeros,
                reason,
                ..
            } = kept;
            writeln!(
                f,
                "{parameter} axis {axis}: {zeros} of {length} are zero and stay: {reason}"
            )?;
        }
        for norm in &self.norms {
            let NarrowedNorm {
                node,
                op,
                before,
                after,
            } = norm;
            writeln!(f, "`{op}` at {node}: over {after} of {before} features")?;
        }
        if let Some(difference) = self.difference {
            writeln!(
                f,
                "outputs differ by {:.2e} of their root mean square, by {:.2e} at most",
                difference.relative, difference.largest
            )?;
        }
        let (before, after) = (&self.before, &self.after);
        let [from, to] = [before.parameters, after.parameters];
        writeln!(f, "parameters and running statistics {from} -> {to}")?;
        let [from, to] = [before.macs, after.macs];
        write!(f, "multiply-accumulates {from} -> {to}")
    }
}
