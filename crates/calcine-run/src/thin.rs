use std::fmt;
use std::path::Path;

use calcine_criteria::Aggregation;
use calcine_criteria::Norm;
use calcine_graph::NormFeatures;
use calcine_metric::{Evaluation, label};
use calcine_thin::{
    ChannelSelection, ThinError, ThinOptions, Thinned, thin_with, zero_out_channels,
};
use calcine_trace::{AnyTensor, Network, Tensors};
use calcine_train::Objective;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::error::write;
use crate::experiment::device_of;
use crate::metadata::{MEASURED_METADATA, measured};
use crate::origin::{add_evaluation, entries, save_report};
use crate::stages::save;
use crate::{Experiment, Names, Origin, RunError, Split, ThinnedReport};

/// The settings of thinning, and of pruning before it.
#[derive(Debug, Clone, Default)]
pub struct ThinSettings {
    /// The pruning before thinning; `None` if the weights already contain the zeros.
    pub prune: Option<GroupPruning>,
    /// What happens to constants at padded borders, and to features of norms.
    pub options: ThinOptions,
    /// The batch sizes with which the speed is measured; empty to skip the measurement.
    pub batches: Vec<usize>,
}

/// One-shot pruning of groups of channels by a norm of their filters.
#[derive(Debug, Clone)]
pub struct GroupPruning {
    /// The share of the channels of each group to prune.
    pub level: f64,
    /// Patterns of the weights that produce the channels, as in recipes; empty for all weights. A group whose channels
    /// have several producers is pruned if one of them matches.
    pub params: Vec<String>,
    /// The norm of the filters.
    pub norm: Norm,
    /// How the norms of several producers are combined.
    pub aggregation: Aggregation,
    /// The number of remaining channels is a multiple of this.
    pub multiple: usize,
}

/// The results of thinning.
#[derive(Debug)]
#[non_exhaustive]
pub struct ThinRun {
    /// The experiment.
    pub origin: Origin,
    /// The evaluation of the given network.
    pub before: Evaluation,
    /// The evaluation after pruning and before thinning.
    pub pruned: Evaluation,
    /// The evaluation of the thinned network.
    pub after: Evaluation,
    /// The split on which they were measured.
    pub split: Split,
    /// The network, the plan, and what was removed.
    pub thinned: Thinned,
    /// Size and speed before and after.
    pub sizes: ThinnedReport,
}

impl ThinRun {
    /// Writes `thinned.safetensors` (the network), `plan.json` (the channels that were removed) and `report.json` (these
    /// results, with `out`) to a directory. Returns the report.
    ///
    /// # Errors
    ///
    /// If a file cannot be written.
    pub fn save(&self, out: &Path) -> Result<Value, RunError> {
        save(&self.thinned.network, &out.join("thinned.safetensors"))?;
        let plan = serde_json::to_string(&self.thinned.plan).expect("a plan is plain data");
        write(&out.join("plan.json"), plan)?;
        save_report(self, out)
    }
}

/// One line: the main metric before, after pruning, and after thinning.
impl fmt::Display for ThinRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let metric = self.origin.main_metric();
        let evaluations = [&self.before, &self.pruned, &self.after];
        let [before, pruned, after] = evaluations.map(|of| metric.shown(of.value(&metric.name)));
        let Names { model, samples, .. } = &self.origin.names;
        write!(
            f,
            "{model}: {} on {} {} {samples}: {before} before, {pruned} pruned, {after} thinned",
            label(&metric.name),
            self.before.count,
            self.split.name(),
        )
    }
}

/// One JSON object: a classifier of images has `top1_before`, `top1_pruned`, `top1`, and so on for every metric and the loss,
/// `test_images`, the sizes and speeds before and after, and what was kept.
impl Serialize for ThinRun {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let (sizes, report) = (&self.sizes, &self.thinned.report);
        let mut map = self.origin.to_map();
        let evaluations = [
            (&self.before, "_before"),
            (&self.pruned, "_pruned"),
            (&self.after, ""),
        ];
        for (evaluation, suffix) in evaluations {
            add_evaluation(&mut map, evaluation, suffix);
        }
        let samples = format!("{}_{}", self.split.name(), self.origin.names.samples);
        map.insert(samples, self.before.count.into());
        map.extend(entries(json!({
            "parameters_before": sizes.parameters_before,
            "parameters": sizes.parameters,
            "macs_before": sizes.macs_before,
            "macs": sizes.macs,
            "border_error": report.border_error(),
            "kept": report.kept,
            "norms": report.norms,
            "difference": report.difference,
            "speed": sizes.speed,
        })));
        map.serialize(to)
    }
}

impl<X, O> Experiment<'_, X, O>
where
    X: Tensors + Clone + 'static,
    O: Objective,
    O::Output: Tensors,
{
    /// Prunes groups of channels if the settings request it, removes channels that are zero as a whole, and measures
    /// the network before and after.
    ///
    /// # Errors
    ///
    /// If the network is quantized, cannot be thinned, or does not fit inputs and objective, a pattern matches no
    /// weight, or the data has no samples to measure on.
    pub fn thin(&self, settings: &ThinSettings) -> Result<ThinRun, RunError> {
        self.check_forward()?;
        let network = self.network()?;
        let measure = |network: &Network| self.measure_float(network);
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
        let mut thinned = thin_with(pruned, options, &inputs)?;
        let device = &device_of(&network);
        let after = &thinned.network;
        let sizes = ThinnedReport::new(&network, after, options, &settings.batches, device)?;
        let (after, _) = measure(after)?;
        thinned.network = thinned
            .network
            .with_metadata(MEASURED_METADATA, measured(&after, split));
        Ok(ThinRun {
            origin: self.origin(),
            before,
            pruned: after_pruning,
            after,
            split,
            thinned,
            sizes,
        })
    }

    /// The first training inputs, on which the loss of norm features is measured; none if the features are kept.
    pub(crate) fn inputs_for_norms(&self, norms: NormFeatures) -> Vec<Vec<AnyTensor>> {
        match norms {
            NormFeatures::Pinned => Vec::new(),
            NormFeatures::Removable => self.first_inputs(1),
        }
    }
}

/// Zeroes the weakest channels, together with everything that produces them.
fn prune(
    network: Network,
    pruning: &GroupPruning,
    norms: NormFeatures,
) -> Result<Network, RunError> {
    let inventory = calcine_params::Inventory::from_module(&network);
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
        // Norms use no random numbers.
        seed: None,
    };
    let axes = network.graph().axes_with(norms).map_err(ThinError::from)?;
    let units = choice.units(&network, &axes, &pruning.norm, takes);
    Ok(zero_out_channels(network, &axes, units)?)
}
