//! `calcine activations`: statistics of what the layers of a network output.

use std::path::PathBuf;

use calcine::observe::{Per, Places};
use calcine::summary::Sheet;
use calcine::zoo::reference::{Activations, activations};

use crate::events::log;
use crate::failure::{Failure, bad};
use crate::logs;
use crate::options::{self, DataOptions, DeviceOptions, WeightsOptions, no_recipe, positive};
use crate::progress::DownloadBar;
use crate::terminal::{print_line, width};
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
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if args.device.lists() {
        return Ok(());
    }
    let settings = options::settings(
        Some(&args.model),
        &args.weights,
        &args.data,
        &args.device,
        no_recipe("the activations"),
    )?;
    let device = args.device.device()?;
    log(None)?;
    if let Some(out) = &args.out {
        whole::create(out)?;
        whole::announce(out);
    }
    let download = DownloadBar::default();
    let places = if args.at.is_empty() {
        Places::activations()
    } else {
        Places::matching(args.at.iter().cloned())
    };
    let found = activations(
        &settings,
        &places,
        args.validation_limit,
        &device,
        &mut |done, total| {
            download.show(done, total);
        },
    );
    let found = found.map_err(bad);
    let found = match &args.out {
        Some(out) => whole::or_none(out, found),
        None => found,
    }?;
    if found.source.is_synthetic() {
        print_line(&format!("NOT CIFAR-10: {}", found.source));
    }
    print_line(&sheet(&found).fitted(width()));
    print_line(&format!(
        "{} over {} validation images",
        found.architecture, found.images
    ));
    if let Some(out) = &args.out {
        whole::write(&out.join("layers.csv"), found.observed.csv(Per::Layer))?;
        whole::write(&out.join("channels.csv"), found.observed.csv(Per::Channel))?;
        let scalars = found.observed.scalars();
        let scalars: Vec<(String, f64)> = scalars
            .into_iter()
            .map(|(tag, value)| (format!("Activations/{tag}"), value))
            .collect();
        let scalars: Vec<(&str, f64)> = scalars.iter().map(|(tag, v)| (tag.as_str(), *v)).collect();
        for kind in &args.log {
            let mut log = kind.open(out);
            log.scalars(0, &scalars).map_err(bad)?;
            log.flush().map_err(bad)?;
        }
        print_line(&whole::wrote(out));
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
