//! Weights of any Burn module from and to the files that PyTorch users have.
//!
//! | format | read | written |
//! |---|---|---|
//! | safetensors | [`load`], [`load_bytes`] | [`save`] |
//! | PyTorch `.pt`, `.pth`, `.pth.tar`: zip, legacy pickle, tar | [`load`] | no |
//!
//! Files carry PyTorch's names and layouts: fully connected weights are `[out, in]`, and the scale
//! and shift of a norm are called `weight` and `bias`. Names must otherwise be those of the
//! module's fields, except that path elements `module` do not count (PyTorch's `DataParallel` adds
//! them) and that `num_batches_tracked` is ignored. A checkpoint that keeps its weights beneath
//! `state_dict` or `model_state_dict`, like Distiller's, is unpacked.
//!
//! A file fits a module if each has a tensor for each of the other's, of the same shape. Everything
//! that does not fit is reported at once, see [`WeightsError::problems`].

use std::path::Path;

use burn::module::Module;
use burn::store::{BurnToPyTorchAdapter, ModuleSnapshot, SafetensorsStore};

mod assign;
mod error;
mod file;

use error::Kind;
pub use error::{Problem, WeightsError};

/// A trained [`ResNet`](crate::ResNet) of depth 20, as a safetensors file: 86.67 % top-1 on the
/// 10 000 test images of CIFAR-10.
///
/// Pixels are normalised to `(v / 255 - 0.5) / 0.5`.
///
/// # Examples
///
/// ```
/// use burn::tensor::Device;
/// use calcine_zoo::{ResNetConfig, weights};
///
/// let model = ResNetConfig::new(20).init(&Device::flex())?;
/// let model = weights::load_bytes(model, weights::RESNET20_CIFAR10)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub const RESNET20_CIFAR10: &[u8] = include_bytes!("../weights/resnet20-cifar10.safetensors");

/// `model` with the weights of the file at `path`.
///
/// The format is recognised by the file's content. Floats of another precision are converted to
/// that of the module. The module's own values are read to learn their shapes, so lazy ones are
/// drawn.
///
/// Batch-norm statistics are shared between clones of a Burn module: clones of `model` see the
/// loaded ones, but only if loading succeeds.
///
/// # Errors
///
/// If the file cannot be read, is in none of the formats, or does not fit the module.
pub fn load<M: Module>(model: M, path: &Path) -> Result<M, WeightsError> {
    let at = |kind| WeightsError::new(Some(path), kind);
    let tensors = file::read(path).map_err(at)?;
    assign::assign(model, tensors).map_err(|problems| at(Kind::Mismatch(problems)))
}

/// `model` with the weights of a safetensors file that is already in memory, see [`load`].
///
/// # Errors
///
/// If the bytes are no safetensors file, or the file does not fit the module.
pub fn load_bytes<M: Module>(model: M, safetensors: &[u8]) -> Result<M, WeightsError> {
    let at = |kind| WeightsError::new(None, kind);
    let tensors = file::parse_safetensors(safetensors.to_vec()).map_err(at)?;
    assign::assign(model, tensors).map_err(|problems| at(Kind::Mismatch(problems)))
}

/// Writes the weights of `model` to a safetensors file that PyTorch's `load_state_dict` accepts.
///
/// The file is written beside `path` and renamed, replacing what was there. Equal weights give
/// equal bytes. Batch-norm statistics include the last training step. Reads all parameters from the
/// device.
///
/// # Errors
///
/// If the file cannot be written, or a parameter is quantized, which the format cannot express.
///
/// # Examples
///
/// ```
/// use burn::tensor::Device;
/// use calcine_zoo::{SimpleNetConfig, weights};
///
/// let device = Device::flex();
/// let directory = tempfile::tempdir()?;
/// let path = directory.path().join("simplenet.safetensors");
///
/// weights::save(&SimpleNetConfig::new().with_seed(1).init(&device), &path)?;
/// let same = weights::load(SimpleNetConfig::new().init(&device), &path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn save<M: Module>(model: &M, path: &Path) -> Result<(), WeightsError> {
    // One entry of metadata: the order of several is that of a hash map, and differs between runs.
    let mut file = SafetensorsStore::from_file(path)
        .overwrite(true)
        .skip_enum_variants(true)
        .with_to_adapter(BurnToPyTorchAdapter)
        .clear_metadata()
        .metadata("format", "pt");
    // Folds the statistics of the last training step in, which visitors do not see.
    let folded = model.valid();
    folded
        .save_into(&mut file)
        .map_err(|error| WeightsError::new(Some(path), Kind::Write(error)))
}
