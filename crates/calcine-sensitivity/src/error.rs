use std::path::PathBuf;

use calcine_criteria::Needs;
use calcine_params::{UnitError, UnknownParameter};

/// The reason why a scan cannot be executed or resumed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScanError {
    /// A pattern is malformed or matches nothing.
    #[error(transparent)]
    Parameter(#[from] UnknownParameter),
    /// A requested parameter cannot be divided into these units.
    #[error(transparent)]
    Unfit(#[from] UnitError),
    /// No weight of the model has such units.
    #[error("the model has no weight that can be cut into units of granularity `{granularity}`")]
    Nothing {
        /// The granularity.
        granularity: String,
    },
    /// A level is outside 0 to 1, or there are no levels.
    #[error("{found} is not a level: expected numbers from 0 to 1")]
    Level {
        /// The given levels.
        found: String,
    },
    /// A score or a selection uses random numbers, and there is no seed.
    #[error("the score or the selection draws at random: give the scan a seed, `Scan::with_seed`")]
    Seed,
    /// The score or the selection needs more than the weights.
    #[error("a scan ranks units once, by weights alone, not by {needs:?} or what was kept before")]
    Evidence {
        /// The required inputs of the score.
        needs: Needs,
    },
    /// Two evaluations returned the losses of different numbers of examples.
    #[error(
        "the unpruned model was measured on {baseline} examples, `{parameter}` at {level} on {found}"
    )]
    Unpaired {
        /// The parameter.
        parameter: String,
        /// The level.
        level: f64,
        /// The number of examples of the unpruned model.
        baseline: usize,
        /// The number of examples of this point.
        found: usize,
    },
    /// The file was not written by this scan.
    #[error("{}: {source}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// The problem.
        source: UnknownFile,
    },
    /// A file cannot be read or written.
    #[error("{}: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// The error of the file system.
        source: std::io::Error,
    },
}

/// The reason why a file does not contain this scan.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnknownFile {
    /// The file is not CSV.
    #[error("{0}")]
    Csv(#[from] csv::Error),
    /// A cell is not a number.
    #[error("line {line}: `{text}` is not a number")]
    Number {
        /// The line, counted from 1.
        line: u64,
        /// The cell.
        text: String,
    },
    /// The columns are different.
    #[error("the columns are `{found}`, expected `{expected}`")]
    Columns {
        /// The header of the file.
        found: String,
        /// A valid header.
        expected: String,
    },
    /// There is no row without a parameter, which is that of the unpruned model.
    #[error("the row of the unpruned model, which has no parameter, is missing")]
    NoBaseline,
    /// The scan would not have written this row.
    #[error("`{parameter}` at {level} is of another scan: {reason}")]
    Stranger {
        /// The parameter.
        parameter: String,
        /// The requested level.
        level: f64,
        /// The difference.
        reason: String,
    },
    /// The unpruned model does not have the same evaluation as before.
    #[error(
        "the unpruned model has a loss of {found}, in the file {expected}: the weights, the images or the \
         labels are others"
    )]
    Baseline {
        /// The evaluation in the file.
        expected: f64,
        /// The current evaluation.
        found: f64,
    },
}
