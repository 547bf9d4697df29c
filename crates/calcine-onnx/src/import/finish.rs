//! Creates the network of a graph that was read.

use std::collections::HashSet;
use std::rc::Rc;

use burn::tensor::{Device, TensorData};
use calcine_graph::{Source, ValueId};
use calcine_quantize::QuantizationParameters;
use calcine_trace::{AnyTensor, Network, NewParameter};

use super::Imported;
use super::host::{Elements, Host};
use super::importer::{Importer, Known};
use super::parameters::Stored;
use super::sharing::uncounted;
use crate::error::ImportError;
use crate::proto;

impl Importer {
    /// Creates the network, without nodes and values on which no output depends.
    pub(crate) fn finish(
        mut self,
        file: &proto::Graph<'_>,
        device: &Device,
    ) -> Result<Imported, ImportError> {
        for output in &file.outputs {
            let wrong = |problem: &str| ImportError::Value {
                name: output.name.clone().into_owned(),
                problem: problem.to_owned(),
            };
            let id = match self.known.get(&*output.name) {
                Some(Known::Value(id)) => *id,
                Some(Known::Host(host)) => {
                    let host = host.clone();
                    let id = self.tensor(&host, "", "output");
                    id.map_err(|reason| wrong(&format!("is an output: {reason}")))?
                }
                _ => return Err(wrong("is an output, and no node gives it")),
            };
            self.graph.outputs.push(id);
        }
        if self.graph.outputs.is_empty() {
            return Err(ImportError::Malformed("it has no output"));
        }
        let places = self.without_dead_nodes();
        let device = device.clone();
        // The weights are not shared anymore, so they are moved into the network.
        self.known.clear();
        let own = std::mem::take(&mut self.parameters);
        let stored: Vec<Stored> = own.iter().map(Stored::of).collect();
        let mut parameters = Vec::new();
        for parameter in own {
            if places[parameter.value.0].is_none() {
                continue;
            }
            let path = self.graph_name(&places, parameter.value);
            parameters.push(NewParameter {
                value: any(parameter.host, &path, &device)?,
                path,
                layer: parameter.layer,
            });
        }
        let mut constants = Vec::new();
        for (id, host) in std::mem::take(&mut self.constants) {
            if let Some(place) = places[id.0] {
                constants.push((place, any(host, "constant", &device)?));
            }
        }
        let mut aliases = Vec::new();
        for (id, alias) in std::mem::take(&mut self.aliases) {
            let path = self.graph_name(&places, id);
            if !path.is_empty() && is_alias(&alias, &path, &parameters) {
                aliases.push((path, alias));
            }
        }
        let graph = self.graph;
        let mut network = Network::from_parts(graph, parameters, constants)?;
        for (path, alias) in aliases {
            network = network.with_alias(&path, &alias);
        }
        let mut imported = Imported {
            network,
            parameters: QuantizationParameters::default(),
            left_out: Vec::new(),
        };
        imported.quantize(&self.quantizers, &self.weight_quantizers, &stored, &places);
        Ok(imported)
    }

    fn graph_name(&self, places: &[Option<ValueId>], id: ValueId) -> String {
        let place = places[id.0];
        place.map_or_else(String::new, |place| self.graph.value(place).name.clone())
    }

    /// Removes nodes and values on which no output depends. Returns the new positions of the other values.
    fn without_dead_nodes(&mut self) -> Vec<Option<ValueId>> {
        let graph = &mut self.graph;
        let mut needed: HashSet<ValueId> =
            graph.outputs.iter().chain(&graph.inputs).copied().collect();
        let mut alive = vec![false; graph.nodes.len()];
        for (position, node) in graph.nodes.iter().enumerate().rev() {
            if needed.contains(&node.output) {
                needed.extend(&node.inputs);
                alive[position] = true;
            }
        }
        let mut kept = alive.iter();
        graph.nodes.retain(|_| kept.next() == Some(&true));
        let mut places = vec![None; graph.values.len()];
        let mut count = 0;
        for (id, place) in places.iter_mut().enumerate() {
            if needed.contains(&ValueId(id)) {
                *place = Some(ValueId(count));
                count += 1;
            }
        }
        let mut at = places.iter();
        graph
            .values
            .retain(|_| at.next().is_some_and(Option::is_some));
        let place = |id: &mut ValueId| *id = places[id.0].unwrap_or(*id);
        graph.inputs.iter_mut().for_each(place);
        graph.outputs.iter_mut().for_each(place);
        for (position, node) in graph.nodes.iter_mut().enumerate() {
            node.inputs.iter_mut().for_each(place);
            place(&mut node.output);
            graph.values[node.output.0].source = Source::Node(position);
        }
        places
    }
}

/// Whether a path in a module that reads a parameter is another path of it: not if the module contains the one that owns the
/// parameter, is the same one called again, or has modules of its own.
fn is_alias(alias: &str, path: &str, parameters: &[NewParameter]) -> bool {
    let Some((module, _)) = alias
        .rsplit_once('.')
        .filter(|(module, _)| !module.is_empty())
    else {
        return false;
    };
    let within = |path: &str| {
        let rest = path.strip_prefix(module)?.strip_prefix('.')?;
        Some(rest.contains('.'))
    };
    let owner = path.rsplit_once('.').map_or("", |(owner, _)| owner);
    let mut others = parameters.iter();
    within(path).is_none()
        && uncounted(module) != uncounted(owner)
        && others.all(|other| other.path != alias && within(&other.path) != Some(true))
}

fn any(host: Rc<Host>, name: &str, device: &Device) -> Result<AnyTensor, ImportError> {
    let host = Rc::unwrap_or_clone(host);
    let kind = host.kind();
    let shape = host.shape;
    let data = match host.elements {
        Elements::Floats(values) => TensorData::new(values, shape),
        Elements::Ints(values) => {
            let known: Vec<i64> = values.iter().map(|value| value.fixed).collect();
            TensorData::new(known, shape)
        }
        Elements::Bools(values) => TensorData::new(values, shape),
    };
    AnyTensor::from_data(data, kind, device).ok_or_else(|| ImportError::Tensor {
        name: name.to_owned(),
        problem: "does not fit a tensor: of 1 to 6 axes, and of integers that the device holds"
            .to_owned(),
    })
}
