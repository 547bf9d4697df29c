//! The flags that say which network, on which data, where: the same for every command that runs one.

use calcine::zoo::Architecture;

/// A network, its data and its device.
#[derive(Debug, clap::Args)]
pub(crate) struct Network {
    /// resnet20, resnet32, resnet44, resnet56, plain20 or simplenet [default: the recipe's, else resnet20].
    #[arg(long)]
    model: Option<Architecture>,
    /// A safetensors or PyTorch file, `default` for those shipped, or `none` for fresh ones.
    #[arg(long)]
    pub(crate) weights: Option<String>,
    /// `auto` (the environment's CALCINE_DATA, the cache, a download, or made-up images), `synthetic`, a
    /// directory, or the official archive (.tar.gz).
    #[arg(long, default_value = "auto")]
    pub(crate) data: String,
    /// Where to compute; `list` shows what this build has.
    #[arg(long, default_value = "flex")]
    pub(crate) device: String,
}

impl Network {
    /// The network's name, if one is named.
    pub(crate) fn model(&self) -> Option<String> {
        self.model.map(|model| model.to_string())
    }
}

/// Reads a count for clap.
pub(crate) fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("expected a whole number above 0".to_owned()),
        Ok(number) => Ok(number),
    }
}
