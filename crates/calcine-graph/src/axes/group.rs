use serde::Serialize;

/// What the indices of a parameter's axis are to the channels of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Role {
    /// Makes the channel: a convolution's filters, a linear layer's outputs, an embedding's features.
    Output,
    /// Is added where the channel is made.
    Bias,
    /// Scales or shifts the channel in a normalisation.
    Norm,
    /// The channel's running mean or variance.
    Statistics,
    /// Reads the channel and makes one of it alone: a depthwise convolution's filters.
    Channelwise,
    /// Reads the channel: a convolution's or a linear layer's inputs.
    Input,
    /// Meets the channel element by element, as a summand or a factor: a learned position, a scale of a layer.
    Elementwise,
    /// Meets the channel as a divisor, an exponent or what it is compared with. It is cut along, but never zeroed.
    Operand,
}

impl Role {
    /// Whether zeroing a channel zeroes what has this role, so that nothing is made of it.
    #[must_use]
    pub const fn is_zeroed(self) -> bool {
        match self {
            Self::Output | Self::Bias | Self::Norm | Self::Channelwise | Self::Elementwise => true,
            Self::Statistics | Self::Input | Self::Operand => false,
        }
    }
}

/// An axis of a parameter that a group cuts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Member {
    /// The parameter's path.
    pub path: String,
    /// Which of its axes.
    pub axis: usize,
    /// How long the axis is, including what is not in the group.
    pub length: usize,
    /// What it is to the channels. A parameter that two nodes share has the role of the first, but if that only
    /// reads the channels and the second makes them.
    pub role: Role,
}

/// What can only be removed as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Unit {
    /// The indices along the axis of each of the group's members, ascending.
    pub indices: Vec<Vec<usize>>,
}

/// Axes of parameters that are cut together, and the units in which they can be.
///
/// # Examples
///
/// A convolution of 16 filters, its batch-norm and the convolution that reads them are a group of 16
/// units; an attention block whose heads have 64 features is one of as many units as heads, each with 64
/// indices of the query's outputs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Group {
    /// The axes, in the order of the graph's parameters.
    pub members: Vec<Member>,
    /// What can be removed, by the lowest index along the first member.
    pub units: Vec<Unit>,
}

impl Group {
    /// The path and axis by which messages call the group: the first that makes its channels, or else
    /// the first of all.
    #[must_use]
    pub fn name(&self) -> (&str, usize) {
        let producer = self
            .members
            .iter()
            .find(|member| member.role == Role::Output);
        producer
            .or(self.members.first())
            .map_or(("", 0), |member| (&member.path, member.axis))
    }

    /// The members of a role, each with its position in [`members`](Self::members).
    pub fn of_role(&self, role: Role) -> impl Iterator<Item = (usize, &Member)> {
        self.members
            .iter()
            .enumerate()
            .filter(move |(_, member)| member.role == role)
    }
}

/// A unit of a graph, by its group's position and its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UnitId {
    /// Position in [`Axes::groups`](crate::Axes::groups).
    pub group: usize,
    /// Position in [`Group::units`].
    pub unit: usize,
}
