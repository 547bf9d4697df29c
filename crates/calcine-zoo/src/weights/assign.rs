use std::collections::BTreeMap;

use burn::module::Module;
use burn::store::burn_pack::Tensor as StoredTensor;
use burn::store::{ApplyError, BurnToPyTorchAdapter, ModuleSnapshot, PyTorchToBurnAdapter, bridge};
use burn::tensor::DType;

use super::error::Problem;

/// `model` with the values of `tensors`, or all that keeps them from fitting.
///
/// Names, shapes, types and values are settled before the module is touched: the module's adapters
/// run where a panic would end the process, and running statistics are shared with the module's
/// clones.
pub(super) fn assign<M: Module>(
    mut model: M,
    tensors: Vec<StoredTensor>,
) -> Result<M, Vec<Problem>> {
    let parameters = model.collect(None, Some(Box::new(BurnToPyTorchAdapter)), true);
    let values = fit(&parameters, tensors)?;

    let adapter = Box::new(PyTorchToBurnAdapter);
    let outcome = model.apply(values, None, Some(adapter), true);

    let unreadable = |parameter: &str, reason| {
        let parameter = parameter.to_owned();
        Problem::Unreadable { parameter, reason }
    };
    let failed = outcome
        .errors
        .iter()
        .map(|e| unreadable(path_of(e), e.to_string()));
    let passed_over = outcome
        .missing
        .iter()
        .map(|(path, _)| path)
        .chain(&outcome.unused);
    let ignored = passed_over.map(|path| unreadable(path, "Burn did not take it".to_owned()));
    let problems: Vec<_> = failed.chain(ignored).collect();
    if problems.is_empty() {
        Ok(model)
    } else {
        Err(problems)
    }
}

/// For each of `parameters` the tensor that fits it, under the parameter's name and with its values
/// read; or all that does not fit.
fn fit(
    parameters: &[StoredTensor],
    tensors: Vec<StoredTensor>,
) -> Result<Vec<StoredTensor>, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut matched = match_names(parameters, tensors, &mut problems);
    let mut values = Vec::with_capacity(parameters.len());
    for (index, parameter) in parameters.iter().enumerate() {
        match matched.remove(&index) {
            None => problems.push(Problem::Missing {
                parameter: parameter.name.clone(),
                expected: parameter.shape.to_vec(),
            }),
            Some(tensor) => match read_as(parameter, &tensor) {
                Ok(value) => values.push(value),
                Err(problem) => problems.push(problem),
            },
        }
    }
    if problems.is_empty() {
        Ok(values)
    } else {
        Err(problems)
    }
}

/// The tensors by the position of their parameter.
fn match_names(
    parameters: &[StoredTensor],
    mut tensors: Vec<StoredTensor>,
    problems: &mut Vec<Problem>,
) -> BTreeMap<usize, StoredTensor> {
    let positions: BTreeMap<String, usize> = parameters
        .iter()
        .enumerate()
        .map(|(i, p)| (bare_name(&p.name), i))
        .collect();
    let mut matched: BTreeMap<usize, StoredTensor> = BTreeMap::new();
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    for tensor in tensors {
        match positions.get(&bare_name(&tensor.name)) {
            Some(position) => {
                if let Some(other) = matched.get(position) {
                    problems.push(Problem::Ambiguous {
                        parameter: parameters[*position].name.clone(),
                        tensors: [other.name.clone(), tensor.name],
                    });
                } else {
                    matched.insert(*position, tensor);
                }
            }
            None if is_bookkeeping(&tensor.name) => {}
            None => problems.push(Problem::Unknown {
                found: tensor.shape.to_vec(),
                tensor: tensor.name,
            }),
        }
    }
    matched
}

/// The values of `tensor`, under the name and with the type of `parameter`.
fn read_as(parameter: &StoredTensor, tensor: &StoredTensor) -> Result<StoredTensor, Problem> {
    let name = parameter.name.clone();
    if tensor.shape != parameter.shape {
        return Err(Problem::Shape {
            parameter: name,
            expected: parameter.shape.to_vec(),
            found: tensor.shape.to_vec(),
        });
    }
    let (expected, found) = (parameter.dtype, tensor.dtype);
    if kind(expected) != kind(found) {
        return Err(Problem::Type {
            parameter: name,
            expected,
            found,
        });
    }
    let unreadable = |reason| Problem::Unreadable {
        parameter: parameter.name.clone(),
        reason,
    };
    let data = bridge::to_data(tensor).map_err(|error| unreadable(error.to_string()))?;
    let data = data
        .try_cast(expected)
        .map_err(|error| unreadable(error.to_string()))?;
    Ok(bridge::from_data(data, name, None))
}

/// What a type counts as: types of one kind are converted into each other.
fn kind(dtype: DType) -> Kind {
    match dtype {
        _ if dtype.is_float() => Kind::Float,
        _ if dtype.is_int() || dtype.is_uint() => Kind::Integer,
        _ if dtype.is_bool() => Kind::Bool,
        _ => Kind::Other(dtype),
    }
}

#[derive(PartialEq)]
enum Kind {
    Float,
    Integer,
    Bool,
    Other(DType),
}

/// The parameter that an error of Burn's is about.
fn path_of(error: &ApplyError) -> &str {
    match error {
        ApplyError::ShapeMismatch { path, .. }
        | ApplyError::DTypeMismatch { path, .. }
        | ApplyError::AdapterError { path, .. }
        | ApplyError::LoadError { path, .. } => path,
    }
}

/// A name without its path elements `module`.
fn bare_name(name: &str) -> String {
    name.split('.')
        .filter(|element| *element != "module")
        .collect::<Vec<_>>()
        .join(".")
}

/// Whether a tensor is PyTorch's count of the batches that a batch norm has seen.
fn is_bookkeeping(name: &str) -> bool {
    name.rsplit('.').next() == Some("num_batches_tracked")
}
