use crate::{Inventory, Parameter, Role};

/// The parameters of a batch norm.
///
/// ```text
/// y = gamma · (x - mean) / √(variance + epsilon) + beta
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Norm<'a> {
    /// The scale γ.
    pub gamma: &'a Parameter,
    /// The shift β.
    pub beta: &'a Parameter,
    /// The running mean.
    pub mean: &'a Parameter,
    /// The running variance.
    pub variance: &'a Parameter,
    /// What is added to the variance; Burn's default of 1e-5 if the layer does not tell.
    pub epsilon: f64,
    /// How much of a batch goes into the running statistics; Burn's default of 0.1 if the layer does not
    /// tell.
    pub momentum: f64,
}

/// Burn's defaults.
const EPSILON: f64 = 1e-5;
const MOMENTUM: f64 = 0.1;

/// What a batch norm is called whose convolution is called `conv`.
const NORM_NAMES: [&str; 4] = ["bn", "norm", "batch_norm", "batchnorm"];

impl Inventory {
    /// The batch norm that follows a convolution or linear layer, judged by names.
    ///
    /// Names are all there is: a module does not say what its forward pass does. The norm is
    ///
    /// * in the same module, under the layer's name with `conv` replaced by `bn`, `norm`, `batch_norm` or
    ///   `batchnorm` (`conv1` and `bn1`, `conv` and `norm`, `depthwise_conv` and `depthwise_bn`); or, if the
    ///   layer's name is a number, under the next one (`downsample.0` and `downsample.1`);
    /// * a `BatchNorm`, or a `Normalization` that holds one;
    /// * declared after the layer (in blocks of the pre-activation kind `bn1` comes before `conv1`, and
    ///   is not its norm);
    /// * of as many elements as the layer has outputs.
    ///
    /// `None` if there is no such norm, or if names leave a choice: two norms for the layer, or two
    /// layers for the norm. A layer and norm that happen to be called so are paired even if something
    /// stands between them or reads the layer's output as well.
    #[must_use]
    pub fn norm_of(&self, weight: &Parameter) -> Option<Norm<'_>> {
        let norm = self.norm_by_name(weight)?;
        let rival = |other: &Parameter| other.id != weight.id && self.claims(other, norm.gamma);
        (!self.weights().any(rival)).then_some(norm)
    }

    /// The weight whose output a batch norm scales: the inverse of [`norm_of`](Self::norm_of), for a
    /// norm's `gamma`.
    ///
    /// Element `i` of `gamma` scales filter (or output) `i` of the weight.
    #[must_use]
    pub fn weight_of(&self, gamma: &Parameter) -> Option<&Parameter> {
        let mut weights = self.weights().filter(|weight| self.claims(weight, gamma));
        let weight = weights.next()?;
        weights.next().is_none().then_some(weight)
    }

    /// The only norm that the weight's name allows.
    fn norm_by_name(&self, weight: &Parameter) -> Option<Norm<'_>> {
        let layer = weight.path.strip_suffix(".weight")?;
        if weight.role != Role::Weight {
            return None;
        }
        let (weight_at, outputs) = (self.position(weight)?, weight.outputs()?);
        let mut norms = norm_paths(layer).into_iter().filter_map(|path| {
            let norm = self
                .batch_norm(&path)
                .or_else(|| self.batch_norm(&format!("{path}.Batch")))?;
            let follows = self.position(norm.gamma)? > weight_at;
            (follows && norm.gamma.numel() == outputs).then_some(norm)
        });
        let norm = norms.next()?;
        norms.next().is_none().then_some(norm)
    }

    /// Whether the weight's name allows this norm and no other.
    fn claims(&self, weight: &Parameter, gamma: &Parameter) -> bool {
        let beside = weight.path.strip_suffix(".weight").is_some_and(|layer| {
            let mut paths = norm_paths(layer).into_iter();
            paths.any(|path| gamma.path.starts_with(&path))
        });
        beside
            && self
                .norm_by_name(weight)
                .is_some_and(|norm| norm.gamma.id == gamma.id)
    }

    fn position(&self, parameter: &Parameter) -> Option<usize> {
        self.iter().position(|other| other.id == parameter.id)
    }

    /// The batch norm at this path: `layer1.0.bn1`.
    #[must_use]
    pub fn batch_norm(&self, layer: &str) -> Option<Norm<'_>> {
        let part = |name: &str| {
            let path = match layer {
                "" => name.to_owned(),
                layer => format!("{layer}.{name}"),
            };
            self.get(&path)
                .filter(|parameter| parameter.layer == "BatchNorm")
        };
        let gamma = part("gamma")?;
        Some(Norm {
            gamma,
            beta: part("beta")?,
            mean: part("running_mean")?,
            variance: part("running_var")?,
            epsilon: self.norm_setting(gamma, "epsilon").unwrap_or(EPSILON),
            momentum: self.norm_setting(gamma, "momentum").unwrap_or(MOMENTUM),
        })
    }
}

/// Where the norm of a layer may be.
fn norm_paths(layer: &str) -> Vec<String> {
    let (parent, name) = match layer.rfind('.') {
        Some(dot) => layer.split_at(dot + 1),
        None => ("", layer),
    };
    if let Ok(index) = name.parse::<usize>() {
        return vec![format!("{parent}{}", index + 1)];
    }
    match name.split_once("conv") {
        Some((before, after)) => NORM_NAMES
            .map(|norm| format!("{parent}{before}{norm}{after}"))
            .to_vec(),
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::norm_paths;

    #[test]
    fn a_norm_stands_beside_its_layer() {
        let first = |layer: &str| norm_paths(layer).into_iter().next();
        assert_eq!(first("conv1").as_deref(), Some("bn1"));
        assert_eq!(first("layer1.0.conv2").as_deref(), Some("layer1.0.bn2"));
        assert_eq!(first("conv.conv").as_deref(), Some("conv.bn"));
        assert_eq!(first("a.0").as_deref(), Some("a.1"));
        assert_eq!(first("7").as_deref(), Some("8"));
        assert_eq!(first("layer1.0.fc"), None);
        assert_eq!(first(""), None);
    }
}
