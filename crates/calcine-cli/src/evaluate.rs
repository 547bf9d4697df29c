//! `calcine evaluate`: measures a network on a data set.

use calcine::run::Experiment;
use calcine::trace::{AnyTensor, Tensors};
use calcine::train::Objective;

use crate::events::log;
use crate::failure::Failure;
use crate::options::{DeviceOptions, JobOptions, ModelOptions, ReportOptions, positive};
use crate::settings::Settings;
use crate::setup::{Job, Setup};
use crate::terminal::width;

/// Measure a network, float or quantized, on the test set.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelOptions,
    /// Use at most this number of test samples [default: all].
    #[arg(long, alias = "test-images", value_parser = positive::<usize>, value_name = "N", help_heading = "Data")]
    test_limit: Option<usize>,
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
        test_limit: args.test_limit,
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
        let measured = experiment.evaluate().map_err(crate::failure::bad)?;
        let names = experiment.names();
        if let Some(Summary::Sparsity) = summary {
            report.say(&measured.sparsity.fitted(width()));
        }
        if let Some(caveat) = setup.caveat() {
            report.say(&caveat);
        }
        let (split, samples) = (measured.split.name(), &names.samples);
        let count = measured.evaluation.count;
        report.say(&format!(
            "{} on {count} {split} {samples}: {}",
            names.model,
            measured.evaluation.shown(&experiment.metrics())
        ));
        let weights = measured.sparsity.total();
        let mut json = serde_json::json!({
            "model": names.model,
            "data": names.data,
            "data_is_synthetic": setup.dataset.source().is_synthetic(),
            "normalization": setup.dataset.normalization(),
            "device": names.device,
            "recipe": setup.recipe.file(),
            "seed": setup.recipe.train().seed,
            "sparsity": weights.sparsity(),
            "parameters": weights.total,
            "nonzero": weights.nonzero,
            "seconds": measured.seconds,
        });
        json[format!("{split}_{samples}")] = count.into();
        json[format!("{samples}_per_second")] = (count as f64 / measured.seconds).into();
        add(&mut json, &measured.evaluation, "");
        report.finish(&json);
        Ok(())
    }
}

/// Adds loss and metrics to a report, with a suffix to their names.
pub(crate) fn add(
    json: &mut serde_json::Value,
    evaluation: &calcine::train::Evaluation,
    end: &str,
) {
    json[format!("loss{end}")] = evaluation.loss.into();
    for metric in &evaluation.metrics {
        json[format!("{}{end}", metric.name)] = metric.value.into();
    }
}
