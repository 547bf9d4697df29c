use std::collections::HashMap;

use burn::tensor::{Tensor, Transaction};
use calcine_graph::{ElementKind, Graph, Node, ValueId};

use crate::activation::{Activation, SampleCounts};
use crate::channel::{ChannelAxis, channel_axes};
use crate::error::ObserveError;
use crate::observed::{Observed, ObservedNode};
use crate::place::Place;
use crate::statistic::Statistics;
use calcine_trace::{AnyTensor, ForwardError, Network, Tensors};

/// The intermediate results of a place, for each statistic.
#[derive(Default)]
struct State {
    parts: Vec<Vec<Tensor<1>>>,
    counts: SampleCounts,
}

/// Runs all batches through the network, and then reads the results once.
pub(crate) fn run<I: Tensors, S: Statistics>(
    network: &Network,
    batches: impl IntoIterator<Item = I>,
    places: &[Place],
    statistics: &S,
) -> Result<Observed<S::Value>, ObserveError> {
    run_by(
        network.graph(),
        batches,
        places,
        statistics,
        |batch, see| {
            network
                .run(batch, &mut |node, result| {
                    see(node, &result);
                    result
                })
                .map(drop)
        },
    )
}

/// Runs all batches through an executor of a graph, and then reads the results once.
pub(crate) fn run_by<I: Tensors, S: Statistics>(
    graph: &Graph,
    batches: impl IntoIterator<Item = I>,
    places: &[Place],
    statistics: &S,
    mut pass: impl FnMut(Vec<AnyTensor>, &mut dyn FnMut(&Node, &AnyTensor)) -> Result<(), ForwardError>,
) -> Result<Observed<S::Value>, ObserveError> {
    let mut observe = Observation::new(graph, places, statistics);
    for batch in batches {
        let batch = batch.into_any();
        for (&id, input) in graph.inputs.iter().zip(&batch) {
            // Inputs with a wrong rank are left to the pass, which returns an error.
            if input.shape().len() == graph.value(id).shape.len() {
                observe.add(id, input);
            }
        }
        pass(batch, &mut |node, result| observe.add(node.output, result))?;
    }
    observe.read()
}

struct Observation<'a, S> {
    places: &'a [Place],
    statistics: &'a S,
    axes: Vec<ChannelAxis>,
    /// The places to which a value belongs.
    of_value: HashMap<ValueId, Vec<usize>>,
    states: Vec<State>,
}

impl<'a, S: Statistics> Observation<'a, S> {
    fn new(graph: &'a Graph, places: &'a [Place], statistics: &'a S) -> Self {
        let mut of_value: HashMap<ValueId, Vec<usize>> = HashMap::new();
        for (index, place) in places.iter().enumerate() {
            for &value in &place.values {
                of_value.entry(value).or_default().push(index);
            }
        }
        Self {
            places,
            statistics,
            axes: channel_axes(graph),
            of_value,
            states: places.iter().map(|_| State::default()).collect(),
        }
    }

    fn add(&mut self, id: ValueId, result: &AnyTensor) {
        let Some(places) = self.of_value.get(&id) else {
            return;
        };
        if result.kind() != ElementKind::Float {
            return;
        }
        for &place in places {
            let Place { name, axis, .. } = &self.places[place];
            let axis = axis.map_or(self.axes[id.0], |axis| ChannelAxis(Some(axis)));
            let values = axis.view(result);
            let batch = Activation { name, values };
            self.states[place].add(self.statistics, &batch);
        }
    }

    fn read(self) -> Result<Observed<S::Value>, ObserveError> {
        if self
            .states
            .iter()
            .any(|state| state.counts == SampleCounts::default())
        {
            return Err(ObserveError::NoBatch);
        }
        let vectors = self
            .states
            .iter()
            .flat_map(|state| state.parts.iter().flatten());
        let read = vectors
            .cloned()
            .fold(Transaction::default(), Transaction::register);
        let mut read = read.execute().into_iter();
        let mut nodes = Vec::with_capacity(self.places.len());
        for (place, state) in self.places.iter().zip(self.states) {
            let part = |part: Vec<Tensor<1>>| -> Vec<Vec<f64>> {
                let vectors = read.by_ref().take(part.len());
                vectors.map(|data| data.iter::<f64>().collect()).collect()
            };
            let parts: Vec<Vec<Vec<f64>>> = state.parts.into_iter().map(part).collect();
            nodes.push(ObservedNode {
                name: place.name.clone(),
                counts: state.counts,
                value: self.statistics.value(&mut parts.into_iter(), state.counts),
            });
        }
        Ok(Observed::new(nodes))
    }
}

impl State {
    fn add<S: Statistics>(&mut self, statistics: &S, batch: &Activation<'_>) {
        let (before, one) = (self.counts, batch.sample_counts());
        let parts = statistics.parts();
        self.parts = if before == SampleCounts::default() {
            parts.iter().map(|part| part.measure(batch)).collect()
        } else {
            let all = std::mem::take(&mut self.parts);
            let merged = parts.iter().zip(all);
            merged
                .map(|(part, all)| part.merge((all, before), (part.measure(batch), one)))
                .collect()
        };
        self.counts = before.and(one);
    }
}
