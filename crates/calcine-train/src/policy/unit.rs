use burn::module::Module;
use burn::tensor::{Bool, Tensor};
use calcine_fold::Fold;
use calcine_params::{Parameter, flat};

/// A parameter and its units.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Unit {
    /// The parameter.
    pub parameter: Parameter,
    /// How it is cut.
    pub fold: Fold,
    /// The normalisation that follows its layer, where a score or a policy looks at it.
    pub norm: Option<UnitNorm>,
    /// What one unit costs under a budget.
    pub cost: u64,
}

/// The normalisation after a layer.
#[derive(Debug, Clone)]
pub struct UnitNorm {
    /// γ: `[outputs]`.
    pub scale: Parameter,
    /// The running variance: `[outputs]`.
    pub variance: Parameter,
    /// What is added to the variance.
    pub epsilon: f64,
}

impl Unit {
    /// A parameter cut into units of cost 1.
    #[must_use]
    pub fn new(parameter: Parameter, fold: Fold) -> Self {
        Self {
            parameter,
            fold,
            norm: None,
            cost: 1,
        }
    }

    /// With the normalisation that follows.
    #[must_use]
    pub fn with_norm(mut self, norm: UnitNorm) -> Self {
        self.norm = Some(norm);
        self
    }

    /// With what a unit costs.
    #[must_use]
    pub fn with_cost(mut self, cost: u64) -> Self {
        self.cost = cost;
        self
    }

    /// Decisions per unit over all elements, flat in stored order.
    pub(super) fn spread(&self, keep: Tensor<1, Bool>) -> Tensor<1, Bool> {
        self.fold.spread(keep)
    }

    /// Rows back to the parameter, flat in stored order.
    pub(super) fn flat<K: burn::tensor::kind::Basic>(&self, rows: Tensor<2, K>) -> Tensor<1, K> {
        let fold = &self.fold;
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

    /// The reverse of [`spread`](Self::spread): the decision of each unit's first member.
    pub(super) fn decisions(&self, mask: Tensor<1, Bool>) -> Tensor<1, Bool> {
        let units = self.fold.units();
        let rows = self.fold.rows(mask);
        rows.slice([0..units, 0..1]).reshape([units])
    }
}

impl UnitNorm {
    /// γ: `[outputs]`.
    pub(super) fn scale<M: Module>(&self, model: &M) -> Tensor<1> {
        flat(model, [&self.scale]).remove(0)
    }

    /// The weight of a convolution with the normalisation folded in, `w·γ/√(σ² + ε)` per output: flat.
    pub(super) fn fold_into<M: Module>(&self, model: &M, weight: Tensor<1>) -> Tensor<1> {
        let values = flat(model, [&self.scale, &self.variance]);
        let [scale, variance] = values.try_into().expect("two were asked for");
        let factor = scale / variance.add_scalar(self.epsilon).sqrt();
        let (numel, outputs) = (weight.dims()[0], factor.dims()[0]);
        let rows = weight.reshape([outputs, numel / outputs]);
        (rows * factor.reshape([outputs, 1])).reshape([numel])
    }
}
