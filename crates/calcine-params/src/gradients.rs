use std::collections::BTreeSet;

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use crate::edit::Edit;
use crate::parameter::Parameter;

/// The flattened gradients of the given parameters, in the given order; `None` for a parameter without a gradient.
#[must_use]
pub fn flat_gradients<'a, M: Module>(
    module: &M,
    gradients: &GradientsParams,
    parameters: impl IntoIterator<Item = &'a Parameter>,
) -> Vec<Option<Tensor<1>>> {
    let mut reader = Reader {
        gradients,
        wanted: parameters
            .into_iter()
            .map(|parameter| (parameter, None))
            .collect(),
    };
    module.visit(&mut reader);
    reader
        .wanted
        .into_iter()
        .map(|(_, gradient)| gradient)
        .collect()
}

struct Reader<'a> {
    gradients: &'a GradientsParams,
    wanted: Vec<(&'a Parameter, Option<Tensor<1>>)>,
}

impl ModuleVisitor for Reader<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        for (parameter, found) in &mut self.wanted {
            if parameter.id == param.id && found.is_none() {
                let gradient = self.gradients.get::<D>(param.id);
                *found = gradient.map(|gradient| gradient.reshape([parameter.numel()]));
            }
        }
    }
}

/// Changes gradients in place, each once even if its parameter is used twice. Parameters without a gradient are skipped.
pub fn edit_gradients<M: Module, E: Edit>(
    module: &M,
    gradients: &mut GradientsParams,
    edit: &mut E,
) {
    module.visit(&mut Editor {
        gradients,
        edit,
        done: BTreeSet::new(),
    });
}

struct Editor<'a, E> {
    gradients: &'a mut GradientsParams,
    edit: &'a mut E,
    done: BTreeSet<ParamId>,
}

impl<E: Edit> ModuleVisitor for Editor<'_, E> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !self.edit.wants(param.id) || !self.done.insert(param.id) {
            return;
        }
        if let Some(gradient) = self.gradients.remove::<D>(param.id) {
            self.gradients
                .register(param.id, self.edit.edit(param.id, gradient));
        }
    }
}
