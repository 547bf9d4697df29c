//! Optimizer state keyed by parameter path.
//!
//! Burn's own optimizer record is keyed by parameter identifiers, which are random in every process, and has the order
//! of a hash table. Here, the tensors are named `path/field` and sorted, and the few scalars are stored in the header
//! of the checkpoint.

use std::collections::BTreeMap;

use burn::optim::{ModuleOptimizer, OptimizerRecord};
use burn::tensor::{Bytes, DType, Shape};
use burn_pack::{Reader, Scalar, Writer};
use calcine_params::{Inventory, Parameter};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::KeptIndices;

/// The scalars by `path/field`.
pub(super) type Scalars = BTreeMap<String, Scalar>;

/// The separator between the path of a parameter and a field of its state; it occurs in neither.
const SEPARATOR: char = '/';

/// The number of bytes of a value.
const NUMBER: usize = 4;

/// The state of an optimizer, on the host.
#[derive(Debug)]
pub(crate) struct OptimizerState {
    /// The shape and the 32-bit values of each tensor, by `path/field`.
    tensors: BTreeMap<String, (Vec<usize>, Vec<u8>)>,
    pub(super) scalars: Scalars,
}

impl OptimizerState {
    /// The state for a model with this inventory. State of other parameters is not needed and left out.
    pub(crate) fn new(optimizer: &ModuleOptimizer, inventory: &Inventory) -> Result<Self, String> {
        let text = |error: burn_pack::Error| error.to_string();
        let bytes = optimizer
            .to_record()
            .into_bytes()
            .map_err(|error| error.to_string())?;
        let record = Reader::from_bytes(bytes).map_err(text)?;
        let paths: BTreeMap<String, &str> = inventory
            .iter()
            .map(|p| (p.id.val().to_string(), p.path.as_str()))
            .collect();
        let named = |key: &str| {
            let (id, field) = key.split_once('.')?;
            Some(format!("{}{SEPARATOR}{field}", paths.get(id)?))
        };
        let scalars = record
            .scalars()
            .iter()
            .filter_map(|(key, scalar)| Some((named(key)?, *scalar)))
            .collect();
        let mut tensors = BTreeMap::new();
        for tensor in record.into_tensors().map_err(text)? {
            let (key, dtype, shape, _, bytes) = tensor.into_parts().map_err(text)?;
            if dtype != DType::F32 {
                return Err(format!(
                    "optimizer state `{key}` is {dtype:?}, expected F32"
                ));
            }
            if let Some(name) = named(&key) {
                tensors.insert(name, (shape.to_vec(), bytes.to_vec()));
            }
        }
        Ok(Self { tensors, scalars })
    }

    /// Reads the tensors that [`to_bytes`](Self::to_bytes) wrote; the scalars are passed separately.
    pub(super) fn from_bytes(bytes: &[u8], scalars: Scalars) -> Result<Self, String> {
        let stored = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
        let tensor = |(name, view): (&str, TensorView<'_>)| {
            (
                name.to_owned(),
                (view.shape().to_vec(), view.data().to_vec()),
            )
        };
        let tensors = stored.iter().map(tensor).collect();
        Ok(Self { tensors, scalars })
    }

    /// The tensors as a safetensors file. Equal states give equal bytes.
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, String> {
        let mut views = BTreeMap::new();
        for (name, (shape, bytes)) in &self.tensors {
            let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
            views.insert(name, view.map_err(|error| error.to_string())?);
        }
        safetensors::serialize(views, None).map_err(|error| error.to_string())
    }

    /// Loads this state into an optimizer for a model with this inventory.
    pub(crate) fn load_into(
        self,
        optimizer: ModuleOptimizer,
        inventory: &Inventory,
    ) -> Result<ModuleOptimizer, String> {
        let mut tensors = Vec::new();
        for (name, (shape, bytes)) in self.tensors {
            let (parameter, field) = parts(&name, inventory)?;
            let id = parameter.id.val();
            tensors.push(burn_pack::Tensor::new(
                format!("{id}.{field}"),
                DType::F32,
                Shape::from(shape),
                Some(id),
                Bytes::from_bytes_vec(bytes),
            ));
        }
        let mut writer = Writer::new(tensors);
        for (name, scalar) in &self.scalars {
            let (parameter, field) = parts(name, inventory)?;
            let id = parameter.id.val();
            writer = writer
                .with_scalar(&format!("{id}.{field}"), *scalar)
                .with_metadata(&id.to_string(), &parameter.path);
        }
        let bytes = writer.into_bytes().map_err(|error| error.to_string())?;
        let record = OptimizerRecord::from_bytes(bytes).map_err(|error| error.to_string())?;
        Ok(optimizer.load_record(record))
    }

    /// The state of the elements that remain after thinning. Tensors with one element are unchanged; all others have
    /// the shape of their parameter.
    pub(crate) fn thinned(
        mut self,
        kept_indices: &KeptIndices,
        before: &Inventory,
        after: &Inventory,
    ) -> Result<Self, String> {
        for (name, (shape, bytes)) in &mut self.tensors {
            let (parameter, _) = parts(name, before)?;
            let Some(positions) = kept_indices.positions(&parameter.path) else {
                continue;
            };
            if shape.iter().product::<usize>() == 1 && parameter.numel() != 1 {
                continue;
            }
            let Some(left) = after
                .get(&parameter.path)
                .filter(|_| *shape == parameter.shape)
            else {
                return Err(format!(
                    "`{name}` is {shape:?}, which is not the shape of its parameter, {:?}",
                    parameter.shape
                ));
            };
            let number = |&at: &usize| &bytes[at * NUMBER..(at + 1) * NUMBER];
            *bytes = positions.iter().flat_map(number).copied().collect();
            shape.clone_from(&left.shape);
        }
        Ok(self)
    }
}

/// Splits `path/field` into the parameter and the field.
fn parts<'a, 'b>(
    name: &'a str,
    inventory: &'b Inventory,
) -> Result<(&'b Parameter, &'a str), String> {
    let found = name
        .split_once(SEPARATOR)
        .and_then(|(path, field)| Some((inventory.get(path)?, field)));
    found.ok_or_else(|| format!("`{name}` belongs to no parameter of the model"))
}
