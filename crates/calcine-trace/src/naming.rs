//! Names the inputs, nodes and constants of a graph.

use std::collections::{HashMap, HashSet};

use calcine_graph::{Graph, Op, Source, ValueId};

/// Names inputs, nodes and constants, so that no two values of the graph have the same name.
///
/// The model's own paths are reserved: those of its parameters, and those of its layers, which are prefixes of these.
/// The first operation that uses the parameters of a layer has the path of the layer, and no other value may have it.
/// All other names are generated, and a generated name that already exists is followed by `_2`, `_3` and so on:
///
/// | value | name |
/// |---|---|
/// | the only input; the first of several inputs | `input`; `input_0` |
/// | the second use of a layer | its path and a number, such as `conv1_2` |
/// | an operation after a layer | the layer's path and the operation, such as `conv1.relu` |
/// | an operation before the first layer | the operation, such as `relu` |
/// | a layer whose weight is computed first | its path as well: `x.matmul(w.transpose())` has the path of `w` |
/// | a constant | the path of the layer before its first use, such as `conv1.constant` |
pub(crate) fn name<'a>(graph: &mut Graph, paths: impl Iterator<Item = &'a str>) {
    let mut names = Names::new(paths);
    let inputs = graph.inputs.clone();
    for (index, id) in inputs.iter().enumerate() {
        let wanted = match inputs.len() {
            1 => "input".to_owned(),
            _ => format!("input_{index}"),
        };
        graph.values[id.0].name = names.made(&wanted);
    }
    let mut layers: HashMap<ValueId, String> = HashMap::new();
    for index in 0..graph.nodes.len() {
        let node = &graph.nodes[index];
        let own = node.inputs.iter().find_map(|&id| layer_of(graph, id));
        // A weight may be computed from the parameters of its layer.
        let computed = || {
            let parameters = node.inputs.iter().find_map(|&id| graph.made_of(id))?;
            layer_of(graph, *parameters.first()?)
        };
        let own = own.or_else(|| is_layer(&node.op).then(computed).flatten());
        let (layer, name) = match own {
            Some(layer) if is_layer(&node.op) && layer.is_empty() => {
                (String::new(), names.made(node.op.name()))
            }
            Some(layer) if is_layer(&node.op) => (layer.to_owned(), names.of_layer(layer)),
            Some(layer) => (layer.to_owned(), names.made(&behind(layer, node.op.name()))),
            None => {
                let before = node.inputs.iter().find_map(|input| layers.get(input));
                let layer = before.cloned().unwrap_or_default();
                let name = names.made(&behind(&layer, node.op.name()));
                (layer, name)
            }
        };
        let output = node.output;
        layers.insert(output, layer);
        graph.values[output.0].name.clone_from(&name);
        graph.nodes[index].name = name;
    }
    for value in &mut graph.values {
        if value.source == Source::Constant {
            value.name = names.made(&behind(&value.name, "constant"));
        }
    }
}

/// The path of the layer that a parameter belongs to, which is empty for a parameter of the model itself; `None` if the
/// value is not a parameter.
pub(crate) fn layer_of(graph: &Graph, id: ValueId) -> Option<&str> {
    let value = graph.value(id);
    let owner = value.name.rsplit_once('.').map_or("", |(layer, _)| layer);
    (value.source == Source::Parameter).then_some(owner)
}

fn behind(layer: &str, op: &str) -> String {
    match layer {
        "" => op.to_owned(),
        layer => format!("{layer}.{op}"),
    }
}

/// Whether the operation is a layer, rather than an operation on a parameter.
fn is_layer(op: &Op) -> bool {
    matches!(
        op,
        Op::Convolution(_)
            | Op::TransposedConvolution { .. }
            | Op::Linear
            | Op::Matmul
            | Op::Embedding
            | Op::BatchNorm { .. }
            | Op::LayerNorm { .. }
            | Op::Attention { .. }
    )
}

/// The names that are used.
struct Names {
    /// All names, including the reserved ones.
    taken: HashSet<String>,
    /// The layers whose path is the name of a node.
    applied: HashSet<String>,
    /// The largest number that was appended to each generated name.
    numbered: HashMap<String, usize>,
}

impl Names {
    /// Reserves the names of the model: the paths of its parameters and all prefixes of these.
    fn new<'a>(paths: impl Iterator<Item = &'a str>) -> Self {
        let mut taken = HashSet::new();
        for path in paths {
            let ends = path.match_indices('.').map(|(end, _)| end);
            taken.extend(ends.map(|end| path[..end].to_owned()));
            taken.insert(path.to_owned());
        }
        Self {
            taken,
            applied: HashSet::new(),
            numbered: HashMap::new(),
        }
    }

    /// The layer's path for its first use, and a generated name for each later use.
    fn of_layer(&mut self, layer: &str) -> String {
        if self.applied.insert(layer.to_owned()) {
            return layer.to_owned();
        }
        self.made(layer)
    }

    /// The name itself if it is free, and otherwise with a number that makes it unique.
    fn made(&mut self, wanted: &str) -> String {
        if self.taken.insert(wanted.to_owned()) {
            return wanted.to_owned();
        }
        // Names are never released.
        let count = self.numbered.entry(wanted.to_owned()).or_insert(1);
        loop {
            *count += 1;
            let name = format!("{wanted}_{count}");
            if self.taken.insert(name.clone()) {
                return name;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use calcine_graph::{Arithmetic, ElementKind, Map, Node, Value};
    use rand::rngs::ChaCha8Rng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    const WORDS: [&str; 14] = [
        "input",
        "input_0",
        "input_1",
        "input_2",
        "constant",
        "constant_2",
        "relu",
        "relu_2",
        "add",
        "linear",
        "conv1",
        "conv1_2",
        "conv1_3",
        "steps",
    ];

    fn value(name: &str, source: Source) -> Value {
        Value {
            name: name.to_owned(),
            shape: Vec::new(),
            kind: ElementKind::Float,
            source,
        }
    }

    /// A graph of layers and other operations in any order, over a model whose fields are called as a graph calls things.
    fn drawn(random: &mut ChaCha8Rng) -> Graph {
        let mut graph = Graph::default();
        let mut paths = HashSet::new();
        for _ in 0..random.random_range(1..8) {
            let depth = random.random_range(0..3);
            let words = (0..depth).map(|_| WORDS[random.random_range(0..WORDS.len())]);
            let layer: Vec<&str> = words.collect();
            paths.insert([layer.as_slice(), &["weight"]].concat().join("."));
        }
        // A path is a layer or a parameter, never both.
        let all: Vec<String> = paths.iter().cloned().collect();
        paths.retain(|path| {
            !all.iter()
                .any(|other| other.starts_with(&format!("{path}.")))
        });
        let mut paths: Vec<String> = paths.into_iter().collect();
        paths.sort();
        graph.values = paths
            .iter()
            .map(|path| value(path, Source::Parameter))
            .collect();
        for _ in 0..random.random_range(1..4) {
            graph.inputs.push(ValueId(graph.values.len()));
            graph.values.push(value("", Source::Input));
        }
        for _ in 0..random.random_range(1..12) {
            if random.random_bool(0.2) {
                graph.values.push(value(
                    ["", "conv1", "relu"][random.random_range(0..3)],
                    Source::Constant,
                ));
            }
            let operand = ValueId(random.random_range(paths.len()..graph.values.len()));
            let parameter = ValueId(random.random_range(0..paths.len()));
            let (op, inputs) = match random.random_range(0..3) {
                0 => (Op::Linear, vec![operand, parameter]),
                1 => (Op::Zip(Arithmetic::Add), vec![operand, parameter]),
                _ => (Op::Map(Map::Relu), vec![operand]),
            };
            let output = ValueId(graph.values.len());
            graph
                .values
                .push(value("", Source::Node(graph.nodes.len())));
            graph.nodes.push(Node {
                name: String::new(),
                op,
                inputs,
                output,
            });
        }
        graph
    }

    #[test]
    fn no_two_values_have_one_name_and_fields_keep_theirs() {
        let mut random = ChaCha8Rng::seed_from_u64(15);
        for round in 0..500 {
            let mut graph = drawn(&mut random);
            let paths = graph.parameters().map(|(_, value)| value.name.clone());
            let paths: Vec<String> = paths.collect();
            name(&mut graph, paths.iter().map(String::as_str));
            let mut seen = HashSet::new();
            for value in &graph.values {
                assert!(
                    !value.name.is_empty() && seen.insert(&value.name),
                    "round {round}: {graph:?}"
                );
            }
            let mut applied = HashSet::new();
            for node in &graph.nodes {
                assert_eq!(graph.value(node.output).name, node.name);
                let layer = node.inputs.iter().find_map(|&id| layer_of(&graph, id));
                let layer = layer.filter(|layer| !layer.is_empty() && is_layer(&node.op));
                match layer {
                    Some(layer) if applied.insert(layer) => {
                        assert_eq!(node.name, layer, "round {round}");
                    }
                    _ => {
                        let of_the_model = |path: &String| {
                            *path == node.name || path.starts_with(&format!("{}.", node.name))
                        };
                        assert!(
                            !paths.iter().any(of_the_model),
                            "round {round}: {} in {graph:?}",
                            node.name
                        );
                    }
                }
            }
        }
    }
}
