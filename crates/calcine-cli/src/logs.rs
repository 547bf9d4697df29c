//! The logs that a training run writes in addition to `metrics.csv`.

use std::path::Path;

use calcine::train::{CsvLog, Log, Logged, TensorBoard};

use crate::failure::Failure;

const SCALARS: &str = "scalars.csv";
const TENSORBOARD: &str = "tensorboard";

/// A kind of log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// All values by step, in `scalars.csv`.
    Csv,
    /// Event files, in the directory `tensorboard`.
    Tensorboard,
}

/// Whether histograms of the weights are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Histograms {
    Off,
    On,
}

impl Kind {
    const ALL: [Self; 2] = [Self::Csv, Self::Tensorboard];

    fn name(self) -> &'static str {
        match self {
            Self::Csv => SCALARS,
            Self::Tensorboard => TENSORBOARD,
        }
    }

    pub(crate) fn open(self, out: &Path) -> Box<dyn Log> {
        let path = out.join(self.name());
        match self {
            Self::Csv => Box::new(CsvLog::new(path)),
            Self::Tensorboard => Box::new(TensorBoard::new(path)),
        }
    }
}

/// Opens the logs of the run in `out`: the requested ones, and those that the run already has. If a resumed run did not
/// continue a log, the log would be wrong about the steps that are repeated.
pub(crate) fn open(
    out: &Path,
    asked: &[Kind],
    histograms: Histograms,
) -> Result<Logged<Vec<Box<dyn Log>>>, Failure> {
    let wanted = |kind: &Kind| asked.contains(kind) || out.join(kind.name()).exists();
    let kinds: Vec<Kind> = Kind::ALL.into_iter().filter(wanted).collect();
    let logged = Logged::new(kinds.iter().map(|kind| kind.open(out)).collect());
    match histograms {
        Histograms::Off => Ok(logged),
        Histograms::On if kinds.contains(&Kind::Tensorboard) => Ok(logged.with_histograms()),
        Histograms::On => {
            let message = "--histograms go to TensorBoard: add --log tensorboard";
            Err(Failure::new(message).with_exit_code(2))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_run_goes_on_with_the_logs_it_has() {
        let out = tempfile::tempdir().unwrap();
        let count = |asked: &[Kind]| {
            let logged = open(out.path(), asked, Histograms::Off).unwrap();
            logged.finish().unwrap().len()
        };
        assert_eq!((count(&[]), count(&[Kind::Csv])), (0, 1));
        std::fs::create_dir(out.path().join("tensorboard")).unwrap();
        assert_eq!((count(&[]), count(&Kind::ALL)), (1, 2));
        assert!(open(out.path(), &[Kind::Csv], Histograms::On).is_ok());
    }

    #[test]
    fn histograms_need_tensorboard() {
        let out = tempfile::tempdir().unwrap();
        let refused = open(out.path(), &[Kind::Csv], Histograms::On).map(drop);
        assert_eq!(refused.unwrap_err().exit_code(), 2);
    }
}
