//! Shows the events of the libraries on the terminal and writes them to a run's log.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::sync::Mutex;

use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::failure::{Failure, bad};
use crate::terminal::{self, colours};

/// Sends the events of the libraries to the terminal and, with times, to the log of a run.
pub(crate) fn log(file: Option<&Path>) -> Result<(), Failure> {
    let on_terminal = || {
        fmt::layer()
            .without_time()
            .with_target(false)
            .with_ansi(colours())
            .with_writer(terminal::Stderr)
    };
    let warnings = on_terminal().with_filter(LevelFilter::WARN);
    // The terminal shows what the run is and what happens to it. Its steps are shown by the bar.
    let news = on_terminal().with_level(false);
    let news = news.with_filter(filter_fn(|event| {
        *event.level() == Level::INFO && NEWS.iter().any(|start| event.target().starts_with(start))
    }));
    let mut layers = vec![warnings.boxed(), news.boxed()];
    if let Some(path) = file {
        let own = filter_fn(|event| event.target().starts_with("calcine"));
        let file = fmt::layer()
            .with_ansi(false)
            .with_target(false)
            .with_writer(append(path)?);
        layers.push(file.with_filter(own).boxed());
    }
    tracing_subscriber::registry()
        .with(LevelFilter::INFO)
        .with(layers)
        .try_init()
        .map_err(|error| Failure::new(format!("the log cannot be opened: {error}")))
}

/// The crates, and the module of this crate, whose events are shown on the terminal.
const NEWS: [&str; 3] = ["calcine::setup", "calcine_run", "calcine_data"];

fn append(path: &Path) -> Result<Mutex<File>, Failure> {
    let file = OpenOptions::new().create(true).append(true).open(path);
    let file = file.map_err(|error| bad(format!("{}: {error}", path.display())))?;
    Ok(Mutex::new(file))
}
