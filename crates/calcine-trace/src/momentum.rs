//! Measures the momentum of the batch norms of a model.
//!
//! A recording in evaluation mode does not contain it, a capture device cannot record training, and Burn's visitors
//! only see parameters. Therefore the model runs once in training mode, with running means that are set to a large
//! number `H`:
//!
//! ```text
//! after = H · (1 - momentum)^uses + batch means        1 - momentum = (after / H)^(1 / uses)
//! ```
//!
//! In training mode, nothing else depends on the running means, and compared with `H` the means of the batch are
//! negligible. A norm whose running mean is still `H` has the momentum 0: its statistics are not updated.

use std::any::Any;
use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::{Device, Tensor};
use calcine_params::{Edit, edit, set_flags};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::error::TraceError;
use crate::network::Network;
use crate::record::attempt;
use crate::tensor::{AnyTensor, Tensors};

/// The running mean before the pass: a power of two, so that its product with a number has all digits of that number.
const BEFORE: f64 = (1_u64 << 60) as f64;

/// The name of the running mean in Burn's batch norm.
const MEAN: &str = "running_mean";

/// Measures the momentum of each batch norm of the network, and stores it in the graph and the layers. Reads one number
/// per norm from the device.
///
/// `model` creates the model on a device with autodiff.
///
/// # Errors
///
/// If the momentum of a norm that is trained cannot be measured. A frozen norm does not need it, and keeps Burn's
/// default.
pub(crate) fn measure<M: Module, I: Tensors, O: Tensors>(
    network: &mut Network,
    model: impl FnOnce(&Device) -> M,
    device: &Device,
    sample: &[AnyTensor],
    forward: &impl Fn(&M, I) -> O,
) -> Result<(), TraceError> {
    let mut norms: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (node, leaf) in network.plan().norms.iter().enumerate() {
        if let Some(leaf) = leaf {
            norms.entry(*leaf).or_default().push(node);
        }
    }
    if norms.is_empty() {
        return Ok(());
    }
    let device = device.clone().autodiff();
    let sample = sample.iter().cloned().map(AnyTensor::autodiff).collect();
    let means = attempt(|| {
        let model = set_flags(model(&device).no_grad(), |layer| layer == "BatchNorm");
        let before = Means::of(&model);
        let ids = before.means.iter().map(|(_, mean)| mean.id);
        let model = edit(model, &mut Before(ids.collect()));
        let sample = I::from_any(sample)?;
        drop(forward(&model, sample));
        Some(Means::of(&model.valid()))
    });
    let (means, failed) = match means {
        Ok(means) => (means.unwrap_or_default(), None),
        Err(TraceError::Panic { message }) => (Means::default(), Some(message)),
        Err(error) => return Err(error),
    };
    let after = means.read();
    let mut told = Vec::new();
    for (leaf, nodes) in norms {
        let layer = network.leaves.0[leaf].path();
        let after = after.get(&layer).copied();
        match after.and_then(|after| momentum(f64::from(after) / BEFORE, nodes.len())) {
            Some(momentum) => told.push((leaf, nodes, momentum)),
            None if network.leaves.0[leaf].is_frozen_norm() => {}
            None => {
                let problem = match &failed {
                    Some(message) => format!("the forward pass in training panics: {message}"),
                    None => "in training its running mean is not finite".to_owned(),
                };
                return Err(TraceError::Momentum { layer, problem });
            }
        }
    }
    for (leaf, nodes, momentum) in told {
        network.set_momentum(leaf, &nodes, momentum);
    }
    Ok(())
}

/// The momentum of a norm, given the share of the old running mean that is left after this number of uses: of all
/// numbers within the precision of `f32`, the one with the fewest decimals.
fn momentum(left: f64, uses: usize) -> Option<f64> {
    if !(-1e-6..=1.0).contains(&left) {
        return None;
    }
    let uses = uses as f64;
    let kept = left.max(0.0).powf(1.0 / uses);
    let near = kept * uses * f64::from(f32::EPSILON) + 1e-7_f64.powf(1.0 / uses).min(1e-7);
    let decimals = (0..=8).map(|digits| {
        let power = 10_f64.powi(digits);
        ((1.0 - kept) * power).round() / power
    });
    let mut fitting = decimals.filter(|momentum| (1.0 - momentum - kept).abs() <= near);
    Some(fitting.next().unwrap_or(1.0 - kept).clamp(0.0, 1.0))
}

/// Sets the running means of a model.
struct Before(FxHashSet<ParamId>);

impl Edit for Before {
    fn wants(&self, id: ParamId) -> bool {
        self.0.contains(&id)
    }

    fn edit<const D: usize>(&mut self, _: ParamId, value: Tensor<D>) -> Tensor<D> {
        Tensor::full(value.shape(), BEFORE, &value.device())
    }
}

/// Collects the running mean of each batch norm, by the norm's path.
#[derive(Default)]
struct Means {
    names: Vec<String>,
    /// For each enclosing module, whether it is a batch norm.
    norms: Vec<bool>,
    means: Vec<(String, Param<Tensor<1>>)>,
}

impl Means {
    fn of<M: Module>(model: &M) -> Self {
        let mut means = Self::default();
        model.visit(&mut means);
        means
    }

    /// Reads the first element of each running mean.
    fn read(self) -> FxHashMap<String, f32> {
        let means = self.means.into_iter();
        let means = means.map(|(layer, mean)| (layer, mean.val().narrow(0, 0, 1)));
        let (layers, means): (Vec<String>, Vec<Tensor<1>>) = means.unzip();
        if means.is_empty() {
            return FxHashMap::default();
        }
        let read = Tensor::cat(means, 0).into_data();
        layers.into_iter().zip(read.iter::<f32>()).collect()
    }
}

impl ModuleVisitor for Means {
    fn enter_module(&mut self, name: &str, owner: &str) {
        self.names.push(name.to_owned());
        self.norms.push(owner == "Struct:BatchNorm");
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.names.pop();
        self.norms.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let (Some((name, layer)), Some(true)) = (self.names.split_last(), self.norms.last()) else {
            return;
        };
        let any: &dyn Any = param;
        if let (MEAN, Some(mean)) = (name.as_str(), any.downcast_ref::<Param<Tensor<1>>>()) {
            self.means.push((layer.join("."), mean.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::momentum;

    #[test]
    fn the_momentum_is_the_decimal_that_leaves_this_share() {
        let rows = [0.1, 0.3, 0.01, 0.003, 0.5, 0.99, 0.125, 1.0, 0.0, 0.123_456];
        for expected in rows {
            for uses in 1..4_usize {
                let kept = (1.0 - expected) as f32;
                let left = (0..uses).fold(1.0_f32, |left, _| left * kept);
                let found = momentum(f64::from(left), uses);
                assert_eq!(found, Some(expected), "{uses} uses");
            }
        }
        let third = momentum(f64::from(1.0_f32 - 1.0 / 3.0), 1);
        assert!(
            third.is_some_and(|third| (third - 1.0 / 3.0).abs() < 1e-7),
            "{third:?}"
        );
        for unknown in [f64::NAN, f64::INFINITY, 1.5, -0.5] {
            assert_eq!(momentum(unknown, 1), None);
        }
    }
}
