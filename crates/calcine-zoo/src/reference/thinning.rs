//! The reference network, thinned: what it loses, what it gains.

use burn::tensor::Device;
use calcine_criteria::Norm;
use calcine_graph::NormFeatures;
use calcine_thin::{
    Aggregation, ChannelSelection, ThinError, ThinOptions, Thinned, thin_with, zero_out_channels,
};
use calcine_trace::Network;

use super::setup::Setup;
use super::{ReferenceError, Settings, ThinnedReport};
use crate::{Architecture, Classifier, ModelTask};
use calcine_data::Source;

/// What to thin, and whether to prune it before.
#[derive(Debug, Clone)]
pub struct ThinSettings {
    /// The network, its weights, data and device. The recipe counts for nothing else.
    pub network: Settings,
    /// Prune before thinning; none if the weights have zeros enough.
    pub prune: Option<GroupPruning>,
    /// What becomes of constants at padded borders, and of features of norms.
    pub options: ThinOptions,
    /// The batches to measure speed with; none to measure none.
    pub batches: Vec<usize>,
}

/// One-shot pruning of groups of channels by a norm of their filters.
#[derive(Debug, Clone)]
pub struct GroupPruning {
    /// The share of each group's channels.
    pub level: f64,
    /// The patterns of the weights that make them, as in recipes; all if there are none. A group whose channels have
    /// several producers is pruned if one of them matches.
    pub params: Vec<String>,
    /// By which norm of the filters.
    pub norm: Norm,
    /// How the norms of several producers are joined.
    pub aggregation: Aggregation,
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
    /// Sizes and speed before and after.
    pub sizes: ThinnedReport,
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
) -> Result<ThinRun, ReferenceError> {
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
    type Output = Result<ThinRun, ReferenceError>;

    fn run<M: Classifier + 'static>(self, model: M) -> Self::Output {
        let Self { setup, settings } = self;
        setup.announce("thinning");
        let model = setup.load_weights(model)?.valid();
        let device = setup.images.inference();
        let network = setup.traced(&model)?;
        let before = setup.test(&network);
        let pruned = match &settings.prune {
            Some(pruning) => prune(network.clone(), pruning, settings.options.norm_features)?,
            None => network.clone(),
        };
        let top1_pruned = match &settings.prune {
            Some(_) => setup.test(&pruned).value("top1"),
            None => before.value("top1"),
        };
        let options = settings.options;
        let inputs = setup.images_for_norms(options.norm_features);
        let thinned = thin_with(pruned, options, &inputs)?;
        let after = &thinned.network;
        let sizes = ThinnedReport::of(&network, after, options, &settings.batches, device)?;
        Ok(ThinRun {
            architecture: setup.architecture,
            source: setup.source.clone(),
            images: before.count,
            top1_before: before.value("top1"),
            top1_pruned,
            top1: setup.test(&thinned.network).value("top1"),
            sizes,
            thinned,
        })
    }
}

/// Zeroes the weakest channels, with all that makes them.
fn prune(
    network: Network,
    pruning: &GroupPruning,
    norms: NormFeatures,
) -> Result<Network, ReferenceError> {
    let inventory = calcine_params::Inventory::of(&network);
    let all = ["**".to_owned()];
    let patterns = if pruning.params.is_empty() {
        &all[..]
    } else {
        &pruning.params
    };
    let chosen = inventory.select(patterns)?;
    let takes = |producers: &[&str]| {
        producers
            .iter()
            .any(|path| chosen.iter().any(|p| p.is_called(path)))
    };
    let choice = ChannelSelection {
        level: pruning.level,
        aggregation: pruning.aggregation,
        multiple: pruning.multiple,
        // Norms draw nothing.
        seed: None,
    };
    let axes = network.graph().axes_with(norms).map_err(ThinError::from)?;
    let units = choice.units(&network, &axes, &pruning.norm, takes);
    Ok(zero_out_channels(network, &axes, units)?)
}
