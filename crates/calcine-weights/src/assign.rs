use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use burn::module::{Module, ParamId};
use burn::store::burn_pack::Tensor as StoredTensor;
use burn::store::{
    ApplyError, BurnToPyTorchAdapter, ModuleAdapter, ModuleContext, ModuleSnapshot,
    PyTorchToBurnAdapter, bridge,
};
use burn::tensor::{Tensor, TensorData};
use calcine_params::{Edit, edit};

use super::buffers::{is_buffer, kind};
use super::error::Kind;
use super::file::{Contents, Layout};
use super::ignore::Ignored;
use super::masks::MaskOfFile;
use super::names::{self, Parameters, beneath, last_element, without_wrappers};
use super::problem::Problem;
use super::{LoadOptions, LoadReport, derived};

/// `model` with the values of a file's tensors, or all that keeps them from fitting.
///
/// Names, shapes, types and values are settled before the module is touched: the module's adapters
/// run where a panic would end the process, and running statistics are shared with the module's
/// clones.
pub(super) fn assign<M: Module>(
    mut model: M,
    Contents {
        tensors, layout, ..
    }: &Contents,
    options: &LoadOptions,
) -> Result<(M, LoadReport), Kind> {
    let layout = *layout;
    let adapter = Recording::default();
    let recorded: Box<dyn ModuleAdapter> = Box::new(adapter.clone());
    let recorded = (layout == Layout::PyTorch).then_some(recorded);
    let parameters = model.collect(None, recorded, true);
    let transposed = adapter.taken();
    let module = Target {
        names: Parameters::new(&parameters),
        transposed: parameters
            .iter()
            .map(|parameter| transposed.contains(&parameter.name))
            .collect(),
        parameters,
    };
    let (values, report) = fit(&module, tensors.clone(), options)?;

    let adapter: Box<dyn ModuleAdapter> = Box::new(PyTorchToBurnAdapter);
    let adapter = (layout == Layout::PyTorch).then_some(adapter);
    let outcome = model.apply(values, None, adapter, true);
    let unreadable = |parameter: &str, reason| {
        let parameter = parameter.to_owned();
        Problem::Unreadable { parameter, reason }
    };
    let failed = outcome
        .errors
        .iter()
        .map(|e| unreadable(path_of(e), e.to_string()));
    let unused = outcome
        .unused
        .iter()
        .map(|path| unreadable(path, "Burn did not take it".to_owned()));
    let problems: Vec<_> = failed.chain(unused).collect();
    if !problems.is_empty() {
        return Err(Kind::Mismatch(problems));
    }
    // Burn gave each use of a shared parameter a tensor of its own, which would train apart.
    let mut joined = Joined(module.shared());
    if !joined.0.is_empty() {
        model = edit(model, &mut joined);
    }
    Ok((model, report))
}

/// A module as a file sees it.
struct Target {
    parameters: Vec<StoredTensor>,
    names: Parameters,
    /// Whether PyTorch stores each parameter transposed.
    transposed: Vec<bool>,
}

impl Target {
    /// How many parameters the file is to have, counting those that are one once.
    fn expected(&self, ignored: &Ignored) -> usize {
        let parameters = self.parameters.iter().zip(&self.names.tied_to);
        let wanted = parameters.filter(|(parameter, _)| !ignored.has(&parameter.name));
        wanted
            .map(|(_, first)| first)
            .collect::<BTreeSet<_>>()
            .len()
    }

    /// The ids of parameters that are used in several places.
    fn shared(&self) -> Vec<ParamId> {
        let uses = self.names.tied_to.iter().enumerate();
        uses.filter(|(index, first)| index != *first)
            .filter_map(|(index, _)| self.parameters[index].param_id)
            .map(ParamId::from)
            .collect()
    }
}

/// Burn's adapter, which also remembers which weights it transposes.
#[derive(Clone, Default)]
struct Recording(Arc<Mutex<Vec<String>>>);

impl Recording {
    fn taken(&self) -> Vec<String> {
        let mut names = self
            .0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        std::mem::take(&mut *names)
    }
}

impl ModuleAdapter for Recording {
    fn adapt(&self, tensor: StoredTensor, context: ModuleContext<'_>) -> StoredTensor {
        let is_weight = tensor.shape.len() == 2 && last_element(&tensor.name) == "weight";
        if is_weight && context.module_type() == Some("Struct:Linear") {
            let mut names = self
                .0
                .lock()
                .unwrap_or_else(|poisoned| poisoned.into_inner());
            names.push(tensor.name.clone());
        }
        BurnToPyTorchAdapter.adapt(tensor, context)
    }

    fn clone_box(&self) -> Box<dyn ModuleAdapter> {
        Box::new(self.clone())
    }
}

/// For each parameter the tensor that fits it, under the parameter's name and with its values
/// read; or all that does not fit.
fn fit(
    module: &Target,
    tensors: Vec<StoredTensor>,
    options: &LoadOptions,
) -> Result<(Vec<StoredTensor>, LoadReport), Kind> {
    let ignored = Ignored::new(&options.ignore)?;
    let (tensors, derived) = derived::derive(tensors, &module.names.last_elements());
    let (prefix, tensors, outside) = choose(module, tensors, options, &ignored)?;
    let mut report = LoadReport {
        prefix,
        outside,
        ..LoadReport::default()
    };
    let mut problems = Vec::new();
    let mut matched: BTreeMap<usize, (String, StoredTensor)> = BTreeMap::new();
    let mut unknown = Vec::new();
    let mut masks = Vec::new();
    for (name, tensor) in tensors {
        let index = module.names.find(&name);
        let parameter = index.map(|index| module.parameters[index].name.as_str());
        if ignored.has(&name) || parameter.is_some_and(|parameter| ignored.has(parameter)) {
            report.ignored.push(name);
            continue;
        }
        match index {
            None => unknown.push((name, tensor)),
            Some(index) => match matched.entry(index) {
                std::collections::btree_map::Entry::Occupied(other) => {
                    problems.push(Problem::Ambiguous {
                        parameter: module.parameters[index].name.clone(),
                        tensors: [other.get().1.name.clone(), tensor.name],
                    });
                }
                std::collections::btree_map::Entry::Vacant(free) => {
                    if let Some(found) = derived.get(&tensor.name) {
                        report.derived.push((name.clone(), found.how));
                        masks.extend(found.mask.clone().map(|mask| MaskOfFile { index, mask }));
                    }
                    free.insert((name, tensor));
                }
            },
        }
    }
    let mut values = Values {
        module,
        read: BTreeMap::new(),
    };
    for (index, (_, tensor)) in &matched {
        match values.add(*index, tensor) {
            Ok(()) => report.loaded.push(module.parameters[*index].name.clone()),
            Err(problem) => problems.push(problem),
        }
    }
    let mut parts = Vec::new();
    for (index, parameter) in module.parameters.iter().enumerate() {
        if matched.contains_key(&index) {
            continue;
        }
        let name = parameter.name.clone();
        if ignored.has(&name) {
            if !report.ignored.contains(&name) {
                report.ignored.push(name);
            }
        } else if values.share(index, &matched) {
            report.tied.push(name);
        } else {
            let bare = without_wrappers(&name);
            let there = unknown.iter().map(|(name, _)| name.as_str());
            let tensors: Vec<String> = derived::parts_of(&bare, there)
                .into_iter()
                .map(str::to_owned)
                .collect();
            parts.extend(tensors.iter().cloned());
            problems.push(match tensors.is_empty() {
                true => Problem::Missing {
                    parameter: name,
                    expected: parameter.shape.to_vec(),
                },
                false => Problem::Parametrized {
                    parameter: name,
                    tensors,
                },
            });
        }
    }
    for (name, tensor) in unknown {
        if parts.contains(&name) {
        } else if is_buffer(&name, &tensor, &module.names) {
            report.buffers.push(name);
        } else {
            problems.push(Problem::Unknown {
                found: tensor.shape.to_vec(),
                tensor: tensor.name,
            });
        }
    }
    for mask in &masks {
        match mask.read(
            &module.parameters[mask.index],
            module.transposed[mask.index],
        ) {
            Ok(mask) => report.masks.push(mask),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() {
        Ok((values.read.into_values().collect(), report))
    } else {
        Err(Kind::Mismatch(problems))
    }
}

/// The tensors to take, under their names without the prefix: the prefix, they, and the names of all others.
type Chosen = (String, Vec<(String, StoredTensor)>, Vec<String>);

/// Finds the prefix beneath which most parameters are, within what the options allow.
fn choose(
    module: &Target,
    mut tensors: Vec<StoredTensor>,
    options: &LoadOptions,
    ignored: &Ignored,
) -> Result<Chosen, Kind> {
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    let key = options.key.as_deref().unwrap_or("");
    let stripped = |name: &str| -> Option<String> {
        let rest = beneath(key, name)?;
        let Some(strip) = &options.strip else {
            return Some(rest.to_owned());
        };
        let rest = rest.strip_prefix(strip.as_str())?;
        Some(rest.strip_prefix('.').unwrap_or(rest).to_owned())
    };
    let names: Vec<Option<String>> = tensors
        .iter()
        .map(|tensor| stripped(&tensor.name))
        .collect();
    let within: Vec<&str> = names.iter().flatten().map(String::as_str).collect();
    if within.is_empty() {
        let asked = [options.key.as_deref(), options.strip.as_deref()];
        let asked: Vec<&str> = asked.into_iter().flatten().collect();
        return Err(Kind::NoKey {
            asked: asked.join("."),
            outline: names::outline(tensors.iter().map(|tensor| tensor.name.as_str())),
        });
    }
    let is_fixed = options.strip.is_some() || options.key.as_deref() == Some("");
    let prefix = match is_fixed {
        true => String::new(),
        false => best_prefix(module, &tensors, &within, key, ignored)?,
    };
    let mut chosen = Vec::new();
    let mut outside = Vec::new();
    for (tensor, name) in tensors.into_iter().zip(names) {
        match name.as_deref().and_then(|name| beneath(&prefix, name)) {
            Some(name) => chosen.push((name.to_owned(), tensor)),
            None => outside.push(tensor.name),
        }
    }
    let copies = copies(module, &chosen);
    let is_copy = |name: &str| copies.iter().any(|copy| beneath(copy, name).is_some());
    let (beside, chosen): (Vec<_>, Vec<_>) =
        chosen.into_iter().partition(|(name, _)| is_copy(name));
    outside.extend(beside.into_iter().map(|(_, tensor)| tensor.name));
    let asked = [key, options.strip.as_deref().unwrap_or(""), &prefix];
    let parts: Vec<&str> = asked
        .into_iter()
        .map(|part| part.trim_end_matches('.'))
        .filter(|part| !part.is_empty())
        .collect();
    Ok((parts.join("."), chosen, outside))
}

/// The prefixes beneath which another copy of the weights is, such as averages beside the root's own.
fn copies(module: &Target, chosen: &[(String, StoredTensor)]) -> Vec<String> {
    let prefixes = module
        .names
        .prefixes(chosen.iter().map(|(name, _)| name.as_str()));
    let is_copy = |prefix: &str, count| {
        2 * count >= module.names.count() && !without_wrappers(prefix).is_empty()
    };
    prefixes
        .into_iter()
        .filter(|(prefix, count)| is_copy(prefix, *count))
        .map(|(prefix, _)| prefix.to_owned())
        .collect()
}

/// The prefix beneath which most parameters are.
fn best_prefix(
    module: &Target,
    tensors: &[StoredTensor],
    names: &[&str],
    key: &str,
    ignored: &Ignored,
) -> Result<String, Kind> {
    let prefixes = module.names.prefixes(names.iter().copied());
    let most = prefixes.values().copied().max().unwrap_or(0);
    let parameters = module.expected(ignored);
    if 2 * most < parameters || most == 0 {
        let outline = names::outline(names.iter().copied());
        let expected = names::outline(module.parameters.iter().map(|p| p.name.as_str()));
        let missing = module.parameters.iter().map(|parameter| Problem::Missing {
            parameter: parameter.name.clone(),
            expected: parameter.shape.to_vec(),
        });
        let unknown = tensors.iter().map(|tensor| Problem::Unknown {
            tensor: tensor.name.clone(),
            found: tensor.shape.to_vec(),
        });
        return Err(Kind::Unlike {
            matched: most,
            parameters,
            tensors: names.len(),
            outline,
            expected,
            problems: missing.chain(unknown).collect(),
        });
    }
    // Prefixes that differ by wrappers alone are one: the module has such a field itself.
    let mut best: Vec<&str> = Vec::new();
    for (prefix, count) in &prefixes {
        let is_known = |known: &&str| without_wrappers(known) == without_wrappers(prefix);
        if *count == most && !best.iter().any(is_known) {
            best.push(prefix);
        }
    }
    match best.as_slice() {
        [prefix] => Ok((*prefix).to_owned()),
        several => Err(Kind::SeveralKeys(
            several
                .iter()
                .map(|prefix| {
                    let whole = [key, prefix].into_iter().filter(|part| !part.is_empty());
                    let beneath = names.iter().filter(|name| beneath(prefix, name).is_some());
                    (whole.collect::<Vec<_>>().join("."), beneath.count())
                })
                .collect(),
        )),
    }
}

/// The values read so far.
struct Values<'a> {
    module: &'a Target,
    read: BTreeMap<usize, StoredTensor>,
}

impl Values<'_> {
    /// Reads the values of one parameter.
    fn add(&mut self, index: usize, tensor: &StoredTensor) -> Result<(), Problem> {
        let parameter = &self.module.parameters[index];
        let value = read_as(parameter, tensor)?;
        let first = self.module.names.tied_to[index];
        let other = self
            .read
            .iter()
            .find(|(other, _)| self.module.names.tied_to[**other] == first);
        if let Some((&other, known)) = other {
            let unreadable = |reason| Problem::Unreadable {
                parameter: parameter.name.clone(),
                reason,
            };
            let known = self.as_for(index, other, known).map_err(unreadable)?;
            let value = bridge::to_data(&value).map_err(|error| unreadable(error.to_string()))?;
            if known != value {
                return Err(Problem::Tied {
                    parameters: [other, index]
                        .map(|index| self.module.parameters[index].name.clone()),
                    tensors: [
                        self.module.parameters[other].name.clone(),
                        tensor.name.clone(),
                    ],
                });
            }
        }
        self.read.insert(index, value);
        Ok(())
    }

    /// Gives a parameter the values of another use of it, if the file has those.
    fn share(&mut self, index: usize, matched: &BTreeMap<usize, (String, StoredTensor)>) -> bool {
        let ties = &self.module.names.tied_to;
        if !matched.keys().any(|other| ties[*other] == ties[index]) {
            return false;
        }
        let known = self
            .read
            .iter()
            .find(|(other, _)| ties[**other] == ties[index]);
        let value = known.and_then(|(other, known)| self.as_for(index, *other, known).ok());
        if let Some(value) = value {
            let name = self.module.parameters[index].name.clone();
            self.read
                .insert(index, bridge::from_data(value, name, None));
        }
        // What is matched and cannot be read is a problem that is told already.
        true
    }

    /// The values of use `other` in the layout of use `index`.
    fn as_for(
        &self,
        index: usize,
        other: usize,
        value: &StoredTensor,
    ) -> Result<TensorData, String> {
        let data = bridge::to_data(value).map_err(|error| error.to_string())?;
        Ok(
            match self.module.transposed[index] == self.module.transposed[other] {
                true => data,
                false => transpose(&data),
            },
        )
    }
}

/// A matrix with its axes exchanged.
fn transpose(data: &TensorData) -> TensorData {
    let (rows, columns, size) = (data.shape()[0], data.shape()[1], data.dtype().size());
    let bytes = data.as_bytes();
    let element = |row: usize, column: usize| {
        let start = (row * columns + column) * size;
        &bytes[start..start + size]
    };
    let transposed: Vec<u8> = (0..columns)
        .flat_map(|column| (0..rows).flat_map(move |row| element(row, column).iter().copied()))
        .collect();
    TensorData::from_bytes_vec(transposed, [columns, rows], data.dtype())
}

/// Leaves values as they are; [`edit`] makes all uses of a parameter one again.
struct Joined(Vec<ParamId>);

impl Edit for Joined {
    fn wants(&self, id: ParamId) -> bool {
        self.0.contains(&id)
    }

    fn edit<const D: usize>(&mut self, _: ParamId, value: Tensor<D>) -> Tensor<D> {
        value
    }
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
    if expected.is_float() {
        check_values(&name, &data)?;
    }
    Ok(bridge::from_data(data, name, None))
}

/// Refuses values that spoil everything that is computed with them.
fn check_values(parameter: &str, data: &TensorData) -> Result<(), Problem> {
    let is_variance = last_element(parameter) == "running_var";
    let is_bad = |value: &f64| !value.is_finite() || (is_variance && *value < 0.0);
    let mut bad = data
        .iter::<f64>()
        .enumerate()
        .filter(|(_, value)| is_bad(value));
    let Some((mut index, value)) = bad.next() else {
        return Ok(());
    };
    let count = 1 + bad.count();
    let shape = data.shape();
    let mut position = vec![0; shape.len()];
    for axis in (0..shape.len()).rev() {
        position[axis] = index % shape[axis];
        index /= shape[axis];
    }
    Err(Problem::NotFinite {
        parameter: parameter.to_owned(),
        count,
        value,
        position,
    })
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
