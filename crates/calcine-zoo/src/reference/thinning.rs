//! The reference network, thinned: what it loses, what it gains.

use std::time::Instant;

use burn::tensor::{Device, Tensor};
use calcine_criteria::Norm;
use calcine_thin::{Border, Choice, Joint, ThinError, Thinned, silence, thin};
use calcine_trace::{Network, TraceError, trace};
use rayon::ThreadPoolBuilder;
use serde::Serialize;

use super::run::Setup;
use super::{ReferenceError, Settings};
use crate::cifar10::Source;
use crate::{Architecture, Classifier, ModelTask};

/// What to thin, and whether to prune it before.
#[derive(Debug, Clone)]
pub struct ThinSettings {
    /// The network, its weights, data and device. The recipe counts for nothing else.
    pub network: Settings,
    /// Prune before thinning; none if the weights have zeros enough.
    pub prune: Option<GroupPruning>,
    /// What becomes of constants at padded borders.
    pub border: Border,
    /// The batches to measure speed with; none to measure none.
    pub batches: Vec<usize>,
}

/// One-shot pruning of groups of channels by a norm of their filters.
#[derive(Debug, Clone)]
pub struct GroupPruning {
    /// The share of each group's channels.
    pub level: f64,
    /// The patterns of the weights that make them, as in recipes; all if there are none. A group whose channels have
    /// several makers is pruned if one of them matches.
    pub params: Vec<String>,
    /// By which norm of the filters.
    pub norm: Norm,
    /// How the norms of several makers are joined.
    pub joint: Joint,
    /// What stays is a multiple of this.
    pub multiple: usize,
}

/// What a thinning came to.
#[derive(Debug)]
#[non_exhaustive]
pub struct ThinRun {
    /// The network's name.
    pub architecture: Architecture,
    /// Where the images came from.
    pub source: Source,
    /// Test images.
    pub images: u64,
    /// Top-1 of the network as it was loaded, in percent.
    pub top1_before: f64,
    /// Top-1 after pruning and before thinning, in percent.
    pub top1_pruned: f64,
    /// Top-1 of the thinned network, in percent.
    pub top1: f64,
    /// The network, the plan, and what went.
    pub thinned: Thinned,
    /// Speed before and after.
    pub speed: Vec<Speed>,
}

/// Inference speed of a network and its thinned form, measured in turns.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Speed {
    /// Images in a batch.
    pub batch: usize,
    /// Threads.
    pub threads: usize,
    /// Images per second before: that of the median batch.
    pub before: f64,
    /// The same after.
    pub after: f64,
}

/// A network that cannot be thinned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ThinRunError {
    /// Something that every reference run needs.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// The network cannot be traced.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// It cannot be thinned.
    #[error(transparent)]
    Thin(#[from] ThinError),
    /// A pattern that matches no weight.
    #[error(transparent)]
    Params(#[from] calcine_params::UnknownParameter),
}

/// Thins a reference network and measures it on the test set, before and after.
///
/// # Errors
///
/// If anything it needs is missing or malformed, or the network cannot be thinned.
pub fn thin_network(
    settings: &ThinSettings,
    device: &Device,
    download: &mut dyn FnMut(u64, u64),
) -> Result<ThinRun, ThinRunError> {
    let setup = Setup::new(&settings.network, device, download)?;
    let seed = settings.network.seed.unwrap_or_default();
    setup.build(
        seed,
        ThinTask {
            setup: &setup,
            settings,
        },
    )
}

struct ThinTask<'a> {
    setup: &'a Setup,
    settings: &'a ThinSettings,
}

impl ModelTask for ThinTask<'_> {
    type Output = Result<ThinRun, ThinRunError>;

    fn run<M: Classifier + 'static>(self, model: M) -> Self::Output {
        let Self { setup, settings } = self;
        let model = setup.load_weights(model)?.valid();
        let device = setup.device.clone().without_autodiff();
        let sample = Tensor::<4>::zeros([1, 3, 32, 32], &device);
        let network = trace(&model, sample, |model, images| model.forward(images))?;
        let before = setup.test(&network);
        let pruned = match &settings.prune {
            Some(pruning) => prune(network.clone(), pruning)?,
            None => network.clone(),
        };
        let top1_pruned = match &settings.prune {
            Some(_) => setup.test(&pruned).top1,
            None => before.top1,
        };
        let thinned = thin(pruned, settings.border)?;
        let speed = settings
            .batches
            .iter()
            .flat_map(|&batch| speed(&network, &thinned.network, batch, &device));
        Ok(ThinRun {
            architecture: setup.architecture,
            source: setup.source.clone(),
            images: before.count,
            top1_before: before.top1,
            top1_pruned,
            top1: setup.test(&thinned.network).top1,
            speed: speed.collect(),
            thinned,
        })
    }
}

/// Zeroes the weakest channels, with all that makes them.
fn prune(network: Network, pruning: &GroupPruning) -> Result<Network, ThinRunError> {
    let inventory = calcine_params::Inventory::of(&network);
    let all = ["**".to_owned()];
    let patterns = if pruning.params.is_empty() {
        &all[..]
    } else {
        &pruning.params
    };
    let chosen = inventory.select(patterns)?;
    let takes = |makers: &[&str]| {
        makers
            .iter()
            .any(|path| chosen.iter().any(|p| p.path == **path))
    };
    let choice = Choice {
        level: pruning.level,
        joint: pruning.joint,
        multiple: pruning.multiple,
    };
    let axes = network.graph().axes().map_err(ThinError::from)?;
    let units = choice.units(&network, &axes, &pruning.norm, takes);
    Ok(silence(network, &axes, units)?)
}

/// Both networks in turns, on one thread and on all.
fn speed(dense: &Network, thinned: &Network, batch: usize, device: &Device) -> Vec<Speed> {
    let all = rayon::current_num_threads();
    let mut threads = vec![1, all];
    threads.dedup();
    threads
        .into_iter()
        .filter_map(|threads| {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().ok()?;
            let [before, after] = pool.install(|| seconds([dense, thinned], batch, device));
            #[allow(clippy::cast_precision_loss, reason = "batches are small")]
            let images = batch as f64;
            Some(Speed {
                batch,
                threads,
                before: images / before,
                after: images / after,
            })
        })
        .collect()
}

/// The median time of a batch for each network. They take turns, so that a busy machine slows both.
fn seconds(networks: [&Network; 2], batch: usize, device: &Device) -> [f64; 2] {
    const ROUNDS: usize = 15;
    let images = Tensor::<4>::zeros([batch, 3, 32, 32], device);
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..=ROUNDS {
        for (network, times) in networks.iter().zip(&mut times) {
            let began = Instant::now();
            let logits: Tensor<2> = network.forward(images.clone());
            // Reading waits for the device.
            drop(logits.into_data());
            // The first round warms up.
            if round > 0 {
                times.push(began.elapsed().as_secs_f64());
            }
        }
    }
    times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[ROUNDS / 2]
    })
}
