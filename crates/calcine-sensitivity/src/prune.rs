use burn::module::{Module, ParamId};
use burn::tensor::Tensor;
use calcine_criteria::{Candidate, Evidence, stream};
use calcine_fold::Fold;
use calcine_params::{Edit, Parameter, edit, flat};
use rand::RngExt;

use crate::Scan;

/// A copy of the model with one parameter pruned; the model itself is not touched.
pub(crate) fn pruned<M: Module>(
    model: &M,
    plan: &Scan,
    parameter: &Parameter,
    fold: &Fold,
    level: f64,
) -> M {
    let mut prune = Prune {
        parameter,
        plan,
        fold,
        level,
    };
    edit(model.clone(), &mut prune)
}

/// Score × granularity × select of one parameter.
struct Prune<'a> {
    parameter: &'a Parameter,
    plan: &'a Scan,
    fold: &'a Fold,
    level: f64,
}

impl Edit for Prune<'_> {
    fn wants(&self, id: ParamId) -> bool {
        id == self.parameter.id
    }

    fn edit<const D: usize>(&mut self, _: ParamId, value: Tensor<D>) -> Tensor<D> {
        let rows = self.fold.rows(value.clone());
        let seed = self.plan.seed.map(|seed| {
            let name = format!("scan.{}", self.parameter.path);
            stream(seed, &name, 0).random()
        });
        let mut evidence = Evidence::new(rows.clone());
        evidence.seed = seed;
        let scores = self.plan.score.score(&evidence);
        let reference = self.plan.select.measure(&rows, &scores);
        let mut candidate = Candidate::new(scores).with_reference(reference);
        candidate.seed = seed;
        let keep = self.plan.select.keep(&[candidate], self.level).remove(0);
        value.mask_fill(self.fold.spread::<D>(keep).bool_not(), 0.0)
    }
}

/// Which elements of a parameter are zero. It decides the pruned weights: all others are the model's.
///
/// Read from the device.
pub(crate) fn zeros<M: Module>(model: &M, parameter: &Parameter) -> Vec<bool> {
    let [weight] = flat(model, [parameter])
        .try_into()
        .expect("one was asked for");
    let zeros = weight.equal_scalar(0.0).into_data();
    zeros.iter::<bool>().collect()
}

/// The share of a parameter that is zero.
pub(crate) fn share(zeros: &[bool]) -> f64 {
    zeros.iter().filter(|&&zero| zero).count() as f64 / zeros.len() as f64
}
