use std::collections::BTreeMap;

use burn::module::{Module, ParamId};
use burn::tensor::Tensor;
use calcine_criteria::{Activity, Needs};
use calcine_mask::Masks;
use calcine_params::{Inventory, flat, replace};
use calcine_trace::{AnyTensor, Network, Tensors};

use crate::activity::{AtAddition, activations_of, inputs_of};
use crate::error::ObserveError;
use crate::extrema::Extrema;
use crate::layer_samples::{LayerSamples, Sampling};
use crate::moments::Moments;
use crate::norms::Norms;
use crate::observe::{observe, observe_filters, observe_inputs};
use crate::observed::Observed;
use crate::places::Places;
use crate::sampling::sample_layers;
use crate::source::{ActivationRequest, ActivationSource, Reconstruction};
use crate::statistic::Statistics;
use crate::zeros::Zeros;

/// Values of parameters, flat in stored order.
type Values = BTreeMap<ParamId, Tensor<1>>;

/// An [`ActivationSource`] that observes a model through the network that was traced from it.
///
/// It runs the requested number of batches, beginning with the first, through the network with the current weights of
/// the model under their masks, in evaluation mode: batch norms use their running statistics. Each kind of statistic
/// takes one pass and one device read, and so does the sampling of layers whose weights are
/// [refitted](LayerSamples::refit).
///
/// # Examples
///
/// ```
/// use burn::module::Module;
/// use burn::tensor::Tensor;
/// use calcine_testkit::{ConvNet, device};
/// use calcine_observe::{NetworkActivations, AtAddition};
/// use calcine_trace::trace;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let model = ConvNet::new(&device());
/// let images = Tensor::<4>::ones([4, 2, 6, 6], &device());
/// let network = trace(&model, images.clone(), |model, images| model.forward(images))?;
/// let source = NetworkActivations::new(&network, vec![images], AtAddition::Stop)?;
/// // `Driver::with_activation_source` of `calcine-train` takes it.
/// # let _ = source;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct NetworkActivations {
    network: Network,
    batches: Vec<Vec<AnyTensor>>,
    at_addition: AtAddition,
}

impl NetworkActivations {
    /// A source for a network and the batches to run through it, without autodiff. `at_addition` decides whether
    /// filters that are added together share the activation function after the addition.
    ///
    /// # Errors
    ///
    /// If there is no batch, or one does not match the inputs of the network: each is tried.
    pub fn new<I: Tensors>(
        network: &Network,
        batches: Vec<I>,
        at_addition: AtAddition,
    ) -> Result<Self, ObserveError> {
        let network = network.valid();
        let batches: Vec<_> = batches.into_iter().map(Tensors::into_any).collect();
        observe(&network, batches.clone(), &Places::all(), &Extrema)?;
        Ok(Self {
            network,
            batches,
            at_addition,
        })
    }

    /// The network with the values of the model under the same paths.
    ///
    /// # Errors
    ///
    /// If a parameter of the network is missing in the model, or has another shape there.
    fn like<M: Module>(&self, model: &M) -> Result<Network, String> {
        let (theirs, ours) = (
            Inventory::from_module(model),
            Inventory::from_module(&self.network),
        );
        let (mut missing, mut pairs) = (Vec::new(), Vec::new());
        for own in &ours {
            match theirs.get(&own.path) {
                Some(other) if other.numel() == own.numel() => pairs.push((own, other)),
                Some(other) => missing.push(format!(
                    "`{}` has the shape {:?}, in the network {:?}",
                    own.path, other.shape, own.shape
                )),
                None => missing.push(format!("it has no `{}`", own.path)),
            }
        }
        if !missing.is_empty() {
            let missing = missing.join(", ");
            return Err(format!(
                "the model is not the one that the network was traced from: {missing}; trace the model again"
            ));
        }
        let values = flat(model, pairs.iter().map(|(_, other)| *other));
        let ids = pairs.iter().map(|(own, _)| own.id);
        let values: BTreeMap<_, _> = ids.zip(values).collect();
        Ok(replace(self.network.clone(), values))
    }

    /// # Panics
    ///
    /// If the model does not have the parameters of the network.
    fn expect_like<M: Module>(&self, model: &M) -> Network {
        self.like(model).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Returns an error if more batches are requested than there are.
    fn enough(&self, batches: Option<u64>) -> Result<(), String> {
        let there = self.batches.len() as u64;
        match batches.filter(|&batches| batches > there) {
            Some(batches) => Err(format!(
                "it needs activations of {batches} batches, but there are only {there}"
            )),
            None => Ok(()),
        }
    }

    /// The first batches; all batches if `None`.
    fn first(&self, batches: Option<u64>) -> impl Iterator<Item = Vec<AnyTensor>> {
        let count = batches.map_or(self.batches.len(), |count| count as usize);
        self.batches.iter().take(count.max(1)).cloned()
    }
}

impl<M: Module> ActivationSource<M> for NetworkActivations {
    fn check(&self, request: &ActivationRequest) -> Result<(), String> {
        let graph = self.network.graph();
        self.enough(request.batches)?;
        let found = match request.needs {
            Needs::Activity(_) => {
                activations_of(graph, &request.weight, self.at_addition).map(drop)
            }
            Needs::InputNorm => inputs_of(graph, &request.weight).map(drop),
            _ => {
                return Err(format!(
                    "`{}`: the score does not need activations",
                    request.weight
                ));
            }
        };
        found.map_err(|error| error.to_string())
    }

    fn check_model(&self, model: &M) -> Result<(), String> {
        self.like(model).map(drop)
    }

    /// # Panics
    ///
    /// If a request is one that [`check`](ActivationSource::check) rejects, or the model is one that
    /// [`check_model`](ActivationSource::check_model) rejects.
    fn observe(&mut self, model: &M, requests: &[ActivationRequest]) -> Vec<Tensor<1>> {
        let network = self.expect_like(model);
        let all = self.batches.len();
        let counts = requests.iter().map(|request| match request.batches {
            Some(count) => usize::try_from(count).unwrap_or(all),
            None => all,
        });
        let count = counts.max().unwrap_or(0).max(1);
        let batches = || self.batches.iter().take(count).cloned();
        let of = |inputs: bool| -> Vec<&str> {
            let those = requests
                .iter()
                .filter(|request| (request.needs == Needs::InputNorm) == inputs);
            those.map(|request| request.weight.as_str()).collect()
        };
        let (fed, filters) = (of(true), of(false));
        let fed = pass(&fed, &Norms, |weights, norms| {
            observe_inputs(&network, batches(), weights, norms)
        });
        let filters = pass(&filters, &(Zeros, Moments), |weights, both| {
            observe_filters(&network, batches(), weights, self.at_addition, both)
        });
        let device = flat(&network, Inventory::from_module(&network).iter().take(1));
        let device = device.first().map(Tensor::device).unwrap_or_default();
        let values = |request: &ActivationRequest| match request.needs {
            Needs::InputNorm => {
                let norms = fed.as_ref().and_then(|fed| fed.get(&request.weight));
                norms.map(|norms| norms.total_l2.clone())
            }
            Needs::Activity(activity) => {
                let found = filters.as_ref().and_then(|all| all.get(&request.weight));
                let (zeros, moments) = found?;
                match activity {
                    Activity::ZeroShare => Some(zeros.apoz()),
                    Activity::Mean => Some(moments.mean.clone()),
                    _ => None,
                }
            }
            _ => None,
        };
        let vector = |request: &ActivationRequest| {
            let values = values(request).expect("checked before the run");
            let values: Vec<f32> = values.into_iter().map(|value| value as f32).collect();
            Tensor::from_floats(values.as_slice(), &device)
        };
        requests.iter().map(vector).collect()
    }

    fn check_reconstruction(&self, reconstruction: &Reconstruction) -> Result<(), String> {
        self.enough(reconstruction.batches)?;
        let one = Sampling {
            positions: 1,
            ..Sampling::default()
        };
        let weights: Vec<&str> = reconstruction.weights.iter().map(String::as_str).collect();
        let sampled = sample_layers(&self.network, self.first(Some(1)), &weights, &one);
        sampled.map(drop).map_err(|error| error.to_string())
    }

    /// A layer whose samples are not finite keeps its weights.
    ///
    /// # Panics
    ///
    /// If the reconstruction is one that [`check_reconstruction`](ActivationSource::check_reconstruction) rejects, or
    /// the model is one that [`check_model`](ActivationSource::check_model) rejects.
    fn reconstruct(&mut self, model: &M, masks: &Masks, reconstruction: &Reconstruction) -> Values {
        let weights: Vec<&str> = reconstruction.weights.iter().map(String::as_str).collect();
        let sampling = Sampling {
            positions: reconstruction.positions,
            seed: reconstruction.seed,
        };
        let batches = self.first(reconstruction.batches);
        let network = self.expect_like(model);
        let sampled = sample_layers(&network, batches, &weights, &sampling);
        let sampled = sampled.unwrap_or_else(|error| panic!("{error}"));
        let inventory = Inventory::from_module(model);
        let mut values = Values::default();
        for layer in sampled.iter() {
            let (weight, samples) = (&layer.name, &layer.value);
            values.extend(refitted(model, &inventory, masks, weight, samples));
        }
        values
    }
}

/// The weight and the bias of a layer, refitted under its mask; empty if it has no mask or cannot be refitted.
fn refitted<M: Module>(
    model: &M,
    inventory: &Inventory,
    masks: &Masks,
    path: &str,
    samples: &LayerSamples,
) -> Values {
    let Some(keep) = masks.keep(path) else {
        return Values::default();
    };
    let keep: Vec<bool> = keep.into_data().iter::<bool>().collect();
    let refit = match samples.refit(&keep) {
        Ok(refit) => refit,
        Err(error) => {
            tracing::warn!("`{path}` keeps its weights: {error}");
            return Values::default();
        }
    };
    for system in &refit.systems {
        let (rank, unknowns, rows) = (system.rank, system.unknowns, samples.rows());
        if rows < unknowns {
            tracing::warn!(
                "`{path}`: {rows} samples are fewer than the {unknowns} weights of a filter"
            );
        } else if !system.is_determined() {
            tracing::debug!(
                "`{path}`: the samples determine {rank} of a filter's {unknowns} weights"
            );
        }
    }
    let value = |path: &str, numbers: Vec<f64>| {
        let parameter = inventory.get(path)?;
        let device = flat(model, [parameter]).first()?.device();
        let numbers: Vec<f32> = numbers.into_iter().map(|number| number as f32).collect();
        Some((
            parameter.id,
            Tensor::from_floats(numbers.as_slice(), &device),
        ))
    };
    let bias = samples.bias().zip(refit.bias);
    let bias = bias.and_then(|(path, numbers)| value(path, numbers));
    value(path, refit.weight).into_iter().chain(bias).collect()
}

/// The result of a pass for some weights; `None` if there are no weights.
fn pass<S: Statistics>(
    weights: &[&str],
    statistics: &S,
    run: impl FnOnce(&[&str], &S) -> Result<Observed<S::Value>, ObserveError>,
) -> Option<Observed<S::Value>> {
    if weights.is_empty() {
        return None;
    }
    Some(run(weights, statistics).unwrap_or_else(|error| panic!("{error}")))
}
