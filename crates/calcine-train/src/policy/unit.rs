use burn::module::Module;
use burn::tensor::{Bool, Device, Int, Tensor};
use calcine_fold::{Fold, Granularity};
use calcine_params::{Parameter, UnitError, flat};

/// A parameter that is divided into units.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Unit {
    /// The parameter.
    pub parameter: Parameter,
    /// The unit view of the parameter.
    pub fold: Fold,
    /// The norm that follows the layer, if a score or a policy uses it.
    pub norm: Option<UnitNorm>,
    /// The cost of one unit under a budget.
    pub cost: u64,
    /// The units of the fold that share decisions; if there are none, each unit has its own decision.
    tied: Option<Tied>,
}

/// Units of the fold that share decisions, for example the filters of a grouped convolution that have the same position
/// within their groups.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Tied {
    /// The units of the fold, ordered by decision.
    order: Vec<i64>,
    /// The position of each unit of the fold in that order.
    places: Vec<i64>,
    /// The number of units per decision.
    each: usize,
}

/// The norm after a layer.
#[derive(Debug, Clone)]
pub struct UnitNorm {
    /// The scale γ: `[outputs]`.
    pub scale: Parameter,
    /// The running variance: `[outputs]`.
    pub variance: Parameter,
    /// The number that is added to the variance.
    pub epsilon: f64,
}

impl Unit {
    /// A parameter that is divided into units of cost 1.
    #[must_use]
    pub fn new(parameter: Parameter, fold: Fold) -> Self {
        Self {
            parameter,
            fold,
            norm: None,
            cost: 1,
            tied: None,
        }
    }

    /// Sets which units of the fold share decisions: one list for each decision.
    ///
    /// `None` if the lists have different lengths, or a unit of the fold is in none or in several of them.
    #[must_use]
    pub fn tied(mut self, units: &[Vec<usize>]) -> Option<Self> {
        let each = units.first()?.len();
        let order: Vec<i64> = units.iter().flatten().map(|&unit| unit as i64).collect();
        let mut places = vec![-1; self.fold.units()];
        for (place, &unit) in order.iter().enumerate() {
            let free = places.get_mut(unit as usize).filter(|place| **place < 0)?;
            *free = place as i64;
        }
        let whole = order.len() == places.len() && units.iter().all(|unit| unit.len() == each);
        let own = order
            .iter()
            .enumerate()
            .all(|(place, &unit)| place as i64 == unit);
        self.tied = (each > 1 || !own).then_some(Tied {
            order,
            places,
            each,
        });
        whole.then_some(self)
    }

    /// Sets the norm that follows.
    #[must_use]
    pub fn with_norm(mut self, norm: UnitNorm) -> Self {
        self.norm = Some(norm);
        self
    }

    /// Sets the cost of a unit.
    #[must_use]
    pub fn with_cost(mut self, cost: u64) -> Self {
        self.cost = cost;
        self
    }

    /// The number of decisions.
    #[must_use]
    pub fn decided(&self) -> usize {
        self.fold.units() / self.tied.as_ref().map_or(1, |tied| tied.each)
    }

    /// Whether a decision applies to several units of the fold, or decisions have another order than units.
    pub(super) fn is_tied(&self) -> bool {
        self.tied.is_some()
    }

    /// Repeats decisions for all elements, flat in stored order.
    pub(super) fn spread(&self, keep: Tensor<1, Bool>) -> Tensor<1, Bool> {
        let Some(tied) = &self.tied else {
            return self.fold.spread(keep);
        };
        let rows = keep.reshape([self.decided(), 1]);
        let all = rows
            .expand([self.decided(), tied.each])
            .reshape([tied.order.len()]);
        let places = positions(&tied.places, &all.device());
        self.fold.spread(all.select(0, places))
    }

    /// One score for each decision: the mean of the scores of its units.
    pub(super) fn joined(&self, scores: Tensor<1>) -> Tensor<1> {
        match &self.tied {
            Some(tied) => {
                let order = positions(&tied.order, &scores.device());
                let rows = scores.select(0, order).reshape([self.decided(), tied.each]);
                rows.mean_dim(1).reshape([self.decided()])
            }
            None => scores,
        }
    }

    /// Converts rows to the parameter, flat in stored order.
    pub(super) fn flat<K: burn::tensor::kind::Basic>(&self, rows: Tensor<2, K>) -> Tensor<1, K> {
        flat_rows(&self.fold, rows)
    }

    /// The inverse of [`spread`](Self::spread): the decision for the first member of each unit.
    pub(super) fn decisions(&self, mask: Tensor<1, Bool>) -> Tensor<1, Bool> {
        let units = self.fold.units();
        let rows = self.fold.rows(mask);
        let all = rows.slice([0..units, 0..1]).reshape([units]);
        match &self.tied {
            Some(tied) => {
                let order = positions(&tied.order, &all.device());
                let rows = all.select(0, order).reshape([self.decided(), tied.each]);
                rows.slice([0..self.decided(), 0..1])
                    .reshape([self.decided()])
            }
            None => all,
        }
    }
}

fn positions(places: &[i64], device: &Device) -> Tensor<1, Int> {
    Tensor::from_ints(places, device)
}

impl UnitNorm {
    /// The scale γ: `[outputs]`.
    pub(super) fn scale<M: Module>(&self, model: &M) -> Tensor<1> {
        flat(model, [&self.scale]).remove(0)
    }

    /// The factor by which folding the norm multiplies each weight, `γ/√(σ² + ε)` of its output: flat, in stored order.
    pub(super) fn factor<M: Module>(&self, model: &M, parameter: &Parameter) -> Tensor<1> {
        let values = flat(model, [&self.scale, &self.variance]);
        let [scale, variance] = values.try_into().expect("two were asked for");
        let factor = scale / variance.add_scalar(self.epsilon).sqrt();
        let outputs = by_output(parameter).expect("a policy checks its units");
        let [units, members] = [outputs.units(), outputs.members()];
        let rows = factor.reshape([units, 1]).expand([units, members]);
        flat_rows(&outputs, rows)
    }

    /// Checks that the norm can be folded into this weight.
    pub(super) fn check(&self, parameter: &Parameter) -> Result<(), String> {
        let outputs = by_output(parameter)
            .map_err(|error| error.to_string())?
            .units();
        let found = [&self.scale, &self.variance].map(Parameter::numel);
        if found == [outputs; 2] {
            Ok(())
        } else {
            let [scales, variances] = found;
            Err(format!(
                "a norm of {scales} scales and {variances} variances cannot be folded into {outputs} outputs"
            ))
        }
    }
}

/// The unit view of a weight with one row per output of its layer.
fn by_output(parameter: &Parameter) -> Result<Fold, UnitError> {
    parameter.fold(match parameter.shape.len() {
        2 => Granularity::FcOutput,
        _ => Granularity::Filter,
    })
}

/// Converts rows to the parameter, flat in stored order.
fn flat_rows<K: burn::tensor::kind::Basic>(fold: &Fold, rows: Tensor<2, K>) -> Tensor<1, K> {
    let numel = fold.shape().iter().product::<usize>();
    match fold.shape().len() {
        1 => fold.unrows::<1, K>(rows),
        2 => fold.unrows::<2, K>(rows).reshape([numel]),
        3 => fold.unrows::<3, K>(rows).reshape([numel]),
        4 => fold.unrows::<4, K>(rows).reshape([numel]),
        5 => fold.unrows::<5, K>(rows).reshape([numel]),
        rank => unreachable!("a fold of rank {rank} was never bound"),
    }
}
