//! `calcine activations`: statistics of the outputs of a network's layers.

use std::path::{Path, PathBuf};

use calcine::observe::{Per, Places};
use calcine::run::{ActivationSettings, Activations, Experiment};
use calcine::trace::{AnyTensor, Tensors};
use calcine::train::{Draw, Objective};

use crate::events::log;
use crate::failure::{Failure, bad};
use crate::logs;
use crate::options::{ModelOptions, positive};
use crate::settings::Settings;
use crate::setup::{Job, Setup};
use crate::terminal::width;
use crate::whole;

/// Measure the activations of a network over validation samples, in one pass: zeros, means, deviations, ranges, norms.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelOptions,
    /// Names or glob patterns of layers and operations; `**` selects all [default: activation functions].
    #[arg(long, num_args = 1.., value_name = "GLOB")]
    at: Vec<String>,
    /// Use at most this number of validation samples, the first ones [default: all].
    #[arg(long, alias = "validation-images", value_parser = positive::<usize>, value_name = "N", help_heading = "Data")]
    validation_limit: Option<usize>,
    /// Also write layers.csv, channels.csv and the requested logs to this directory [default: write nothing].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Also log the values per layer as scalars.
    #[arg(long, value_enum, value_delimiter = ',', requires = "out")]
    log: Vec<logs::Kind>,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if args.model.job.device.lists() {
        return Ok(());
    }
    let settings = args
        .model
        .settings(Settings::without_recipe("the activations"))?;
    let device = args.model.job.device.device()?;
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
            args.model.job.report.say(&caveat);
        }
        args.model.job.report.say(&found.sheet().fitted(width()));
        let names = experiment.names();
        args.model.job.report.say(&format!(
            "{} over {} validation {}",
            names.model, found.samples, names.samples
        ));
        let scalars = found.observed.scalars();
        if let Some(out) = &args.out {
            write(args, &found, &scalars, out)?;
            args.model.job.report.say(&whole::wrote(out));
        }
        let statistics: serde_json::Map<_, _> = scalars
            .into_iter()
            .map(|(tag, value)| (tag, value.into()))
            .collect();
        args.model.job.report.finish(&serde_json::json!({
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

/// Writes the tables and the requested logs.
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
