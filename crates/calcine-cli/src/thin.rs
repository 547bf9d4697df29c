//! `calcine thin`: physically remove what is pruned from a network.

use std::path::{Path, PathBuf};

use calcine::criteria::Norm;
use calcine::graph::NormFeatures;
use calcine::thin::{Aggregation, PaddingEffect, ThinOptions};
use calcine::zoo::reference::{
    GroupPruning, RunDirectory, Settings, ThinRun, ThinSettings, thin_network,
};

use crate::events::log;
use crate::failure::{Failure, bad};
use crate::options::{
    self, DataOptions, DeviceOptions, ReportOptions, WeightsOptions, no_recipe, positive,
};
use crate::progress::DownloadBar;
use crate::terminal::width;
use crate::whole;

/// Remove the channels that a network computes nothing with, and measure what that changes.
///
/// Removes what is zero already, as in the network of a pruning run; with --level, groups of channels are pruned first. The
/// file `thinned.safetensors` holds the whole thinned network and is a MODEL for every command: `calcine train` fine-tunes
/// it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A network of the zoo, such as resnet20, or a network file.
    #[arg(value_name = "MODEL")]
    model: String,
    #[command(flatten)]
    weights: WeightsOptions,
    #[command(flatten)]
    data: DataOptions,
    #[command(flatten)]
    device: DeviceOptions,
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
    #[arg(long, alias = "test-images", value_parser = positive::<usize>, value_name = "N", help_heading = "Data")]
    test_limit: Option<usize>,
    /// Batch sizes to measure the speed with.
    #[arg(long, value_delimiter = ',', value_parser = positive::<usize>, value_name = "A,B,…", default_value = "1,64")]
    batches: Vec<usize>,
    /// The directory for the network, the plan and the report [default: one in `runs`, named after the time].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    report: ReportOptions,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if args.device.lists() {
        return Ok(());
    }
    let device = args.device.device()?;
    log(None)?;
    let settings = settings(args)?;
    let out = options::out(args.out.as_deref(), "thin");
    // Before hours of work, and until the last file is written.
    let directory = RunDirectory::for_results(&out, None).map_err(bad)?;
    whole::announce(&out);
    let download = DownloadBar::default();
    let run = thin_network(&settings, &device, &mut |done, total| {
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
        args.report.say(&format!("NOT CIFAR-10: {}", run.source));
    }
    args.report.say(&run.thinned.report.to_string());
    args.report.say(&table(&run));
    args.report.say(&whole::wrote(&out));
    args.report.finish(&report);
    drop(directory);
    Ok(())
}

fn settings(args: &Args) -> Result<ThinSettings, Failure> {
    let recipe = Settings {
        test_limit: args.test_limit,
        ..no_recipe("the thinning")
    };
    Ok(ThinSettings {
        network: options::settings(
            Some(&args.model),
            &args.weights,
            &args.data,
            &args.device,
            recipe,
        )?,
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
    })
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
