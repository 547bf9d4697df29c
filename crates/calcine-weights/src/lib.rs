//! Reads and writes the weights of any Burn module, in the file formats of PyTorch users.
//!
//! | format | read | written |
//! |---|---|---|
//! | safetensors | [`load`], [`load_bytes`] | [`save`] |
//! | PyTorch `.pt`, `.pth`, `.pth.tar`, `.ckpt`: zip, legacy pickle, tar | [`load`] | no |
//!
//! Files have PyTorch's names and layouts: weights of linear layers are `[out, in]`, and the scale and shift of a norm
//! are called `weight` and `bias`. Apart from that, names must be those of the module's fields. Checkpoints of
//! Calcine's own runs have Burn's names and layouts, which their metadata states; they can be read, too.
//!
//! # What can be read
//!
//! * **Keys and prefixes.** A checkpoint may store its weights under any key or prefix (`state_dict`, `model`, `net`,
//!   `model_ema`, `encoder.`): the one under which most parameters of the module are found is used. If there are
//!   several, as in a checkpoint with averaged weights, an error lists them: choose one with [`LoadOptions::key`].
//! * **Wrappers.** The path elements `module`, `_orig_mod`, `_fsdp_wrapped_module` and `_checkpoint_wrapped_module` are
//!   ignored.
//! * **Pruning masks** of `torch.nn.utils.prune`: `weight_orig` is multiplied by `weight_mask`. The masks are available
//!   as [`LoadReport::masks_for`], so that training keeps the zeros.
//! * **Weight norms**, as `weight_g` and `weight_v` and as parametrizations: the weight is computed.
//! * **Shared parameters.** If the module uses a parameter in two places, one of its names is sufficient. Two different
//!   values are an error.
//! * **Buffers** that are not weights (`num_batches_tracked`, `position_ids`, `anchors`, single numbers) are skipped
//!   and listed in the [`LoadReport`], and so is everything else in the file, such as the state of an optimizer.
//! * **Whole modules** that were pickled (`torch.save(model)`), as their `state_dict()`.
//!
//! Everything else that does not fit, and NaN and infinite values, is an error of one line, and the module is not
//! changed; [`WeightsError::problems`] lists everything. [`LoadOptions::ignore`] leaves parameters unchanged.

use std::path::Path;

use burn::module::Module;
use burn::store::{BurnToPyTorchAdapter, ModuleSnapshot, SafetensorsStore};

mod archive;
mod assign;
mod buffers;
mod derived;
mod error;
mod file;
mod ignore;
mod masks;
mod names;
mod options;
mod problem;
mod report;

pub use derived::Derivation;
use error::Kind;
pub use error::WeightsError;
pub use masks::PruningMask;
pub use options::LoadOptions;
pub use problem::Problem;
pub use report::LoadReport;

/// Loads the weights of the file at `path` into `model`: [`LoadOptions::load`] with default options.
///
/// Noteworthy properties of the file (weights under a prefix, masks, skipped buffers) are logged.
///
/// # Errors
///
/// The errors of [`LoadOptions::load`].
pub fn load<M: Module>(model: M, path: &Path) -> Result<M, WeightsError> {
    Ok(LoadOptions::default().load(model, path)?.0)
}

/// Loads the weights of a safetensors file in memory into `model`, see [`load`].
///
/// # Errors
///
/// The errors of [`LoadOptions::load_bytes`].
pub fn load_bytes<M: Module>(model: M, safetensors: &[u8]) -> Result<M, WeightsError> {
    Ok(LoadOptions::default().load_bytes(model, safetensors)?.0)
}

/// Writes the weights of `model` to a safetensors file that PyTorch's `load_state_dict` accepts.
///
/// The file is written atomically and replaces an existing one. Equal weights produce equal bytes. Batch-norm
/// statistics include the last training step. All parameters are read from the device.
///
/// # Errors
///
/// If the file cannot be written, or a parameter is quantized, which the format cannot express.
///
/// # Examples
///
/// ```
/// use burn::nn::{Linear, LinearConfig};
/// use burn::tensor::Device;
///
/// let device = Device::flex();
/// let directory = tempfile::tempdir()?;
/// let path = directory.path().join("linear.safetensors");
///
/// let layer: Linear = LinearConfig::new(3, 2).init(&device);
/// calcine_weights::save(&layer, &path)?;
/// let same = calcine_weights::load(LinearConfig::new(3, 2).init(&device), &path)?;
/// assert_eq!(same.weight.val().into_data(), layer.weight.val().into_data());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn save<M: Module>(model: &M, path: &Path) -> Result<(), WeightsError> {
    // One entry of metadata: the order of several is that of a hash map, and differs between runs.
    let failed = |error| WeightsError::new(Some(path), Kind::Write(error));
    let mut file = SafetensorsStore::from_bytes(None)
        .skip_enum_variants(true)
        .with_to_adapter(BurnToPyTorchAdapter)
        .clear_metadata()
        .metadata("format", "pt");
    // Folds the statistics of the last training step in, which visitors do not see.
    let folded = model.valid();
    folded.save_into(&mut file).map_err(failed)?;
    let bytes = file.get_bytes().map_err(failed)?;
    calcine_files::write(path, bytes).map_err(|error| failed(error.into()))
}
