//! Which parameter an initializer is where several nodes read it.
//!
//! PyTorch's exporters store equal tensors once. The TorchScript exporter keeps the name of each parameter as the result of an
//! `Identity` of the one that is stored; a parameter that a model uses twice has one name and no `Identity`. The newer exporter leaves
//! nothing but the modules of the nodes, and does not distinguish parameters that are equal from one that is used twice. There, a tensor of
//! one number (the biases and scales of layers that are not trained yet) is taken for as many parameters as modules read it, and any other
//! tensor for one. The matrix of a linear layer is a transposed copy in both, also if it is the table of an embedding.

use std::collections::HashMap;

use super::host::{Elements, Folder, Host};
use super::importer::is_made;
use super::scope;
use crate::error::ImportError;
use crate::proto::{Graph, Node, Tensor, data_type};

/// Longer tensors are not merged by an exporter for their numbers.
const LONGEST: i64 = 1 << 16;

/// Operators whose operands after the first are the parameters of one layer.
const LAYERS: [&str; 7] = [
    "Conv",
    "ConvTranspose",
    "Gemm",
    "BatchNormalization",
    "LayerNormalization",
    "InstanceNormalization",
    "GroupNormalization",
];

/// The parameter that an initializer is for a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Own {
    pub(super) name: String,
    /// Whether the initializer is the transpose of the parameter.
    transposed: bool,
}

impl Own {
    /// The tensor of an initializer as this parameter.
    pub(super) fn of(&self, host: &Host) -> Host {
        Host {
            name: Some(self.name.clone()),
            transposed: self.transposed,
            ..host.clone()
        }
    }
}

/// Where a name is read: the node's position and the place of the operand.
type Place = (usize, usize);

/// The parameters of the operands that are not named as their initializers are.
#[derive(Debug, Default)]
pub(super) struct Sharing(HashMap<Place, Own>);

impl Sharing {
    /// Of the nodes at these positions.
    pub(super) fn of(
        graph: &Graph<'_>,
        needed: &[usize],
        tensors: &HashMap<&str, &Tensor<'_>>,
        folder: &mut Folder,
    ) -> Result<Self, ImportError> {
        let mut readers: HashMap<&str, Vec<Place>> = HashMap::new();
        for &position in needed {
            for (operand, name) in graph.nodes[position].inputs.iter().enumerate() {
                let places = readers.entry(name).or_default();
                places.push((position, operand));
            }
        }
        let mut sharing = Self::default();
        let is_output = |name: &str| graph.outputs.iter().any(|output| output.name == name);
        for tensor in graph.initializers.iter().filter(|tensor| is_float(tensor)) {
            let Some(places) = readers.get(&*tensor.name) else {
                continue;
            };
            if places.len() < 2 || tensor.dims.is_empty() {
                continue;
            }
            for &(position, operand) in places {
                let node = &graph.nodes[position];
                let Some(result) = node.outputs.first().filter(|_| node.op_type == "Identity")
                else {
                    continue;
                };
                let first = |name: &str| {
                    let places = readers.get(name)?;
                    let mut nodes = places.iter().map(|place| &graph.nodes[place.0]);
                    nodes.find(|node| node.op_type != "Identity").map(scope)
                };
                let is_another = match (is_made(result), is_made(&tensor.name)) {
                    (false, _) => !result.contains(['/', ':']) && !is_output(result),
                    (true, false) => true,
                    (true, true) => match (first(&tensor.name), first(result)) {
                        (Some(one), Some(other)) => uncounted(&one) != uncounted(&other),
                        _ => false,
                    },
                };
                if is_another && readers.contains_key(&**result) {
                    sharing.insert((position, operand), result, false);
                }
            }
            sharing.by_modules(graph, tensor, &readers, folder)?;
        }
        sharing.transposed(graph, tensors, &readers, folder)?;
        Ok(sharing)
    }

    /// The parameter that the initializer is for this operand; `None` if it is the one with the initializer's name.
    pub(super) fn own(&self, position: usize, operand: usize) -> Option<&Own> {
        self.0.get(&(position, operand))
    }

    fn insert(&mut self, place: Place, name: &str, transposed: bool) {
        let name = name.to_owned();
        self.0.insert(place, Own { name, transposed });
    }

    /// A tensor of one number that nodes of several modules read.
    fn by_modules(
        &mut self,
        graph: &Graph<'_>,
        tensor: &Tensor<'_>,
        readers: &HashMap<&str, Vec<Place>>,
        folder: &mut Folder,
    ) -> Result<(), ImportError> {
        let name = &*tensor.name;
        let places = &readers[name];
        let elements = tensor.dims.iter().try_fold(1_i64, |n, d| n.checked_mul(*d));
        if is_made(name) || elements.is_none_or(|elements| elements > LONGEST) {
            return Ok(());
        }
        let module = |place: &Place| {
            let node = &graph.nodes[place.0];
            (!node.modules.is_empty()).then(|| scope(node))
        };
        let role = |module: &str| Some(name.strip_prefix(module)?.strip_prefix('.')?.to_owned());
        let owners = places.iter().filter_map(module);
        let owners = owners.filter_map(|owner| Some((role(&owner)?, owner)));
        let Some((role, owner)) = owners.min_by_key(|(role, _)| role.len()) else {
            return Ok(());
        };
        let others = places.iter().filter_map(|place| {
            let module = module(place).filter(|module| !module.is_empty() && *module != owner)?;
            Some((*place, module))
        });
        let others: Vec<_> = others.collect();
        if others.is_empty() || !is_uniform(&folder.host(tensor)?) {
            return Ok(());
        }
        for (place, module) in others {
            let is_own = |name: &str| !is_made(name) && readers[name].len() == 1;
            let beside = beside(&graph.nodes[place.0], &role, is_own);
            let own = beside.unwrap_or_else(|| format!("{module}.{role}"));
            self.insert(place, &own, false);
        }
        Ok(())
    }

    /// Matrices without a name of their own that are the transpose of an embedding's table.
    fn transposed(
        &mut self,
        graph: &Graph<'_>,
        tensors: &HashMap<&str, &Tensor<'_>>,
        readers: &HashMap<&str, Vec<Place>>,
        folder: &mut Folder,
    ) -> Result<(), ImportError> {
        let reads = |name: &str, operator: &str, at: usize| {
            let places = readers.get(name).map_or(&[][..], Vec::as_slice);
            let mut places = places.iter();
            places.any(|&(node, operand)| operand == at && graph.nodes[node].op_type == operator)
        };
        let mut initializers = tensors.values().copied().collect::<Vec<_>>();
        initializers.sort_by(|a, b| a.name.cmp(&b.name));
        let matrices = initializers
            .iter()
            .filter(|tensor| is_float(tensor) && tensor.dims.len() == 2 && is_made(&tensor.name));
        for matrix in matrices.filter(|matrix| reads(&matrix.name, "MatMul", 1)) {
            let turned = [matrix.dims[1], matrix.dims[0]];
            let tables = initializers.iter().filter(|table| {
                is_float(table)
                    && table.dims == turned
                    && !is_made(&table.name)
                    && reads(&table.name, "Gather", 0)
            });
            for table in tables {
                let (one, other) = (folder.host(matrix)?, folder.host(table)?);
                if is_uniform(&one) || !is_transpose(&one, &other) {
                    continue;
                }
                for &place in &readers[&*matrix.name] {
                    self.insert(place, &table.name, true);
                }
                break;
            }
        }
        Ok(())
    }
}

/// The path that the other parameters of the layer give to an operand: `conv1.bias` beside `conv1.weight`. `is_own` says of a name
/// whether it is one of this layer alone.
fn beside(node: &Node<'_>, role: &str, is_own: impl Fn(&str) -> bool) -> Option<String> {
    if !LAYERS.contains(&&*node.op_type) {
        return None;
    }
    let others = node.inputs.iter().skip(1);
    let mut others = others.filter(|other| !other.is_empty() && is_own(other));
    let (module, other) = others.find_map(|other| other.rsplit_once('.'))?;
    let last = role.rsplit('.').next().unwrap_or(role);
    let last = match (&*node.op_type, other.strip_suffix("weight")) {
        // `in_proj_bias` beside `in_proj_weight`.
        ("Conv" | "ConvTranspose" | "Gemm", Some(start)) => format!("{start}bias"),
        _ => last.to_owned(),
    };
    Some(format!("{module}.{last}"))
}

fn is_float(tensor: &Tensor<'_>) -> bool {
    let floats = [
        data_type::FLOAT,
        data_type::DOUBLE,
        data_type::FLOAT16,
        data_type::BFLOAT16,
    ];
    floats.contains(&tensor.data_type)
}

fn is_uniform(host: &Host) -> bool {
    match &host.elements {
        Elements::Floats(values) => values
            .windows(2)
            .all(|pair| pair[0].to_bits() == pair[1].to_bits()),
        _ => false,
    }
}

fn is_transpose(one: &Host, other: &Host) -> bool {
    let (Elements::Floats(a), Elements::Floats(b)) = (&one.elements, &other.elements) else {
        return false;
    };
    let [rows, columns] = one.shape[..] else {
        return false;
    };
    let mut places = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
    places.all(|(row, column)| {
        a[row * columns + column].to_bits() == b[column * rows + row].to_bits()
    })
}

/// The path of a module without the number that the TorchScript exporter appends to a module that is called again: `act` of `act_1`.
pub(super) fn uncounted(path: &str) -> &str {
    match path.rsplit_once('_') {
        Some((start, count)) if !count.is_empty() && count.bytes().all(|b| b.is_ascii_digit()) => {
            start
        }
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use burn::tensor::{Device, Tensor as Burn};

    use crate::proto::{
        Attribute, AttributeValue, Data, Dimension, Graph, Model, Node, Tensor, ValueInfo,
        data_type,
    };
    use crate::{ImportOptions, read_bytes};

    /// An operator, its name or modules, its operands, and its result.
    type Row = (
        &'static str,
        &'static str,
        &'static [&'static str],
        &'static str,
    );

    fn node((op, place, inputs, output): Row) -> Node<'static> {
        let gemm = Attribute {
            name: "transB".into(),
            value: AttributeValue::Int(1),
        };
        let is_list = place.starts_with('[');
        Node {
            op_type: op.into(),
            name: Cow::Borrowed(if is_list { "" } else { place }),
            modules: Cow::Borrowed(if is_list { place } else { "" }),
            inputs: inputs.iter().map(|&name| name.into()).collect(),
            outputs: vec![output.into()],
            attributes: if op == "Gemm" { vec![gemm] } else { Vec::new() },
            ..Node::default()
        }
    }

    fn tensor(name: &'static str, dims: &[i64], values: &[f32]) -> Tensor<'static> {
        let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        Tensor {
            name: name.into(),
            dims: dims.to_vec(),
            data_type: data_type::FLOAT,
            data: Data::Raw(Cow::Owned(bytes)),
        }
    }

    /// The paths of the parameters and their aliases, and the outputs for ones.
    fn read(
        rows: &[Row],
        initializers: Vec<Tensor<'static>>,
    ) -> (Vec<String>, Vec<String>, Vec<f32>) {
        let value = |name: &'static str, kind| ValueInfo {
            name: name.into(),
            data_type: kind,
            shape: Some(vec![Dimension::Named("batch".into()), Dimension::Fixed(2)]),
        };
        let is_table = rows.iter().any(|(op, ..)| *op == "Gather");
        let kind = match is_table {
            true => data_type::INT64,
            false => data_type::FLOAT,
        };
        let model = Model {
            ir_version: 8,
            opsets: vec![("".into(), 17)],
            graph: Graph {
                nodes: rows.iter().copied().map(node).collect(),
                initializers,
                inputs: vec![value("x", kind)],
                outputs: vec![value("y", data_type::FLOAT)],
                ..Graph::default()
            },
            ..Model::default()
        };
        let device = Device::flex();
        let network = read_bytes(&model.write(), &ImportOptions::default(), &device).unwrap();
        let parameters = network.graph().parameters();
        let mut paths: Vec<String> = parameters.map(|(_, value)| value.name.clone()).collect();
        paths.sort();
        let aliases = network.metadata().iter();
        let aliases = aliases.map(|(alias, path)| format!("{alias} {path}"));
        let aliases = aliases.collect();
        let y: Vec<f32> = match is_table {
            true => {
                let x = Burn::<2, burn::tensor::Int>::ones([1, 2], &device);
                let y: Burn<3> = network.forward(x);
                y.into_data().iter().collect()
            }
            false => {
                let y: Burn<2> = network.forward(Burn::<2>::ones([1, 2], &device));
                y.into_data().iter().collect()
            }
        };
        (paths, aliases, y)
    }

    fn layers(bias: [f32; 2]) -> Vec<Tensor<'static>> {
        vec![
            tensor("a.weight", &[2, 2], &[1.0, 2.0, 3.0, 4.0]),
            tensor("b.weight", &[2, 2], &[5.0, 6.0, 7.0, 8.0]),
            tensor("a.bias", &[2], &bias),
        ]
    }

    #[test]
    fn a_parameter_that_was_stored_as_another_has_its_own_name() {
        let apart = ["a.bias", "a.weight", "b.bias", "b.weight"];
        let identity: &[Row] = &[
            ("Identity", "Identity_0", &["a.bias"], "b.bias"),
            ("Gemm", "/a/Gemm", &["x", "a.weight", "a.bias"], "h"),
            ("Gemm", "/b/Gemm", &["h", "b.weight", "b.bias"], "y"),
        ];
        let numbered: &[Row] = &[
            ("Identity", "Identity_0", &["a.bias"], "onnx::Gemm_7"),
            ("Gemm", "/a/Gemm", &["x", "a.weight", "a.bias"], "h"),
            ("Gemm", "/b/Gemm", &["h", "b.weight", "onnx::Gemm_7"], "y"),
        ];
        let modules: &[Row] = &[
            (
                "Gemm",
                "['', 'a', 'linear']",
                &["x", "a.weight", "a.bias"],
                "h",
            ),
            (
                "Gemm",
                "['', 'b', 'linear_1']",
                &["h", "b.weight", "a.bias"],
                "y",
            ),
        ];
        for (rows, bias) in [
            (identity, [0.5, 0.5]),
            (identity, [0.5, 0.25]),
            (numbered, [0.5, 0.25]),
            (modules, [0.5, 0.5]),
        ] {
            let (paths, aliases, y) = read(rows, layers(bias));
            assert_eq!(paths, apart, "{rows:?}");
            assert!(aliases.is_empty(), "{aliases:?}");
            let h = [3.0 + bias[0], 7.0 + bias[1]];
            let row = |a: f32, b: f32| a * h[0] + b * h[1];
            assert_eq!(y, [row(5.0, 6.0) + bias[0], row(7.0, 8.0) + bias[1]]);
        }
    }

    /// The newer exporter stores the scales of all layer norms that are not trained yet once, and the shifts once.
    #[test]
    fn layers_whose_parameters_are_all_equal_are_apart() {
        let rows: &[Row] = &[
            (
                "LayerNormalization",
                "['', 'a', 'layer_norm']",
                &["x", "a.weight", "a.bias"],
                "h",
            ),
            (
                "LayerNormalization",
                "['', 'b', 'c', 'layer_norm_1']",
                &["h", "a.weight", "a.bias"],
                "y",
            ),
        ];
        let parameters = vec![
            tensor("a.weight", &[2], &[1.0, 1.0]),
            tensor("a.bias", &[2], &[0.0, 0.0]),
        ];
        let (paths, aliases, _) = read(rows, parameters);
        assert_eq!(paths, ["a.beta", "a.gamma", "c.beta", "c.gamma"]);
        assert!(aliases.is_empty());
    }

    /// The exporter transposes the weight, and names only the bias.
    #[test]
    fn a_weight_without_a_name_is_called_as_its_bias() {
        let rows: &[Row] = &[
            ("MatMul", "/a/MatMul", &["x", "onnx::MatMul_3"], "h"),
            ("Add", "/a/Add", &["a.in_proj_bias", "h"], "y"),
        ];
        let tensors = vec![
            tensor("onnx::MatMul_3", &[2, 2], &[1.0, 2.0, 3.0, 4.0]),
            tensor("a.in_proj_bias", &[2], &[5.0, 6.0]),
        ];
        let (paths, _, y) = read(rows, tensors);
        assert_eq!(paths, ["a.in_proj_bias", "a.in_proj_weight"]);
        assert_eq!(y, [9.0, 12.0]);
    }

    #[test]
    fn a_parameter_that_two_modules_use_is_one_with_both_paths() {
        let modules: &[Row] = &[
            (
                "Gemm",
                "['', 'a', 'linear']",
                &["x", "a.weight", "a.bias"],
                "h",
            ),
            ("Gemm", "['', 'b', 'linear_1']", &["h", "a.weight"], "y"),
        ];
        let (paths, aliases, _) = read(modules, layers([0.5, 0.25]));
        assert_eq!(paths, ["a.bias", "a.weight"]);
        assert_eq!(aliases, ["calcine.alias.b.weight a.weight"]);
        // The same module, called twice.
        let twice: &[Row] = &[
            ("Gemm", "/a/Gemm", &["x", "a.weight", "a.bias"], "h"),
            ("Gemm", "/a_1/Gemm", &["h", "a.weight", "a.bias"], "y"),
        ];
        let (paths, aliases, _) = read(twice, layers([0.5, 0.25]));
        assert_eq!((paths.len(), aliases.len()), (2, 0));
    }

    #[test]
    fn an_embedding_and_its_transposed_copy_are_one_parameter() {
        let rows: &[Row] = &[
            ("Gather", "/embed/Gather", &["embed.weight", "x"], "h"),
            ("MatMul", "/head/MatMul", &["h", "onnx::MatMul_3"], "y"),
        ];
        let table = || tensor("embed.weight", &[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let turned = tensor("onnx::MatMul_3", &[2, 3], &[1.0, 3.0, 5.0, 2.0, 4.0, 6.0]);
        let (paths, aliases, y) = read(rows, vec![table(), turned]);
        assert_eq!(paths, ["embed.weight"]);
        assert_eq!(aliases, ["calcine.alias.head.weight embed.weight"]);
        assert_eq!(y, [11.0, 25.0, 39.0, 11.0, 25.0, 39.0]);
        let other = tensor("onnx::MatMul_3", &[2, 3], &[1.0, 3.0, 5.0, 2.0, 4.0, 7.0]);
        let (paths, aliases, _) = read(rows, vec![table(), other]);
        assert_eq!(paths, ["embed.weight", "head.weight"]);
        assert!(aliases.is_empty());
    }
}
