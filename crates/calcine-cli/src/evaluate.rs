//! `calcine evaluate`: what a network answers, measured.

use std::path::Path;

use calcine::zoo::reference::{self, Settings};

use crate::events::log;
use crate::failure::{Failure, bad};
use crate::options::{
    self, DataOptions, DeviceOptions, ReportOptions, WeightsOptions, no_recipe, positive,
};
use crate::progress::DownloadBar;
use crate::terminal::width;

/// Measure a network, float or quantized, on the test set.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A network of the zoo, such as resnet20, or a network file, float or quantized.
    #[arg(value_name = "MODEL")]
    model: String,
    #[command(flatten)]
    weights: WeightsOptions,
    #[command(flatten)]
    data: DataOptions,
    #[command(flatten)]
    device: DeviceOptions,
    /// Test images at most [default: all].
    #[arg(long, alias = "test-images", value_parser = positive::<usize>, value_name = "N", help_heading = "Data")]
    test_limit: Option<usize>,
    #[command(flatten)]
    report: ReportOptions,
}

/// A table that can be printed with the measurement.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum Summary {
    /// Zeros of every weight, by element and structure.
    Sparsity,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if args.device.lists() {
        return Ok(());
    }
    let recipe = Settings {
        test_limit: args.test_limit,
        ..no_recipe("the evaluation")
    };
    let settings = options::settings(
        Some(&args.model),
        &args.weights,
        &args.data,
        &args.device,
        recipe,
    )?;
    measure(&settings, &args.device, None, &args.report)
}

/// Measures and prints.
pub(crate) fn measure(
    settings: &Settings,
    device: &DeviceOptions,
    summary: Option<Summary>,
    output: &ReportOptions,
) -> Result<(), Failure> {
    let device = device.device()?;
    log(None::<&Path>)?;
    let download = DownloadBar::default();
    let mut downloading = |done, total| download.show(done, total);
    let (report, table) = reference::evaluate(settings, &device, &mut downloading).map_err(bad)?;
    if let Some(Summary::Sparsity) = summary {
        output.say(&table.fitted(width()));
    }
    if report.data_is_synthetic {
        output.say(&format!("NOT CIFAR-10: {}", report.data));
    }
    output.say(&format!(
        "{} on {} test images: top-1 {:.2} %, top-5 {:.2} %, loss {:.4}",
        report.model, report.test_images, report.top1, report.top5, report.loss
    ));
    output.finish(&serde_json::to_value(&report).map_err(bad)?);
    Ok(())
}
