use calcine_criteria::Aggregation;
use calcine_criteria::Norm;
use calcine_graph::NormFeatures;
use calcine_metric::Evaluation;
use calcine_thin::{
    ChannelSelection, ThinError, ThinOptions, Thinned, thin_with, zero_out_channels,
};
use calcine_trace::{AnyTensor, Network, Tensors};
use calcine_train::Objective;

use crate::experiment::device_of;
use crate::{Experiment, RunError, Split, ThinnedReport};

/// How a network is thinned, and whether channels are pruned before.
#[derive(Debug, Clone, Default)]
pub struct ThinSettings {
    /// Prune before thinning; none if the weights have zeros enough.
    pub prune: Option<GroupPruning>,
    /// What becomes of constants at padded borders, and of features of norms.
    pub options: ThinOptions,
    /// The batch sizes to measure speed with; none to measure none.
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

/// The results of thinning.
#[derive(Debug)]
#[non_exhaustive]
pub struct ThinRun {
    /// Of the network as it was given.
    pub before: Evaluation,
    /// After pruning and before thinning.
    pub pruned: Evaluation,
    /// Of the thinned network.
    pub after: Evaluation,
    /// The split that they were measured on.
    pub split: Split,
    /// The network, the plan, and what was removed.
    pub thinned: Thinned,
    /// Sizes and speed before and after.
    pub sizes: ThinnedReport,
}

impl<X, O> Experiment<'_, X, O>
where
    X: Tensors + Clone + 'static,
    O: Objective,
    O::Output: Tensors,
{
    /// Prunes groups of channels, if the settings say so, removes channels that are pruned away whole, and measures before
    /// and after.
    ///
    /// # Errors
    ///
    /// If the network is quantized, cannot be thinned, or does not fit inputs and objective, a pattern matches no weight, or
    /// the data has nothing to measure on.
    pub fn thin(&self, settings: &ThinSettings) -> Result<ThinRun, RunError> {
        self.check_forward()?;
        let network = self.network()?;
        let measure = |network: &Network| self.measure(|x| network.forward(x));
        let (before, split) = measure(&network)?;
        let options = settings.options;
        let (pruned, after_pruning) = match &settings.prune {
            Some(pruning) => {
                let pruned = prune(network.clone(), pruning, options.norm_features)?;
                let (evaluation, _) = measure(&pruned)?;
                (pruned, evaluation)
            }
            None => (network.clone(), before.clone()),
        };
        let inputs = self.inputs_for_norms(options.norm_features);
        let thinned = thin_with(pruned, options, &inputs)?;
        let device = &device_of(&network);
        let after = &thinned.network;
        let sizes = ThinnedReport::of(&network, after, options, &settings.batches, device)?;
        let (after, _) = measure(after)?;
        Ok(ThinRun {
            before,
            pruned: after_pruning,
            after,
            split,
            thinned,
            sizes,
        })
    }

    /// The first training inputs, on which it is measured what a network loses with features of norms; none if it keeps
    /// them.
    pub(crate) fn inputs_for_norms(&self, norms: NormFeatures) -> Vec<Vec<AnyTensor>> {
        match norms {
            NormFeatures::Pinned => Vec::new(),
            NormFeatures::Removable => self.first_inputs(1),
        }
    }
}

/// Zeroes the weakest channels, with all that makes them.
fn prune(
    network: Network,
    pruning: &GroupPruning,
    norms: NormFeatures,
) -> Result<Network, RunError> {
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
