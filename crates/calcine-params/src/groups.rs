use std::fmt;

/// The number of groups of a convolution, if it is known.
///
/// It can be compared with a number: `groups == 2` is false if the number is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Groups {
    /// The number of groups; 1 for layers that are not convolutions.
    Known(usize),
    /// Neither the layer nor the shape of its weight tells the number.
    Unknown,
}

impl Groups {
    /// The number, if it is known.
    #[must_use]
    pub const fn get(self) -> Option<usize> {
        match self {
            Self::Known(groups) => Some(groups),
            Self::Unknown => None,
        }
    }
}

impl PartialEq<usize> for Groups {
    fn eq(&self, groups: &usize) -> bool {
        self.get() == Some(*groups)
    }
}

impl fmt::Display for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(groups) => groups.fmt(f),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}
