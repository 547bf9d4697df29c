//! `cargo xtask quantize`: a reference network in small integers, after training.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use calcine::plot::{Axis, Chart, Panels};
use calcine::quantize::{SearchError, Settings as Grids, Widths};
use calcine::summary::Sheet;
use calcine::train::StopFlag;
use calcine::zoo::reference::{
    QuantizeRun, QuantizeSettings, ReferenceError, Search, SearchSettings, Settings,
    quantize_network,
};

use crate::failure::Failure;
use crate::interrupt::stop_on_ctrl_c;
use crate::network::{Network, positive};
use crate::progress::{DownloadBar, TrialLines, stderr};
use crate::train_cifar::{bad, log, print_line};
use crate::whole;

/// Quantize a network after training: calibrate, quantize, measure on the test set, save.
///
/// Without options: the trained ResNet-20 that comes with the project, 8 bits throughout. The quantized network
/// computes with whole numbers, as an integer engine does, bit for bit.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    network: Network,
    /// A file that says how: bits, schemes, ways to clip, layers that differ [default: 8 bits].
    #[arg(long, value_name = "FILE.toml")]
    recipe: Option<PathBuf>,
    /// Validation images to calibrate with, drawn by the seed.
    #[arg(long, value_parser = positive, value_name = "N", default_value = "1000")]
    images: usize,
    /// Ranges from the calibration.json of an earlier run, instead of calibrating.
    #[arg(long, value_name = "FILE.json", conflicts_with = "images")]
    calibration: Option<PathBuf>,
    /// Look for better grids first, by how far answers to other validation images are from the float network's: `lapq`
    /// stretches every grid, `greedy` tries ways to clip each, `widths` tries fewer bits of each layer's weights. Ctrl-C
    /// stops after a trial; the same command with the same `--out` goes on.
    #[arg(long, value_enum)]
    search: Option<How>,
    /// Validation images whose answers a search compares.
    #[arg(long, value_parser = positive, value_name = "N", default_value = "500")]
    search_images: usize,
    /// Rounds of `lapq` over all grids.
    #[arg(long, value_name = "N", default_value = "1")]
    rounds: usize,
    /// The widths that `widths` tries.
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u8).range(2..=16), default_value = "8,6,5,4,3,2")]
    bits: Vec<u8>,
    /// Bytes that the file may take: `widths` chooses the bits of each layer.
    #[arg(long, value_name = "BYTES")]
    budget: Option<u64>,
    /// Test and validation images at most.
    #[arg(long, value_parser = positive, value_name = "N")]
    test_limit: Option<usize>,
    /// Decides which images are drawn.
    #[arg(long, default_value = "0")]
    seed: u64,
    /// The directory for the network, the calibration and the report; by default one in `runs`.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Print one JSON object as the last line of stdout; everything else goes to stderr then.
    #[arg(long)]
    json: bool,
}

/// A way to look for grids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum How {
    /// Ranges that together lose least (Nahshan et al., 2021).
    Lapq,
    /// The best way to clip each, one after the other.
    Greedy,
    /// What fewer bits cost, and mixed precision.
    Widths,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let network = &args.network;
    if network.device == "list" {
        calcine::device::compiled().into_iter().for_each(print_line);
        return Ok(());
    }
    let grids = match &args.recipe {
        Some(file) => Grids::from_file(file).map_err(bad)?,
        None => Grids::default(),
    };
    let device = calcine::device::by_name(&network.device).map_err(bad)?;
    log(None)?;
    if args.budget.is_some() && args.search != Some(How::Widths) {
        return Err(bad("`--budget` is for `--search widths`"));
    }
    let download = DownloadBar::default();
    let out = out(args);
    if args.search.is_some() {
        create(&out)?;
    }
    let search = args.search.map(|how| SearchSettings {
        search: match how {
            How::Lapq => Search::Lapq {
                rounds: args.rounds,
            },
            How::Greedy => Search::Greedy,
            How::Widths => Search::Widths {
                bits: args.bits.clone(),
                budget: args.budget,
            },
        },
        images: args.search_images,
        trials: Some(out.join("trials.json")),
    });
    let mut trials = TrialLines::default();
    let stop = StopFlag::default();
    if search.is_some() {
        stop_on_ctrl_c(
            &stop,
            "stopping after this trial; press Ctrl-C again to stop at once",
        )?;
    }
    let settings = QuantizeSettings {
        network: Settings {
            model: network.model(),
            weights: network.weights.clone(),
            data: network.data.clone(),
            device: network.device.clone(),
            test_limit: args.test_limit,
            seed: Some(args.seed),
            ..Settings::new("the quantization", "format = 1\n[train]\nepochs = 1\n")
        },
        grids,
        images: args.images,
        seen: args.calibration.clone(),
        search,
    };
    let run = quantize_network(
        &settings,
        &device,
        &mut |done, total| download.show(done, total),
        &mut |done, score| {
            trials.show(done, score);
            if stop.is_raised() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        },
    );
    trials.close();
    let run = match run {
        Err(ReferenceError::Search(SearchError::Stopped { done })) => {
            let out = out.display();
            stderr(&format!(
                "stopped after {done} trials; go on with the same command and --out {out}"
            ));
            return Ok(());
        }
        run => run.map_err(bad)?,
    };
    create(&out)?;
    let file = out.join("quantized.safetensors");
    run.quantized.save(&file).map_err(bad)?;
    run.seen.save(&out.join("calibration.json")).map_err(bad)?;
    let bytes = std::fs::metadata(&file).map_or(0, |file| file.len());
    if args.search.is_some() {
        whole::write(&out.join("recipe.toml"), run.grids.to_toml())?;
    }
    if let Some(widths) = &run.widths {
        draw(&run, widths, &out)?;
    }
    let chosen = run.widths.as_ref().filter(|_| args.budget.is_some());
    let forecast = chosen.map(|widths| widths.forecast(&run.grids));
    let report = json(args, &run, [Some(bytes), forecast], &out);
    let text = serde_json::to_string_pretty(&report).map_err(bad)?;
    whole::write(&out.join("report.json"), text)?;
    if run.source.is_synthetic() {
        say(args, &format!("NOT CIFAR-10: {}", run.source));
    }
    say(args, &table(&run, bytes, forecast));
    let said = run.quantized.report().to_string();
    if !said.is_empty() {
        say(args, said.trim_end());
    }
    say(args, &format!("wrote {}", file.display()));
    if args.json {
        print_line(&report.to_string());
    }
    Ok(())
}

fn create(out: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(out).map_err(|error| bad(format!("{}: {error}", out.display())))
}

/// Writes what each layer's widths cost, as a table and as charts.
fn draw(run: &QuantizeRun, widths: &Widths, out: &Path) -> Result<(), Failure> {
    whole::write(&out.join("widths.csv"), widths.to_csv())?;
    let title = format!(
        "{}: top-1 with the weights of one layer in fewer bits",
        run.architecture
    );
    let (x, y) = (Axis::new("bits of a weight", ""), Axis::new("top-1", "%"));
    let chart = widths
        .layers
        .iter()
        .fold(Chart::new(title, x, y), |chart, layer| {
            let points = layer.widths.iter();
            let points = points.map(|width| (f64::from(width.bits), width.score.top1));
            chart.with_series(layer.name.as_str(), points)
        });
    let panels: Panels = chart.clone().into();
    whole::write(&out.join("widths.svg"), chart.to_svg().map_err(bad)?)?;
    whole::write(&out.join("widths.png"), chart.to_png().map_err(bad)?)?;
    whole::write(&out.join("panels.svg"), panels.to_svg().map_err(bad)?)?;
    whole::write(&out.join("panels.png"), panels.to_png().map_err(bad)?)
}

/// `runs/<recipe>-<time>` unless something else is said.
fn out(args: &Args) -> PathBuf {
    let now = chrono::Local::now().format("%Y%m%d-%H%M%S");
    let name = args.recipe.as_deref().and_then(Path::file_stem);
    let name = name.map_or("quantized".into(), |name| name.to_string_lossy());
    args.out
        .clone()
        .unwrap_or_else(|| Path::new("runs").join(format!("{name}-{now}")))
}

fn table(run: &QuantizeRun, bytes: u64, forecast: Option<u64>) -> String {
    let row = |name: &str, before: String, after: String| vec![name.to_owned(), before, after];
    let mut rows = vec![
        row(
            "top-1",
            format!("{:.2}", run.before.top1),
            format!("{:.2}", run.after.top1),
        ),
        row(
            "top-5",
            format!("{:.2}", run.before.top5),
            format!("{:.2}", run.after.top5),
        ),
        row(
            "loss",
            format!("{:.4}", run.before.loss),
            format!("{:.4}", run.after.loss),
        ),
        row(
            "bytes of parameters",
            run.bytes_before.to_string(),
            run.quantized.stored_bytes().to_string(),
        ),
        row("bytes of the file", String::new(), bytes.to_string()),
    ];
    if let Some(forecast) = forecast {
        let forecast = forecast.to_string();
        rows.push(row("bytes of the file, forecast", String::new(), forecast));
    }
    let header = ["", "float", "quantized"].map(str::to_owned).to_vec();
    format!(
        "{}\n{} on {} test images, calibrated with {} images",
        Sheet { header, rows },
        run.architecture,
        run.after.count,
        run.seen.samples
    )
}

fn json(
    args: &Args,
    run: &QuantizeRun,
    [bytes, forecast]: [Option<u64>; 2],
    out: &Path,
) -> serde_json::Value {
    serde_json::json!({
        "model": run.architecture.to_string(),
        "data": run.source.to_string(),
        "device": args.network.device,
        "recipe": args.recipe,
        "seed": args.seed,
        "images": run.seen.samples,
        "test_images": run.after.count,
        "top1_before": run.before.top1,
        "top1": run.after.top1,
        "top5": run.after.top5,
        "loss_before": run.before.loss,
        "loss": run.after.loss,
        "bytes_before": run.bytes_before,
        "bytes": run.quantized.stored_bytes(),
        "file_bytes": bytes,
        "file_bytes_forecast": forecast,
        "report": run.quantized.report(),
        "warnings": run.quantized.report().warnings(),
        "out": out,
    })
}

fn say(args: &Args, text: &str) {
    if args.json {
        stderr(text);
    } else {
        print_line(text);
    }
}
