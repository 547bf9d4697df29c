//! `calcine activations`: statistics of what the layers of a network output.

use std::path::{Path, PathBuf};

use calcine::observe::{Per, Places};
use calcine::run::{ActivationSettings, Activations, Experiment};
use calcine::summary::Sheet;
use calcine::trace::{AnyTensor, Tensors};
use calcine::train::{Draw, Objective};

use crate::events::log;
use crate::failure::{Failure, bad};
use crate::logs;
use crate::options::{self, DataOptions, DeviceOptions, ReportOptions, WeightsOptions, positive};
use crate::settings::Settings;
use crate::setup::{Job, Setup};
use crate::terminal::width;
use crate::whole;

/// Measure activations over validation images in one pass: zeros, means, deviations, ranges, norms.
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
    /// Names and globs of layers and operations; `**` for all [default: activation functions].
    #[arg(long, num_args = 1.., value_name = "GLOB")]
    at: Vec<String>,
    /// Validation images at most, the first ones [default: all].
    #[arg(long, alias = "validation-images", value_parser = positive::<usize>, value_name = "N", help_heading = "Data")]
    validation_limit: Option<usize>,
    /// Also write layers.csv, channels.csv and the logs asked for into this directory [default: write nothing].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Also write the numbers by layer as scalars.
    #[arg(long, value_enum, value_delimiter = ',', requires = "out")]
    log: Vec<logs::Kind>,
    #[command(flatten)]
    report: ReportOptions,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if args.device.lists() {
        return Ok(());
    }
    let settings = options::settings(
        &args.model,
        &args.weights,
        &args.data,
        &args.device,
        Settings::without_recipe("the activations"),
    )?;
    let device = args.device.device()?;
    log(None)?;
    if let Some(out) = &args.out {
        whole::create(out)?;
        whole::announce(out);
    }
    let job = |setup: &Setup| setup.run("measuring activations of", Observe { args, setup });
    let result = Setup::new(&settings, &device).and_then(|setup| job(&setup));
    match &args.out {
        Some(out) => whole::or_none(out, result),
        None => result,
    }
}

struct Observe<'a> {
    args: &'a Args,
    setup: &'a Setup,
}

impl Job for Observe<'_> {
    type Output = ();

    fn run<O>(self, experiment: &Experiment<'_, Vec<AnyTensor>, O>) -> Result<(), Failure>
    where
        O: Objective,
        O::Output: Tensors,
    {
        let Self { args, setup } = self;
        let settings = ActivationSettings {
            places: if args.at.is_empty() {
                Places::activations()
            } else {
                Places::matching(args.at.iter().cloned())
            },
            draw: args.validation_limit.map_or(Draw::All, Draw::First),
            seed: setup.recipe.train().seed,
            ..ActivationSettings::default()
        };
        let found = experiment.activations(&settings).map_err(bad)?;
        if let Some(caveat) = setup.caveat() {
            args.report.say(&caveat);
        }
        args.report.say(&sheet(&found).fitted(width()));
        let names = experiment.names();
        args.report.say(&format!(
            "{} over {} validation {}",
            names.model, found.samples, names.samples
        ));
        let scalars = found.observed.scalars();
        if let Some(out) = &args.out {
            write(args, &found, &scalars, out)?;
            args.report.say(&whole::wrote(out));
        }
        let statistics: serde_json::Map<_, _> = scalars
            .into_iter()
            .map(|(tag, value)| (tag, value.into()))
            .collect();
        args.report.finish(&serde_json::json!({
            "model": names.model,
            "data": names.data,
            "data_is_synthetic": setup.dataset.source().is_synthetic(),
            "device": names.device,
            "samples": found.samples,
            "statistics": statistics,
            "out": args.out,
        }));
        Ok(())
    }
}

/// The tables, and the logs asked for.
fn write(
    args: &Args,
    found: &Activations,
    scalars: &[(String, f64)],
    out: &Path,
) -> Result<(), Failure> {
    whole::write(&out.join("layers.csv"), found.observed.csv(Per::Layer))?;
    whole::write(&out.join("channels.csv"), found.observed.csv(Per::Channel))?;
    let tag = |(tag, value): &(String, f64)| (format!("Activations/{tag}"), *value);
    let scalars: Vec<(String, f64)> = scalars.iter().map(tag).collect();
    let scalars: Vec<(&str, f64)> = scalars.iter().map(|(tag, v)| (tag.as_str(), *v)).collect();
    for kind in &args.log {
        let mut log = kind.open(out);
        log.scalars(0, &scalars).map_err(bad)?;
        log.flush().map_err(bad)?;
    }
    Ok(())
}

/// A row a layer.
fn sheet(found: &Activations) -> Sheet {
    let csv = found.observed.csv(Per::Layer);
    let mut rows = csv.lines().map(|line| line.split(',').map(short).collect());
    Sheet {
        header: rows.next().unwrap_or_default(),
        rows: rows.collect(),
    }
}

/// Numbers with four digits behind the point.
fn short(cell: &str) -> String {
    match cell.parse::<f64>() {
        Ok(number) => format!("{number:.4}"),
        Err(_) => cell.to_owned(),
    }
}
