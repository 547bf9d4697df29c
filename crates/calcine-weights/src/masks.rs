//! The pruning masks of a file.

use burn::module::Module;
use burn::store::bridge;
use burn::store::burn_pack::Tensor as StoredTensor;
use burn::tensor::{Bool, Device, Tensor, TensorData};
use calcine_mask::Masks;
use calcine_params::Inventory;

use super::LoadReport;
use super::problem::Problem;

/// The elements of a weight that a pruning mask of a file keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PruningMask {
    /// The weight, under PyTorch's name, as in [`LoadReport::loaded`].
    pub parameter: String,
    /// True for elements that are kept, in the order in which the module stores the weight.
    pub keep: Vec<bool>,
}

/// A mask as it is in the file.
pub(super) struct MaskOfFile {
    /// The parameter that it is for.
    pub(super) index: usize,
    /// In PyTorch's layout.
    pub(super) mask: StoredTensor,
}

impl MaskOfFile {
    /// Reads the mask of `parameter`, whose matrix PyTorch stores transposed or not.
    pub(super) fn read(
        &self,
        parameter: &StoredTensor,
        is_transposed: bool,
    ) -> Result<PruningMask, Problem> {
        let data = bridge::to_data(&self.mask).map_err(|error| Problem::Unreadable {
            parameter: parameter.name.clone(),
            reason: error.to_string(),
        })?;
        let mut keep: Vec<bool> = data.iter::<f64>().map(|value| value != 0.0).collect();
        if let (true, &[rows, columns]) = (is_transposed, data.shape().as_slice()) {
            let stored = (0..columns).flat_map(|column| (0..rows).map(move |row| (row, column)));
            keep = stored
                .map(|(row, column)| keep[row * columns + column])
                .collect();
        }
        Ok(PruningMask {
            parameter: parameter.name.clone(),
            keep,
        })
    }
}

impl LoadReport {
    /// Returns the pruning masks of the file for `model`, the loaded module, on `device`. A pruning schedule can
    /// continue with them, and [`Masks::apply`] keeps the zeros while the weights are trained.
    ///
    /// The result is empty if the file contains no masks. Masks of parameters that `model` does not have are left out.
    #[must_use]
    pub fn masks_for<M: Module>(&self, model: &M, device: &Device) -> Masks {
        let inventory = Inventory::from_module(model);
        let mut masks = Masks::default();
        for PruningMask { parameter, keep } in &self.masks {
            let found = inventory
                .iter()
                .find(|known| known.is_called(parameter) || known.pytorch_path() == *parameter);
            if let Some(known) = found.filter(|known| known.numel() == keep.len()) {
                let data = TensorData::new(keep.clone(), [keep.len()]);
                masks.insert(known, Tensor::<1, Bool>::from_data(data, device));
            }
        }
        masks
    }
}
