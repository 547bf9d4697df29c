//! `calcine plot`: runs side by side, as a chart.

use std::fs;
use std::path::{Path, PathBuf};

use calcine::plot::{Axis, Chart, Marks};

use crate::failure::{Failure, bad};
use crate::terminal::stderr;
use crate::whole;

/// Draw top-1 against sparsity, a line for each run, from the `metrics.csv` of runs of `train-cifar`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The directories of the runs; each is labelled by its name.
    #[arg(required = true, value_name = "DIR")]
    runs: Vec<PathBuf>,
    /// Draw the results of the runs instead: test top-1 from `report.json`, a mark for each run, with one label for the
    /// runs of a recipe and one for the network before.
    #[arg(long = "final")]
    ends: bool,
    /// The file without its extension: an `.svg` and a `.png` are written.
    #[arg(long, value_name = "FILE", default_value = "runs/comparison")]
    out: PathBuf,
    /// The chart's title [default: what is drawn].
    #[arg(long)]
    title: Option<String>,
}

/// Reads all runs, then writes both files beside and renames them.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let chart = if args.ends {
        ends(args)?
    } else {
        courses(args)?
    };
    let svg = chart.to_svg().map_err(bad)?;
    let png = chart.to_png().map_err(bad)?;
    if let Some(directory) = args.out.parent() {
        whole::create(directory)?;
    }
    write(&args.out.with_extension("svg"), svg.as_bytes())?;
    write(&args.out.with_extension("png"), &png)
}

impl Args {
    fn chart(&self, title: &str, top1: &str) -> Chart {
        let (x, y) = (Axis::new("sparsity", "%"), Axis::new(top1, "%"));
        Chart::new(self.title.as_deref().unwrap_or(title), x, y)
    }
}

/// A line a run: its epochs.
fn courses(args: &Args) -> Result<Chart, Failure> {
    let title = "Validation top-1 while the sparsity rises";
    let mut chart = args.chart(title, "validation top-1");
    for run in &args.runs {
        let label = name_of(run);
        chart = chart.with_series(label, points(&run.join("metrics.csv"))?);
    }
    Ok(chart.with_marks(Marks::LinesAndPoints))
}

/// A mark a run: its end.
fn ends(args: &Args) -> Result<Chart, Failure> {
    let mut before: Vec<(f64, f64)> = Vec::new();
    let mut series: Vec<(String, Vec<(f64, f64)>)> = Vec::new();
    for run in &args.runs {
        let end = End::read(&run.join("report.json"))?;
        let unpruned = (0.0, end.top1_before);
        if !before.contains(&unpruned) {
            before.push(unpruned);
        }
        let point = (100.0 * end.sparsity, end.top1);
        match series.iter_mut().find(|(recipe, _)| *recipe == end.recipe) {
            Some((_, points)) => points.push(point),
            None => series.push((end.recipe, vec![point])),
        }
    }
    let title = "Test top-1 against sparsity";
    let mut chart = args.chart(title, "test top-1").with_marks(Marks::Points);
    chart.x = chart.x.with_range(0.0, 100.0);
    for (recipe, points) in series {
        let label = match points.len() {
            1 => recipe,
            runs => format!("{recipe}, {runs} runs"),
        };
        chart = chart.with_series(label, points);
    }
    Ok(chart.with_series("before", before))
}

/// What a run came to.
struct End {
    recipe: String,
    sparsity: f64,
    top1: f64,
    top1_before: f64,
}

impl End {
    fn read(file: &Path) -> Result<Self, Failure> {
        let wrong = |why: String| bad(format!("{}: {why}", file.display()));
        let text = fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
        let report: serde_json::Value =
            serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        let missing = |key: &str| wrong(format!("no `{key}`: expected a finished run's report"));
        let number = |key: &str| report[key].as_f64().ok_or_else(|| missing(key));
        let recipe = report["recipe"].as_str().ok_or_else(|| missing("recipe"))?;
        Ok(Self {
            recipe: name_of(&Path::new(recipe).with_extension("")),
            sparsity: number("sparsity")?,
            top1: number("top1")?,
            top1_before: number("top1_before")?,
        })
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().map_or_else(
        || path.display().to_string(),
        |name| name.to_string_lossy().into_owned(),
    )
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
    whole::write(file, bytes)?;
    stderr(&format!("wrote {}", file.display()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_one_recipe_are_one_series_and_the_network_before_is_another() {
        let directory = tempfile::tempdir().unwrap();
        let run = |name: &str, recipe: &str, top1: f64| {
            let run = directory.path().join(name);
            fs::create_dir(&run).unwrap();
            let report = serde_json::json!({
                "recipe": recipe, "sparsity": 0.9, "top1": top1, "top1_before": 86.5,
            });
            fs::write(run.join("report.json"), report.to_string()).unwrap();
            run
        };
        let args = Args {
            runs: vec![
                run("a", "recipes/lamp.toml", 80.0),
                run("b", "agp.toml", 70.0),
                run("c", "recipes/lamp.toml", 81.0),
            ],
            ends: true,
            out: PathBuf::new(),
            title: None,
        };
        let chart = ends(&args).unwrap_or_else(|error| panic!("{error}"));
        let series: Vec<_> = chart
            .series
            .into_iter()
            .map(|s| (s.label, s.points))
            .collect();
        let expected = [
            ("lamp, 2 runs".to_owned(), vec![(90.0, 80.0), (90.0, 81.0)]),
            ("agp".to_owned(), vec![(90.0, 70.0)]),
            ("before".to_owned(), vec![(0.0, 86.5)]),
        ];
        assert_eq!(series, expected);

        let unfinished = directory.path().join("a/report.json");
        fs::write(&unfinished, "{}").unwrap();
        let error = End::read(&unfinished).err().unwrap().to_string();
        assert!(
            error.ends_with("no `recipe`: expected a finished run's report"),
            "{error}"
        );
    }
}
