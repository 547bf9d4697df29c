use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::Device;
use calcine_fold::{Granularity, UnknownGranularity};
use calcine_plot::PlotError;
use calcine_sensitivity::{Measurement, Progress, Scan, ScanError, Sensitivity};
use calcine_train::{Draw, Metric, StopFlag};
use serde::{Deserialize, Serialize};

use super::run::write;
use super::setup::Setup;
use super::validation::Validation;
use super::{ReferenceError, RunDirectory, Settings};
use crate::{Architecture, Classifier, ModelTask};
use calcine_data::Normalization;
use calcine_data::Source;
use calcine_weights::LoadOptions;

/// Everything that decides a sensitivity scan of a reference network. Saved with it, so that it can be
/// resumed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScanSettings {
    /// The network; ResNet-20 if nothing is said.
    pub model: Option<String>,
    /// Its weights: `default`, `none` or a file.
    pub weights: Option<String>,
    /// The data: `auto`, `synthetic`, a directory or an archive.
    pub data: String,
    /// What the report calls the device.
    pub device: String,
    /// Decides the validation split and what is drawn from it.
    pub seed: u64,
    /// What a unit is, as [`Granularity`] reads it.
    pub granularity: String,
    /// Names and globs of parameters; none for every weight that has such units.
    pub params: Vec<String>,
    /// The levels.
    pub levels: Vec<f64>,
    /// The validation images to evaluate on.
    pub images: Draw,
    /// Images in a batch.
    pub batch_size: usize,
    /// Where the file of weights has them, and which to leave out.
    #[serde(default, skip_serializing_if = "LoadOptions::is_default")]
    pub weights_options: LoadOptions,
    /// How the bytes of images become numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalization: Option<Normalization>,
}

/// A scan that cannot be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScanRunError {
    /// What every run needs is missing or malformed.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// The scan itself.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// What it found cannot be drawn.
    #[error(transparent)]
    Plot(#[from] PlotError),
    /// There is no such granularity.
    #[error(transparent)]
    Granularity(#[from] UnknownGranularity),
    /// No image was left to evaluate on.
    #[error("there are no validation images to evaluate on")]
    NoImages,
}

/// What a scan came to.
#[derive(Debug)]
#[non_exhaustive]
pub struct Scanned {
    /// The points, all of them unless it was stopped.
    pub sensitivity: Sensitivity,
    /// Whether it was stopped; then there are no plots, and it can be resumed.
    pub stopped: bool,
    /// The network.
    pub architecture: Architecture,
    /// Where the images came from.
    pub source: Source,
    /// Validation images that every point was evaluated on.
    pub images: usize,
    /// Wall-clock seconds of this process's part.
    pub seconds: f64,
}

/// The file that says what a directory is a scan of.
const SETTINGS: &str = "scan.json";

impl ScanSettings {
    /// Reads `scan.json`.
    ///
    /// # Errors
    ///
    /// If the directory has none, or it is malformed.
    pub fn of_run(directory: &Path) -> Result<Self, ReferenceError> {
        let file = directory.join(SETTINGS);
        let text = fs::read_to_string(&file).map_err(|error| ReferenceError::io(&file, error))?;
        serde_json::from_str(&text).map_err(|error| ReferenceError::Malformed {
            file,
            reason: error.to_string(),
        })
    }

    /// What is needed of a reference run to have the network and its images.
    fn network(&self) -> Settings {
        Settings {
            model: self.model.clone(),
            weights: self.weights.clone(),
            data: self.data.clone(),
            device: self.device.clone(),
            seed: Some(self.seed),
            weights_options: self.weights_options.clone(),
            normalization: self.normalization,
            ..Settings::new("the scan", "format = 1\n[train]\nepochs = 1\n")
        }
    }
}

/// Scans how much each layer of a reference network can lose, on the validation split, in the directory
/// `out`: see the [module](super). A directory that holds the same scan is gone on with.
///
/// # Errors
///
/// If anything it needs is missing or malformed, or the directory holds something else.
pub fn scan(
    settings: &ScanSettings,
    device: &Device,
    out: &Path,
    stop: &StopFlag,
    progress: &mut dyn FnMut(&Progress<'_>),
    download: &mut dyn FnMut(u64, u64),
) -> Result<Scanned, ScanRunError> {
    let granularity: Granularity = settings.granularity.parse()?;
    let plan = Scan::new(granularity)
        .with_params(settings.params.iter().cloned())
        .with_levels(settings.levels.iter().copied())
        .with_seed(settings.seed);
    let setup = Setup::new(&settings.network(), device, download)?;
    setup.announce("scanning");
    let task = ScanTask {
        setup: &setup,
        settings,
        plan,
        out,
        stop,
        progress,
    };
    setup.build(settings.seed, task)
}

struct ScanTask<'a> {
    setup: &'a Setup,
    settings: &'a ScanSettings,
    plan: Scan,
    out: &'a Path,
    stop: &'a StopFlag,
    progress: &'a mut dyn FnMut(&Progress<'_>),
}

impl ModelTask for ScanTask<'_> {
    type Output = Result<Scanned, ScanRunError>;

    fn run<M: Classifier + 'static>(self, model: M) -> Self::Output {
        let began = Instant::now();
        let ScanSettings {
            images,
            batch_size,
            seed,
            ..
        } = *self.settings;
        let model = self.setup.load_weights(model)?.valid();
        self.plan.check(&model)?;
        let validation = Validation::new(&self.setup.images, images, batch_size, seed);
        if validation.images() == 0 {
            return Err(ScanRunError::NoImages);
        }
        // Last, so that what cannot be done leaves no directory.
        let directory = claim(self.settings, self.out)?;
        let evaluate = |model: &M| {
            let (evaluation, losses) = validation.evaluate(model);
            Measurement { evaluation, losses }
        };
        let file = self.out.join("sensitivity.csv");
        let outcome =
            calcine_sensitivity::scan(&model, &self.plan, evaluate, Some(&file), |now| {
                (self.progress)(now);
                if self.stop.is_raised() {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            })?;
        let scanned = Scanned {
            sensitivity: outcome.sensitivity,
            stopped: outcome.stopped,
            architecture: self.setup.architecture,
            source: self.setup.source.clone(),
            images: validation.images(),
            seconds: began.elapsed().as_secs_f64(),
        };
        if !scanned.stopped {
            draw(&scanned, self.settings, self.out)?;
        }
        drop(directory);
        Ok(scanned)
    }
}

/// Writes the chart and the small multiples.
fn draw(scanned: &Scanned, settings: &ScanSettings, out: &Path) -> Result<(), ScanRunError> {
    let title = format!(
        "{} on {}: top-1 with one layer pruned by {}, {} validation images",
        scanned.architecture,
        if scanned.source.is_synthetic() {
            "synthetic images"
        } else {
            "CIFAR-10"
        },
        settings.granularity,
        scanned.images,
    );
    let top1 = Metric::higher("top1", "%");
    let (chart, panels) = (
        scanned.sensitivity.chart(&title, &top1),
        scanned.sensitivity.panels(&title, &top1),
    );
    write(&out.join("sensitivity.svg"), chart.to_svg()?)?;
    write(&out.join("sensitivity.png"), chart.to_png()?)?;
    write(&out.join("panels.svg"), panels.to_svg()?)?;
    write(&out.join("panels.png"), panels.to_png()?)?;
    Ok(())
}

/// Makes `out` this scan's directory, or finds that it is, and locks it.
fn claim(settings: &ScanSettings, out: &Path) -> Result<RunDirectory, ReferenceError> {
    let directory = RunDirectory::lock(out)?;
    let occupied = || ReferenceError::Occupied {
        directory: PathBuf::from(out),
    };
    if out.join(SETTINGS).exists() {
        let same = ScanSettings::of_run(out)? == *settings;
        return if same { Ok(directory) } else { Err(occupied()) };
    }
    if !directory.is_empty()? {
        return Err(occupied());
    }
    let text = serde_json::to_string_pretty(settings).expect("settings are plain data");
    write(&out.join(SETTINGS), text)?;
    Ok(directory)
}
