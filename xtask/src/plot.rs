//! `cargo xtask plot`: runs side by side, as a chart.

use std::fs;
use std::path::{Path, PathBuf};

use calcine::plot::{Axis, Chart, Marks};

use crate::failure::Failure;
use crate::train_cifar::bad;

/// Draw top-1 against sparsity, a line for each run, from the `metrics.csv` of runs of `train-cifar`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The directories of the runs; each is labelled by its name.
    #[arg(required = true)]
    runs: Vec<PathBuf>,
    /// Where to write; `.svg` and `.png` are both written.
    #[arg(long, default_value = "runs/comparison")]
    out: PathBuf,
    /// The chart's title.
    #[arg(long, default_value = "Validation top-1 while the sparsity rises")]
    title: String,
}

/// Reads all runs, then writes both files beside and renames them.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let (x, y) = (
        Axis::new("sparsity", "%"),
        Axis::new("validation top-1", "%"),
    );
    let mut chart = Chart::new(args.title.as_str(), x, y).with_marks(Marks::LinesAndPoints);
    for run in &args.runs {
        let label = run.file_name().map_or_else(
            || run.display().to_string(),
            |name| name.to_string_lossy().into_owned(),
        );
        chart = chart.with_series(label, points(&run.join("metrics.csv"))?);
    }
    let svg = chart.to_svg().map_err(bad)?;
    let png = chart.to_png().map_err(bad)?;
    if let Some(directory) = args.out.parent() {
        fs::create_dir_all(directory)
            .map_err(|error| bad(format!("{}: {error}", directory.display())))?;
    }
    write(&args.out.with_extension("svg"), svg.as_bytes())?;
    write(&args.out.with_extension("png"), &png)
}

/// Sparsity and validation top-1 of every epoch, in percent.
fn points(file: &Path) -> Result<Vec<(f64, f64)>, Failure> {
    let wrong = |why: String| bad(format!("{}: {why}", file.display()));
    let mut reader = csv::Reader::from_path(file).map_err(|error| wrong(error.to_string()))?;
    let header = reader.headers().map_err(|error| wrong(error.to_string()))?;
    let column = |name: &str| {
        let at = header.iter().position(|found| found == name);
        at.ok_or_else(|| wrong(format!("no column `{name}`: expected a run's metrics")))
    };
    let (sparsity, top1) = (column("sparsity")?, column("validation_top1")?);
    let mut points = Vec::new();
    for (row, record) in reader.records().enumerate() {
        let record = record.map_err(|error| wrong(error.to_string()))?;
        let number = |at: usize| -> Result<f64, Failure> {
            let cell = record.get(at).unwrap_or_default();
            let row = row + 1;
            cell.parse()
                .map_err(|_| wrong(format!("row {row} has `{cell}`, expected a number")))
        };
        points.push((100.0 * number(sparsity)?, number(top1)?));
    }
    Ok(points)
}

fn write(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let partial = file.with_extension("partial");
    fs::write(&partial, bytes)
        .and_then(|()| fs::rename(&partial, file))
        .map_err(|error| bad(format!("{}: {error}", file.display())))?;
    eprintln!("wrote {}", file.display());
    Ok(())
}
