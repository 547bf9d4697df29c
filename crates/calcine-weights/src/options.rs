use std::path::Path;

use burn::module::Module;
use serde::{Deserialize, Serialize};

use super::error::Kind;
use super::file::{self, Contents};
use super::{LoadReport, WeightsError, assign};

/// Where a file has its weights, and which of them to leave out.
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
    /// The key of the dictionary that has the weights, as a dotted path: `state_dict`, `ema.module`. Empty for the root
    /// of the file. By default, the one beneath which most of the module's parameters are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What the names of the weights begin with there, and the module's do not: `backbone.`. Tensors whose names do
    /// not begin with it are left out. By default, found out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strip: Option<String>,
    /// Patterns of names, without key and prefix. Tensors that match are not read, and parameters that match keep the
    /// values that they have. `*` stands for one path element or a part of one, `**` for any number of
    /// elements, and the name of a module for everything in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<String>,
}

impl LoadOptions {
    /// Whether nothing is asked for.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// `model` with the weights of the file at `path`, and what was taken from the file.
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
    /// If the file cannot be read, is in none of the formats, or does not fit the module, or if it has weights for the
    /// module beneath several keys and none is chosen.
    pub fn load<M: Module>(&self, model: M, path: &Path) -> Result<(M, LoadReport), WeightsError> {
        self.assign(model, file::read(path), Some(path))
    }

    /// `model` with the weights of a safetensors file that is already in memory, see [`load`](Self::load).
    ///
    /// # Errors
    ///
    /// If the bytes are no safetensors file, or the file does not fit the module.
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
