//! Optimizer state keyed by parameter path.
//!
//! Burn's own optimizer record keys state by parameter identifiers, which are random in every process,
//! and lists it in the order of a hash table. Here each tensor is `path/field`, sorted, and the few
//! scalars go into the checkpoint's header.

use std::collections::BTreeMap;

use burn::optim::{ModuleOptimizer, OptimizerRecord};
use burn::tensor::{Bytes, DType, Shape};
use burn_pack::{Reader, Scalar, Writer};
use calcine_params::{Inventory, Parameter};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::KeptIndices;

/// `path/field` of each scalar.
pub(super) type Scalars = BTreeMap<String, Scalar>;

/// Between a parameter's path and a field of its state. Neither has one.
const SEPARATOR: char = '/';

/// Bytes of a number.
const NUMBER: usize = 4;

/// What an optimizer remembers of parameters, on the host.
#[derive(Debug)]
pub(crate) struct OptimizerState {
    /// `path/field` of each tensor: its shape, and its 32-bit numbers.
    tensors: BTreeMap<String, (Vec<usize>, Vec<u8>)>,
    pub(super) scalars: Scalars,
}

impl OptimizerState {
    /// Of a model with this inventory. State of parameters that it does not have is of no use and left out.
    pub(crate) fn of(optimizer: &ModuleOptimizer, inventory: &Inventory) -> Result<Self, String> {
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

    /// What [`to_bytes`](Self::to_bytes) wrote, and the scalars.
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

    /// The optimizer with this state, of a model with this inventory.
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

    /// What it remembers of the elements that remain. Tensors of one number stay; others have their
    /// parameter's shape.
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

/// The parameter and the field of `path/field`.
fn parts<'a, 'b>(
    name: &'a str,
    inventory: &'b Inventory,
) -> Result<(&'b Parameter, &'a str), String> {
    let found = name
        .split_once(SEPARATOR)
        .and_then(|(path, field)| Some((inventory.get(path)?, field)));
    found.ok_or_else(|| format!("`{name}` belongs to no parameter of the model"))
}
