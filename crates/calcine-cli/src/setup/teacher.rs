//! The teacher of a distillation.

use calcine::trace::Network;
use calcine::zoo::Architecture;

use super::Setup;
use crate::failure::{Failure, bad};
use crate::model::{self, AnyNetwork, Weights};

/// The teacher that `[distill]` names: a network of the zoo or of a file; `None` stands for the initial network of the
/// run.
pub(crate) fn teacher(setup: &Setup) -> Result<Option<Network>, Failure> {
    let Some(asked) = setup.recipe.distillation() else {
        return Ok(None);
    };
    if asked.model.is_none() && asked.weights.is_none() {
        let fresh = setup.model.weights == Some(Weights::None);
        if fresh && !setup.dataset.source().is_synthetic() {
            return Err(bad(
                "the run begins with random weights, so its teacher is not trained: name `model` and `weights` in \
                 `[distill]`",
            ));
        }
        return Ok(None);
    }
    let own = setup
        .model
        .name
        .parse::<Architecture>()
        .map(Architecture::name);
    let file = asked
        .weights
        .as_deref()
        .filter(|word| *word != "default" && *word != "none");
    // If the file of the teacher's weights contains a network, this network is the teacher.
    if let Some(file) = file
        && let Ok(model::Contents::Float(network)) = model::contents(file.as_ref(), &setup.device)
    {
        return Ok(Some(*network));
    }
    let name = asked.model.as_deref().or(own.ok());
    let Some(name) = name else {
        return Err(bad(
            "`[distill]` names weights and no `model` that they are for",
        ));
    };
    let options = calcine::weights::LoadOptions::default();
    match model::load_with(name, asked.weights.as_deref(), &options, 0, &setup.device)?.network {
        AnyNetwork::Float(network) => Ok(Some(*network)),
        AnyNetwork::Quantized(_) => Err(bad("the teacher of `[distill]` is quantized")),
    }
}
