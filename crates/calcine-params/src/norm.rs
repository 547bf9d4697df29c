use crate::inventory::Inventory;
use crate::parameter::{Parameter, Role};

/// The parameters of a batch norm.
///
/// ```text
/// y = gamma · (x - mean) / √(variance + epsilon) + beta
/// ```
///
/// Burn shows a module's parameters and nothing else, so that the epsilon and the momentum of the norm are not known here. The graph of
/// the traced model has both, as `Op::BatchNorm`.
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
}

/// What a batch norm is called whose convolution is called `conv`.
const NORM_NAMES: [&str; 4] = ["bn", "norm", "batch_norm", "batchnorm"];

impl Inventory {
    /// The batch norm behind a convolution or linear layer, if names and shapes identify it unambiguously.
    ///
    /// A module does not describe its forward pass; the graph of a traced model does, so use the graph if there is one. Without a
    /// graph, the norm is
    ///
    /// * in the same module, under the layer's name with `conv` replaced by `bn`, `norm`, `batch_norm` or
    ///   `batchnorm` (`conv1` and `bn1`, `conv` and `norm`, `depthwise_conv` and `depthwise_bn`); or, if the
    ///   layer's name is a number, under the next one (`downsample.0` and `downsample.1`);
    /// * a `BatchNorm`, or a `Normalization` that holds one;
    /// * declared after the layer;
    /// * one with as many elements as the layer has outputs, while the number of inputs of the layer is different, whatever its groups if
    ///   they are unknown (otherwise the norm might precede the layer, as in pre-activation blocks);
    /// * the only batch norm with this number of elements in that module.
    ///
    /// `None` if there is no such norm, or if it is ambiguous: two norms for the layer, or two layers for the norm.
    /// [`may_have_norm`](Self::may_have_norm) distinguishes the two cases.
    #[must_use]
    pub fn norm_of(&self, weight: &Parameter) -> Option<Norm<'_>> {
        let norm = self.norm_by_name(weight)?;
        let rival = |other: &Parameter| other.id != weight.id && self.claims(other, norm.gamma);
        let features = norm.gamma.numel();
        let may_precede = match (weight.inputs(), weight.shape.get(1)) {
            (Some(inputs), _) => inputs == features,
            // The inputs of one group.
            (None, Some(&inputs)) => features.is_multiple_of(inputs.max(1)),
            (None, None) => true,
        };
        let beside = |gamma: &Parameter| {
            gamma.id != norm.gamma.id && gamma.path.starts_with(parent(&weight.path))
        };
        let one_of_many = self.scales_of(norm.gamma.numel()).any(beside);
        let doubt = may_precede || one_of_many || self.weights().any(rival);
        (!doubt).then_some(norm)
    }

    /// Whether a batch norm may follow the layer of this weight, that is, whether some batch norm of the model has as many elements as the
    /// layer has outputs.
    #[must_use]
    pub fn may_have_norm(&self, weight: &Parameter) -> bool {
        let outputs = weight.outputs();
        outputs.is_none_or(|outputs| self.scales_of(outputs).next().is_some())
    }

    /// The scales of all batch norms of so many elements.
    fn scales_of(&self, features: usize) -> impl Iterator<Item = &Parameter> {
        self.iter().filter(move |parameter| {
            let is_scale = parameter.role == Role::NormScale && parameter.layer == "BatchNorm";
            is_scale && parameter.numel() == features
        })
    }

    /// The weight of the layer whose output a batch norm scales: the inverse of [`norm_of`](Self::norm_of), for the `gamma` of the
    /// norm.
    ///
    /// Element `i` of `gamma` scales filter (or output) `i` of the weight.
    #[must_use]
    pub fn weight_of(&self, gamma: &Parameter) -> Option<&Parameter> {
        self.weights().find(|weight| {
            let norm = self.norm_of(weight);
            norm.is_some_and(|norm| norm.gamma.id == gamma.id)
        })
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
        })
    }
}

/// The module that holds the layer of this parameter: `layer1.0.` of `layer1.0.conv1.weight`.
fn parent(path: &str) -> &str {
    let layer = path.rsplit_once('.').map_or("", |(layer, _)| layer);
    &path[..layer.rfind('.').map_or(0, |dot| dot + 1)]
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
