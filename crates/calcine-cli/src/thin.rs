//! `calcine thin`: physically remove what is pruned from a reference network.

use std::path::{Path, PathBuf};

use calcine::criteria::Norm;
use calcine::graph::NormFeatures;
use calcine::thin::{Aggregation, PaddingEffect, ThinOptions};
use calcine::zoo::reference::{
    GroupPruning, RunDirectory, Settings, ThinRun, ThinSettings, thin_network,
};

use crate::failure::Failure;
use crate::network::{self, Network, positive};
use crate::progress::DownloadBar;
use crate::terminal::{self, print_line, width};
use crate::train::{bad, log};
use crate::whole;

/// Remove the channels that a network computes nothing with, and measure what that changes.
///
/// Without options: the trained ResNet-20 that comes with the project, in which nothing is zero yet. Give
/// --weights a pruned network, or --level to prune groups of channels first. The file written holds the
/// thinned network whole; `train-cifar --weights FILE` fine-tunes it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    network: Network,
    /// Prune first: drop this share of each group of channels, with all layers that produce them [default: prune
    /// nothing].
    #[arg(long, value_name = "SHARE", value_parser = level)]
    level: Option<f64>,
    /// Names and globs of the weights whose channels are pruned [default: all].
    #[arg(long, num_args = 1.., value_name = "GLOB", requires = "level")]
    params: Vec<String>,
    /// By which norm of the filters: l1, l2 or max.
    #[arg(long, default_value = "l1", value_parser = norm, requires = "level")]
    norm: Norm,
    /// How the norms of filters that make a channel together are joined: sum, mean, max or first.
    #[arg(long, default_value = "sum", value_parser = aggregate, requires = "level")]
    aggregate: Aggregation,
    /// Leave numbers of channels that are a multiple of this.
    #[arg(long, default_value = "1", value_parser = positive::<usize>, value_name = "N", requires = "level")]
    multiple_of: usize,
    /// Keep channels whose removal would change padded borders.
    #[arg(long)]
    exact: bool,
    /// Let features of layer norms and RMS norms go, too: the network computes something else and has to train on.
    #[arg(long)]
    inexact: bool,
    /// Test images at most [default: all].
    #[arg(long, alias = "test-limit", value_parser = positive::<usize>, value_name = "N")]
    test_images: Option<usize>,
    /// Batch sizes to measure the speed with.
    #[arg(long, value_delimiter = ',', value_parser = positive::<usize>, value_name = "A,B,…", default_value = "1,64")]
    batches: Vec<usize>,
    /// The directory for the network, the plan and the report [default: one in `runs`, named after the time].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print one JSON object as the last line of stdout; everything else goes to stderr then.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if args.network.lists_devices() {
        return Ok(());
    }
    let device = network::device(&args.network.device)?;
    log(None)?;
    let out = out(args);
    // Before hours of work, and until the last file is written.
    let directory = RunDirectory::for_results(&out, None).map_err(bad)?;
    whole::announce(&out);
    let download = DownloadBar::default();
    let run = thin_network(&settings(args), &device, &mut |done, total| {
        download.show(done, total);
    });
    let run = match run {
        Ok(run) => run,
        Err(error) => {
            directory.give_up();
            return Err(bad(error));
        }
    };
    let network = out.join("thinned.safetensors");
    run.thinned.network.save(&network).map_err(bad)?;
    let plan = serde_json::to_string(&run.thinned.plan).map_err(bad)?;
    whole::write(&out.join("plan.json"), plan)?;
    let report = json(&run, &out);
    let text = serde_json::to_string_pretty(&report).map_err(bad)?;
    whole::write(&out.join("report.json"), text)?;
    if run.source.is_synthetic() {
        say(args, &format!("NOT CIFAR-10: {}", run.source));
    }
    say(args, &run.thinned.report.to_string());
    say(args, &table(&run));
    say(args, &whole::wrote(&out));
    if args.json {
        print_line(&report.to_string());
    }
    drop(directory);
    Ok(())
}

fn settings(args: &Args) -> ThinSettings {
    ThinSettings {
        network: Settings {
            test_limit: args.test_images,
            ..args.network.settings("the thinning")
        },
        prune: args.level.map(|level| GroupPruning {
            level,
            params: args.params.clone(),
            norm: args.norm,
            aggregation: args.aggregate,
            multiple: args.multiple_of,
        }),
        options: ThinOptions {
            padding_effect: match args.exact {
                true => PaddingEffect::KeepBorder,
                false => PaddingEffect::DropBorder,
            },
            norm_features: match args.inexact {
                true => NormFeatures::Removable,
                false => NormFeatures::Pinned,
            },
        },
        batches: args.batches.clone(),
    }
}

/// `runs/thin-<time>` unless something else is said.
fn out(args: &Args) -> PathBuf {
    let now = chrono::Local::now().format("%Y%m%d-%H%M%S");
    args.out
        .clone()
        .unwrap_or_else(|| Path::new("runs").join(format!("thin-{now}")))
}

fn table(run: &ThinRun) -> String {
    format!(
        "{}\n{}: top-1 on {} test images: {:.2} % before, {:.2} % pruned, {:.2} % thinned",
        run.sizes.sheet().fitted(width()),
        run.architecture,
        run.images,
        run.top1_before,
        run.top1_pruned,
        run.top1
    )
}

fn json(run: &ThinRun, out: &Path) -> serde_json::Value {
    let sizes = &run.sizes;
    serde_json::json!({
        "model": run.architecture.to_string(),
        "data": run.source.to_string(),
        "images": run.images,
        "top1_before": run.top1_before,
        "top1_pruned": run.top1_pruned,
        "top1": run.top1,
        "parameters_before": sizes.parameters_before,
        "parameters": sizes.parameters,
        "macs_before": sizes.macs_before,
        "macs": sizes.macs,
        "border_error": run.thinned.report.border_error(),
        "kept": run.thinned.report.kept,
        "norms": run.thinned.report.norms,
        "difference": run.thinned.report.difference,
        "speed": sizes.speed,
        "out": out,
    })
}

/// Reads the share of channels to drop for clap: not all of them.
fn level(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(level) if (0.0..1.0).contains(&level) => Ok(level),
        _ => Err("expected a number from 0 to below 1".to_owned()),
    }
}

fn norm(text: &str) -> Result<Norm, String> {
    match text {
        "l1" => Ok(Norm::L1),
        "l2" => Ok(Norm::L2),
        "max" => Ok(Norm::MAX),
        _ => Err("expected l1, l2 or max".to_owned()),
    }
}

fn aggregate(text: &str) -> Result<Aggregation, String> {
    match text {
        "sum" => Ok(Aggregation::Sum),
        "mean" => Ok(Aggregation::Mean),
        "max" => Ok(Aggregation::Max),
        "first" => Ok(Aggregation::First),
        _ => Err("expected sum, mean, max or first".to_owned()),
    }
}

fn say(args: &Args, text: &str) {
    terminal::say(args.json, text);
}
