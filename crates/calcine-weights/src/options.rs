use std::path::Path;

use burn::module::Module;
use serde::{Deserialize, Serialize};

use super::error::Kind;
use super::file::{self, Contents};
use super::{LoadReport, WeightsError, assign};

/// Where the weights are in a file, and which of them are skipped.
///
/// # Examples
///
/// ```no_run
/// use burn::nn::LinearConfig;
/// use burn::tensor::Device;
/// use calcine_weights::LoadOptions;
/// use std::path::Path;
///
/// // The averaged weights of a checkpoint, but for its last layer.
/// let options = LoadOptions {
///     key: Some("state_dict_ema".to_owned()),
///     ignore: vec!["fc.*".to_owned()],
///     ..LoadOptions::default()
/// };
/// let model = LinearConfig::new(64, 10).init(&Device::flex());
/// let (model, report) = options.load(model, Path::new("checkpoint.pth"))?;
/// println!("{report}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoadOptions {
    /// The key of the dictionary that contains the weights, as a dotted path: `state_dict`, `ema.module`. Empty for the
    /// root of the file. By default, the key under which most parameters of the module are found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// A prefix of the names in the file that the module does not have: `backbone.`. Tensors without the prefix are
    /// skipped. By default, the prefix is detected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strip: Option<String>,
    /// Patterns of names, without key and prefix. Tensors that match are not read, and parameters that match keep their
    /// values. `*` matches one path element or a part of one, `**` any number of elements, and the name of a module
    /// everything in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<String>,
}

impl LoadOptions {
    /// Whether all options have their defaults.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Loads the weights of the file at `path` into `model`, and returns the model and a report.
    ///
    /// The format is recognized by the contents of the file. Floats of another precision are converted to that of the
    /// module. The module's own values are read to determine their shapes, so lazy ones are initialized.
    ///
    /// Batch-norm statistics are shared between clones of a Burn module: clones of `model` receive the loaded ones,
    /// too, but only if loading succeeds.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, has none of the formats, or does not fit the module, or if it contains weights for
    /// the module under several keys and none is chosen.
    pub fn load<M: Module>(&self, model: M, path: &Path) -> Result<(M, LoadReport), WeightsError> {
        self.assign(model, file::read(path), Some(path))
    }

    /// Loads the weights of a safetensors file in memory into `model`, see [`load`](Self::load).
    ///
    /// # Errors
    ///
    /// If the bytes are not a safetensors file, or the file does not fit the module.
    pub fn load_bytes<M: Module>(
        &self,
        model: M,
        safetensors: &[u8],
    ) -> Result<(M, LoadReport), WeightsError> {
        self.assign(model, file::parse_safetensors(safetensors.to_vec()), None)
    }

    fn assign<M: Module>(
        &self,
        model: M,
        contents: Result<Contents, Kind>,
        path: Option<&Path>,
    ) -> Result<(M, LoadReport), WeightsError> {
        let assigned = contents.and_then(|contents| {
            // Values are read while the contents, and with them a copy of the file, are there.
            assign::assign(model, &contents, self)
        });
        let (model, report) = assigned.map_err(|kind| WeightsError::new(path, kind))?;
        if report.is_remarkable() {
            match path {
                Some(path) => tracing::warn!("{}: {report}", path.display()),
                None => tracing::warn!("{report}"),
            }
        }
        Ok((model, report))
    }
}
