use std::fmt;

use serde::Serialize;

/// What a thinning did.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct ThinningReport {
    /// What was removed, group by group.
    pub removed: Vec<Removed>,
    /// The layers that got what removed channels had said.
    pub folded: Vec<FoldedConstants>,
    /// Outputs of weights that are zero and stay.
    pub kept: Vec<KeptZeros>,
    /// Norms and means that are over fewer features than before, so that the network computes something else.
    pub norms: Vec<NarrowedNorm>,
    /// How far the outputs are off on the inputs that were given; none if none were.
    pub difference: Option<Difference>,
    /// The network before.
    pub before: NetworkSize,
    /// The network after.
    pub after: NetworkSize,
}

/// Units of one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// The parameter that the group is called by.
    pub parameter: String,
    /// The axis of it.
    pub axis: usize,
    /// How many units there were.
    pub units: usize,
    /// How many of them went.
    pub removed: usize,
}

/// A layer that got constants in place of the channels that it read them from.
#[derive(Debug, Clone, PartialEq)]
pub struct FoldedConstants {
    /// The layer.
    pub layer: String,
    /// How many channels.
    pub channels: usize,
    /// Where the constants went.
    pub into: ConstantTarget,
    /// By how much an output of the layer can be off at the border, at most; 0 if nowhere.
    pub border_error: f64,
}

/// Where constants went.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ConstantTarget {
    /// Into the layer's bias, of this path.
    Bias(String),
    /// Into the running mean, of this path, of the batch norm behind the layer.
    Mean(String),
    /// Into a bias that the layer did not have.
    NewBias,
}

/// Outputs of a weight that are zero and stay, for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeptZeros {
    /// The weight.
    pub parameter: String,
    /// The axis of its outputs.
    pub axis: usize,
    /// How many outputs it has.
    pub length: usize,
    /// How many of them are zero and stay.
    pub zeros: usize,
    /// The node that needs them; none if they are an input or an output of the network, or the last.
    pub needed_by: Option<String>,
    /// Why, as a clause that names the node.
    pub reason: String,
}

/// A norm or a mean that is over fewer features than before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NarrowedNorm {
    /// The node.
    pub node: String,
    /// Its operation, `layer_norm` or `mean`.
    pub op: &'static str,
    /// How many features there were.
    pub before: usize,
    /// How many are left.
    pub after: usize,
}

/// How far the outputs of two networks are from one another.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Difference {
    /// The root mean square of the difference, in parts of that of the outputs before.
    pub relative: f64,
    /// The largest difference of two elements.
    pub largest: f64,
}

/// How large a network is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct NetworkSize {
    /// Elements of all parameters, running statistics included.
    pub parameters: usize,
    /// Multiply-accumulates for one sample.
    pub macs: u64,
}

impl ThinningReport {
    /// The most that any layer's output can be off at a border.
    #[must_use]
    pub fn border_error(&self) -> f64 {
        self.folded
            .iter()
            .map(|folded| folded.border_error)
            .fold(0.0, f64::max)
    }

    /// Adds to what went of the same group in an earlier round.
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
        write!(
            f,
            "parameters {} -> {}, multiply-accumulates {} -> {}",
            self.before.parameters, self.after.parameters, self.before.macs, self.after.macs
        )
    }
}
