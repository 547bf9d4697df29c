//! The teacher of a distillation.

use calcine::run::Model;
use calcine::trace::Network;
use calcine::zoo::ZooModel;

use super::Setup;
use crate::failure::{Failure, bad};
use crate::model::{self, Weights};

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
    let own = setup.model.name.parse::<ZooModel>().map(ZooModel::name);
    let weights = asked.weights.as_deref();
    let file = weights.filter(|word| Weights::is_file(word));
    // If the file of the teacher's weights contains a network, this network is the teacher.
    if let Some(file) = file
        && let Ok(Model::Float(network)) = Model::load(file.as_ref(), &setup.device)
    {
        return Ok(Some(network));
    }
    let name = asked.model.as_deref().or(own.ok());
    let Some(name) = name else {
        return Err(bad(
            "`[distill]` names weights and no `model` that they are for",
        ));
    };
    let options = calcine::weights::LoadOptions::default();
    let teacher = model::load_with(name, weights, &options, 0, &setup.device)?;
    let network = teacher.into_float("the teacher of `[distill]` is a network in float")?;
    Ok(Some(network))
}
