//! `cargo xtask activations`: what the layers of a reference network give.

use std::path::PathBuf;

use calcine::summary::Sheet;
use calcine::trace::watch::{Per, Places};
use calcine::zoo::reference::{Activations, Settings, activations};

use crate::failure::Failure;
use crate::logs;
use crate::network::{Network, positive};
use crate::progress::DownloadBar;
use crate::train_cifar::{bad, log, print_line};
use crate::whole;

/// Look at activations over validation images, in one pass: zeros, means, deviations, ranges, norms.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    network: Network,
    /// Names and globs of layers and operations; `**` for all [default: activation functions].
    #[arg(long, num_args = 1.., value_name = "GLOB")]
    at: Vec<String>,
    /// Images at most [default: the whole validation split].
    #[arg(long, value_parser = positive, value_name = "N")]
    images: Option<usize>,
    /// Also write layers.csv, channels.csv and the logs asked for into this directory.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Scalars by layer, beside the tables.
    #[arg(long, value_enum, value_delimiter = ',', requires = "out")]
    log: Vec<logs::Kind>,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let network = &args.network;
    if network.device == "list" {
        calcine::device::compiled().into_iter().for_each(print_line);
        return Ok(());
    }
    let device = calcine::device::by_name(&network.device).map_err(bad)?;
    log(None)?;
    let download = DownloadBar::default();
    let settings = Settings {
        model: network.model(),
        weights: network.weights.clone(),
        data: network.data.clone(),
        device: network.device.clone(),
        ..Settings::new("the activations", "format = 1\n[train]\nepochs = 1\n")
    };
    let places = if args.at.is_empty() {
        Places::activations()
    } else {
        Places::matching(args.at.iter().cloned())
    };
    let found = activations(
        &settings,
        &places,
        args.images,
        &device,
        &mut |done, total| {
            download.show(done, total);
        },
    )
    .map_err(bad)?;
    if found.source.is_synthetic() {
        print_line(&format!("NOT CIFAR-10: {}", found.source));
    }
    print_line(&sheet(&found).to_string());
    print_line(&format!(
        "{} over {} validation images",
        found.architecture, found.images
    ));
    if let Some(out) = &args.out {
        let fail = |error: std::io::Error| bad(format!("{}: {error}", out.display()));
        std::fs::create_dir_all(out).map_err(fail)?;
        whole::write(&out.join("layers.csv"), found.watched.csv(Per::Layer))?;
        whole::write(&out.join("channels.csv"), found.watched.csv(Per::Channel))?;
        let scalars = found.watched.scalars();
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
        print_line(&format!("wrote {}", out.display()));
    }
    Ok(())
}

/// A row a layer.
fn sheet(found: &Activations) -> Sheet {
    let csv = found.watched.csv(Per::Layer);
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
