//! The source of a data set.

use std::fmt;
use std::path::PathBuf;

/// The source of a data set; `Display` describes it in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// Read from this directory or file.
    Path {
        /// What the data set is: `CIFAR-10`, `image folder`.
        name: String,
        /// The directory, archive or file.
        path: PathBuf,
    },
    /// It was downloaded now.
    Download {
        /// The address.
        url: String,
        /// The directory to which it was downloaded, where it will be found the next time.
        directory: PathBuf,
    },
    /// Synthetic images. Results on them are not results on CIFAR-10.
    Synthetic {
        /// The reason why it is not the real data set.
        reason: String,
    },
}

impl Source {
    /// The data set `name`, read from `path`.
    pub(crate) fn path(name: &str, path: impl Into<PathBuf>) -> Self {
        let name = name.to_owned();
        let path = path.into();
        Self::Path { name, path }
    }

    /// Whether the images are synthetic, in which case a report must say so.
    #[must_use]
    pub fn is_synthetic(&self) -> bool {
        matches!(self, Self::Synthetic { .. })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path { name, path } => write!(f, "{name} from {}", path.display()),
            Self::Download { url, directory } => {
                write!(
                    f,
                    "CIFAR-10 downloaded from {url} to {}",
                    directory.display()
                )
            }
            Self::Synthetic { reason } => write!(f, "synthetic images ({reason}), not CIFAR-10"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_one_line_and_knows_whether_it_is_synthetic() {
        let real = Source::path("CIFAR-10", "/data");
        let synthetic = Source::Synthetic {
            reason: "no network".into(),
        };
        assert_eq!(real.to_string(), "CIFAR-10 from /data");
        assert_eq!(
            synthetic.to_string(),
            "synthetic images (no network), not CIFAR-10"
        );
        assert!(!real.is_synthetic());
        assert!(synthetic.is_synthetic());
    }
}
