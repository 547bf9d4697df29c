//! Where a data set came from.

use std::fmt;
use std::path::PathBuf;

/// Where a data set came from; `Display` is one line for the log.
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
    /// Downloaded just now.
    Download {
        /// From here.
        url: String,
        /// Into this directory, where it is found the next time.
        directory: PathBuf,
    },
    /// Synthetic images: figures that are measured on them say nothing about CIFAR-10.
    Synthetic {
        /// Why it is not the real set.
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
