use std::path::PathBuf;

use calcine_criteria::Needs;
use calcine_params::{UnitError, UnknownParameter};

/// A scan that cannot be done or resumed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScanError {
    /// A pattern is malformed or matches nothing.
    #[error(transparent)]
    Parameter(#[from] UnknownParameter),
    /// A parameter that was asked for cannot be cut into units of this kind.
    #[error(transparent)]
    Unfit(#[from] UnitError),
    /// No weight of the model has such units.
    #[error("the model has no weight that can be cut into units of granularity `{granularity}`")]
    Nothing {
        /// The granularity.
        granularity: String,
    },
    /// A level outside 0 to 1, or none at all.
    #[error("{found} is no level: expected numbers from 0 to 1")]
    Level {
        /// What was found.
        found: String,
    },
    /// A score or a selection draws at random, and there is no seed.
    #[error("the score or the selection draws at random: give the scan a seed, `Scan::with_seed`")]
    Seed,
    /// The score or the selection needs more than the weights.
    #[error("a scan ranks units once, by weights alone, not by {needs:?} or what was kept before")]
    Evidence {
        /// What the score looks at.
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
        /// Examples of the unpruned model.
        baseline: usize,
        /// Examples of this point.
        found: usize,
    },
    /// The file is not one that this scan wrote.
    #[error("{}: {source}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        source: UnknownFile,
    },
    /// The file system refused.
    #[error("{}: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// A file that holds no scan, or another one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnknownFile {
    /// It is no CSV.
    #[error("{0}")]
    Csv(#[from] csv::Error),
    /// A cell that is no number.
    #[error("line {line}: `{text}` is not a number")]
    Number {
        /// The line, from 1.
        line: u64,
        /// The cell.
        text: String,
    },
    /// The columns are others.
    #[error("the columns are `{found}`, expected `{expected}`")]
    Columns {
        /// The header found.
        found: String,
        /// A header that would do.
        expected: String,
    },
    /// There is no row without a parameter, which is the unpruned model's.
    #[error("there is no row of the unpruned model, the one without a parameter")]
    NoBaseline,
    /// A row that the scan would not have written.
    #[error("`{parameter}` at {level} is of another scan: {reason}")]
    Stranger {
        /// The parameter.
        parameter: String,
        /// The level requested.
        level: f64,
        /// What differs.
        reason: String,
    },
    /// The unpruned model does not do as well as it did then.
    #[error(
        "the unpruned model has a loss of {found}, in the file {expected}: the weights, the images or the \
         labels are others"
    )]
    Baseline {
        /// In the file.
        expected: f64,
        /// Now.
        found: f64,
    },
}
