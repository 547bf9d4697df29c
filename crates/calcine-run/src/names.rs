use serde::{Deserialize, Serialize};

/// What reports and messages call the parts of an experiment. None of it changes what is computed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Names {
    /// The model.
    pub model: String,
    /// The data.
    pub data: String,
    /// The device.
    pub device: String,
    /// What the samples are, in the plural: `images`. Keys of the report have it in their names: `images_per_second`.
    pub samples: String,
}

impl Default for Names {
    fn default() -> Self {
        Self {
            model: "network".to_owned(),
            data: "data".to_owned(),
            device: "default".to_owned(),
            samples: "samples".to_owned(),
        }
    }
}
