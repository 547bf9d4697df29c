//! `calcine evaluate`: measures a network on a data set.

use calcine::run::Experiment;
use calcine::trace::{AnyTensor, Tensors};
use calcine::train::Objective;

use crate::events::log;
use crate::failure::{Failure, bad};
use crate::options::{DeviceOptions, JobOptions, ModelOptions, ReportOptions, TestOptions};
use crate::settings::Settings;
use crate::setup::{Job, Setup};
use crate::terminal::width;

/// Measure a network, float or quantized, on the test set.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelOptions,
    #[command(flatten)]
    test: TestOptions,
}

/// A table that can be printed with the measurement.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum Summary {
    /// The zeros of each weight, by element and by structure.
    Sparsity,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if args.model.job.device.lists() {
        return Ok(());
    }
    let recipe = Settings {
        test_limit: args.test.test_limit,
        ..Settings::without_recipe("the evaluation")
    };
    let settings = args.model.settings(recipe)?;
    let JobOptions { device, report, .. } = &args.model.job;
    measure(&settings, device, None, report)
}

/// Measures the network and prints the result.
pub(crate) fn measure(
    settings: &Settings,
    device: &DeviceOptions,
    summary: Option<Summary>,
    report: &ReportOptions,
) -> Result<(), Failure> {
    let device = device.device()?;
    log(None)?;
    let setup = Setup::new(settings, &device)?;
    let job = Evaluate {
        setup: &setup,
        summary,
        report,
    };
    setup.run("evaluating", job)
}

struct Evaluate<'a> {
    setup: &'a Setup,
    summary: Option<Summary>,
    report: &'a ReportOptions,
}

impl Job for Evaluate<'_> {
    type Output = ();

    fn run<O>(self, experiment: &Experiment<'_, Vec<AnyTensor>, O>) -> Result<(), Failure>
    where
        O: Objective,
        O::Output: Tensors,
    {
        let Self {
            setup,
            summary,
            report,
        } = self;
        let measured = experiment.evaluate().map_err(bad)?;
        if let Some(Summary::Sparsity) = summary {
            report.say(&measured.sparsity.fitted(width()));
        }
        setup.say_caveat(report);
        report.say(&measured.to_string());
        report.finish(&measured);
        Ok(())
    }
}
