use std::fmt;

/// How many groups a convolution has, if that is known.
///
/// It compares with a number: `groups == 2` is false where they are unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Groups {
    /// So many; 1 for all that is no convolution.
    Known(usize),
    /// The layer does not tell, and its weight's shape does not either.
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
