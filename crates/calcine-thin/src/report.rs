use std::fmt;

/// What a thinning did.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Report {
    /// What was removed, group by group.
    pub removed: Vec<Removed>,
    /// The layers that got what removed channels had said.
    pub folded: Vec<Folded>,
    /// The network before.
    pub before: Size,
    /// The network after.
    pub after: Size,
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
pub struct Folded {
    /// The layer.
    pub layer: String,
    /// How many channels.
    pub channels: usize,
    /// Where the constants went.
    pub into: Into,
    /// By how much an output of the layer can be off at the border, at most; 0 if nowhere.
    pub border: f64,
}

/// Where constants went.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Into {
    /// Into the layer's bias, of this path.
    Bias(String),
    /// Into the running mean, of this path, of the batch norm behind the layer.
    Mean(String),
    /// Into a bias that the layer did not have.
    NewBias,
}

/// How large a network is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Size {
    /// Elements of all parameters, running statistics included.
    pub parameters: usize,
    /// Multiply-accumulates for one sample.
    pub macs: u64,
}

impl Report {
    /// The most that any layer's output can be off at a border.
    #[must_use]
    pub fn border(&self) -> f64 {
        self.folded
            .iter()
            .map(|folded| folded.border)
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

impl fmt::Display for Report {
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
                Into::Bias(path) | Into::Mean(path) => path.as_str(),
                Into::NewBias => "a new bias",
            };
            write!(
                f,
                "{}: {} constant channels into {into}",
                folded.layer, folded.channels
            )?;
            match folded.border {
                0.0 => writeln!(f)?,
                off => writeln!(f, ", off by at most {off:.2e} at the border")?,
            }
        }
        write!(
            f,
            "parameters {} -> {}, multiply-accumulates {} -> {}",
            self.before.parameters, self.after.parameters, self.before.macs, self.after.macs
        )
    }
}
