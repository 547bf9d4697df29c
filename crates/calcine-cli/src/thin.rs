//! `calcine thin`: removes pruned channels from a network.

use std::path::{Path, PathBuf};

use calcine::criteria::Aggregation;
use calcine::criteria::Norm;
use calcine::graph::NormFeatures;
use calcine::run::{Experiment, GroupPruning, RunDirectory, ThinSettings};
use calcine::thin::{PaddingEffect, ThinOptions};
use calcine::trace::{AnyTensor, Tensors};
use calcine::train::Objective;

use crate::events::log;
use crate::failure::{Failure, bad};
use crate::options::{self, ModelOptions, TestOptions, positive};
use crate::settings::Settings;
use crate::setup::{Job, Setup};
use crate::terminal::width;
use crate::whole;

/// Remove the channels of a network that are zero, and measure the difference.
///
/// Channels that are already zero are removed, as in the network of a pruning run. With --level, groups of channels are
/// pruned first. The file `thinned.safetensors` contains the whole thinned network and is a MODEL for every command:
/// `calcine train` fine-tunes it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelOptions,
    /// First prune this share of each dependency group of channels, together with all layers that produce them
    /// [default: prune nothing].
    #[arg(long, value_name = "SHARE", value_parser = level)]
    level: Option<f64>,
    /// Names or glob patterns of the weights whose channels are pruned [default: all].
    #[arg(long, num_args = 1.., value_name = "GLOB", requires = "level")]
    params: Vec<String>,
    /// The norm of the filters: l1, l2 or max.
    #[arg(long, default_value = "l1", value_parser = norm, requires = "level")]
    norm: Norm,
    /// How the norms of filters that produce a channel together are combined: sum, mean, max or first.
    #[arg(long, default_value = "sum", value_parser = aggregate, requires = "level")]
    aggregate: Aggregation,
    /// Keep a number of channels that is a multiple of this.
    #[arg(long, default_value = "1", value_parser = positive::<usize>, value_name = "N", requires = "level")]
    multiple_of: usize,
    /// Keep channels whose removal would change outputs at padded borders.
    #[arg(long)]
    exact: bool,
    /// Also remove features of layer norms and RMS norms: the network then computes something else and has to be
    /// fine-tuned.
    #[arg(long)]
    inexact: bool,
    #[command(flatten)]
    test: TestOptions,
    /// The batch sizes with which the speed is measured.
    #[arg(long, value_delimiter = ',', value_parser = positive::<usize>, value_name = "A,B,…", default_value = "1,64")]
    batches: Vec<usize>,
    /// The directory for the network, the plan and the report [default: one in `runs`, named after the time].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if args.model.job.device.lists() {
        return Ok(());
    }
    let device = args.model.job.device.device()?;
    log(None)?;
    let recipe = Settings {
        test_limit: args.test.test_limit,
        changes: true,
        ..Settings::without_recipe("the thinning")
    };
    let settings = args.model.settings(recipe)?;
    let out = options::out(args.out.as_deref(), "thin");
    // Before hours of work, and until the last file is written.
    let directory = RunDirectory::for_results(&out, None).map_err(bad)?;
    whole::announce(&out);
    let job = |setup: &Setup| {
        let job = Thin {
            args,
            setup,
            out: &out,
        };
        setup.run("thinning", job)
    };
    let result = Setup::new(&settings, &device).and_then(|setup| job(&setup));
    if result.is_err() {
        directory.give_up();
    }
    result
}

fn thinning(args: &Args) -> ThinSettings {
    ThinSettings {
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

struct Thin<'a> {
    args: &'a Args,
    setup: &'a Setup,
    out: &'a Path,
}

impl Job for Thin<'_> {
    type Output = ();

    fn run<O>(self, experiment: &Experiment<'_, Vec<AnyTensor>, O>) -> Result<(), Failure>
    where
        O: Objective,
        O::Output: Tensors,
    {
        let Self { args, setup, out } = self;
        let run = experiment.thin(&thinning(args)).map_err(bad)?;
        let saved = run.save(out).map_err(bad)?;
        let report = &args.model.job.report;
        setup.say_caveat(report);
        report.say(&run.thinned.report.to_string());
        report.say(&run.sizes.sheet().fitted(width()));
        report.say(&run.to_string());
        report.say(&whole::wrote(out));
        report.finish(&saved);
        Ok(())
    }
}

/// Parses the share of channels to drop, for clap: below 1.
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
