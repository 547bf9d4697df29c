use serde::{Deserialize, Serialize};

/// The names of the parts of an experiment in reports and messages. They do not affect what is computed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Names {
    /// The model.
    pub model: String,
    /// The data.
    pub data: String,
    /// The device.
    pub device: String,
    /// The name of the samples, in the plural: `images`. Keys of the report contain it: `images_per_second`.
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
