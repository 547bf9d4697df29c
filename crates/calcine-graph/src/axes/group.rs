use serde::Serialize;

/// The role of the indices of a parameter's axis for the channels of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Role {
    /// Produces the channel: filters of a convolution, outputs of a linear layer, features of an embedding.
    Output,
    /// Is added where the channel is produced.
    Bias,
    /// Scales or shifts the channel in a normalisation.
    Norm,
    /// The running mean or variance of the channel.
    Statistics,
    /// Consumes the channel and produces one from it alone: the filters of a depthwise convolution.
    Channelwise,
    /// Consumes the channel: the inputs of a convolution or a linear layer.
    Input,
    /// Is added to or multiplied with the channel element by element: a learned position, a scale of a layer.
    Elementwise,
    /// Is a divisor, an exponent or an operand of a comparison. Its indices are removed with the channel, but it is
    /// never set to zero.
    Operand,
}

impl Role {
    /// Whether parameters with this role have to be set to zero so that the channel is zero.
    #[must_use]
    pub const fn is_zeroed(self) -> bool {
        match self {
            Self::Output | Self::Bias | Self::Norm | Self::Channelwise | Self::Elementwise => true,
            Self::Statistics | Self::Input | Self::Operand => false,
        }
    }
}

/// An axis of a parameter that belongs to a group.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Member {
    /// The path of the parameter.
    pub path: String,
    /// The axis.
    pub axis: usize,
    /// The length of the axis, including indices outside of the group.
    pub length: usize,
    /// The role for the channels. If two nodes share a parameter, it is the role for the first node, unless that only
    /// consumes the channels and the second produces them.
    pub role: Role,
}

/// A unit: indices that can only be removed together.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Unit {
    /// For each member of the group, the indices along its axis, in ascending order.
    pub indices: Vec<Vec<usize>>,
}

/// A dependency group: axes of parameters whose indices are removed together, and the units in which they can be
/// removed.
///
/// # Examples
///
/// A convolution with 16 filters, its batch norm and the convolution that consumes its output form a group of 16 units.
/// An attention block whose heads have 64 features forms a group with one unit per head, each of which has 64 indices
/// of the outputs of the query.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Group {
    /// The axes, in the order of the parameters of the graph.
    pub members: Vec<Member>,
    /// The units, in the order of their lowest index along the first member.
    pub units: Vec<Unit>,
}

impl Group {
    /// The path and axis by which messages refer to the group: those of the first producer of its channels, or, if
    /// there is none, of the first member.
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

    /// The members with a role, each with its position in [`members`](Self::members).
    pub fn of_role(&self, role: Role) -> impl Iterator<Item = (usize, &Member)> {
        self.members
            .iter()
            .enumerate()
            .filter(move |(_, member)| member.role == role)
    }
}

/// The id of a unit: the positions of its group and of the unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UnitId {
    /// The position in [`Axes::groups`](crate::Axes::groups).
    pub group: usize,
    /// The position in [`Group::units`].
    pub unit: usize,
}
