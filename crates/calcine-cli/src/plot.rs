//! `calcine plot`: a chart that compares runs.

use std::path::PathBuf;

use calcine::run::{compare_epochs, compare_results};

use crate::failure::{Failure, bad};
use crate::terminal::stderr;
use crate::whole;

/// Draw the validation metric of runs against their sparsity: a line for each run, with a point for each epoch.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The directories of the runs; each is labelled by its name.
    #[arg(required = true, value_name = "DIR")]
    runs: Vec<PathBuf>,
    /// Draw the results of finished runs instead: the metric on the test set, with a mark for each run, and one label for
    /// the runs of a recipe and one for the network before.
    #[arg(long = "final")]
    results: bool,
    /// The file without its extension: an `.svg` and a `.png` are written.
    #[arg(long, value_name = "FILE", default_value = "runs/comparison")]
    out: PathBuf,
    /// The title of the chart [default: what is drawn].
    #[arg(long)]
    title: Option<String>,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let chart = match args.results {
        true => compare_results(&args.runs),
        false => compare_epochs(&args.runs),
    };
    let mut chart = chart.map_err(bad)?;
    if let Some(title) = &args.title {
        chart.title.clone_from(title);
    }
    let (svg, png) = (chart.to_svg().map_err(bad)?, chart.to_png().map_err(bad)?);
    if let Some(directory) = args.out.parent() {
        whole::create(directory)?;
    }
    for (extension, bytes) in [("svg", svg.as_bytes()), ("png", &png)] {
        let file = args.out.with_extension(extension);
        whole::write(&file, bytes)?;
        stderr(&format!("wrote {}", file.display()));
    }
    Ok(())
}
