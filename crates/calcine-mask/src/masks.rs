use std::collections::BTreeMap;

use burn::module::{Module, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{Bool, Int, Tensor};
use calcine_params::{Edit, Parameter};

/// Pruning masks, one per parameter: they say which elements are kept and which are zero.
#[derive(Debug, Clone, Default)]
pub struct Masks {
    by_path: BTreeMap<String, Mask>,
}

/// True where the element is dropped, in stored order: `[numel]`.
#[derive(Debug, Clone)]
pub(crate) struct Mask {
    pub(crate) id: ParamId,
    /// The other paths of a tied parameter.
    aliases: Vec<String>,
    pub(crate) dropped: Tensor<1, Bool>,
    /// The factor by which [`Masks::forward`] multiplies the kept elements: `[1]`.
    pub(crate) scale: Option<Tensor<1>>,
}

impl Masks {
    /// Sets the mask of a parameter: true keeps.
    ///
    /// # Shapes
    ///
    /// `keep`: the parameter's shape, or flat.
    ///
    /// # Panics
    ///
    /// If `keep` has another number of elements.
    pub fn insert<const D: usize>(&mut self, parameter: &Parameter, keep: Tensor<D, Bool>) {
        self.insert_dropped(parameter, keep.bool_not());
    }

    /// Sets the mask of a parameter: true drops. This is the stored form, so it needs one pass less than
    /// [`insert`](Self::insert).
    ///
    /// # Shapes
    ///
    /// `dropped`: the parameter's shape, or flat.
    ///
    /// # Panics
    ///
    /// If `dropped` has another number of elements.
    pub fn insert_dropped<const D: usize>(
        &mut self,
        parameter: &Parameter,
        dropped: Tensor<D, Bool>,
    ) {
        let mask = Mask {
            id: parameter.id,
            aliases: parameter.aliases.clone(),
            dropped: dropped.reshape([parameter.numel()]),
            scale: None,
        };
        self.by_path.insert(parameter.path.clone(), mask);
    }

    /// The elements of a parameter that are kept, flat in stored order; `None` if it has no mask. A tied parameter has the same mask
    /// under all its paths.
    #[must_use]
    pub fn keep(&self, path: &str) -> Option<Tensor<1, Bool>> {
        let is_called = |mask: &&Mask| mask.aliases.iter().any(|alias| alias == path);
        let own = self.by_path.get(path);
        let mask = own.or_else(|| self.by_path.values().find(is_called))?;
        Some(mask.dropped.clone().bool_not())
    }

    /// The masks of a thinned model: the elements of each parameter at the given positions, flat in stored order, or all
    /// elements of a parameter without positions. Nothing is read from the device.
    #[must_use]
    pub fn gathered<'a>(&self, positions: impl Fn(&str) -> Option<&'a [usize]>) -> Self {
        let gathered = |(path, mask): (&String, &Mask)| {
            let mut mask = mask.clone();
            if let Some(positions) = positions(path) {
                let positions: Vec<i64> = positions.iter().map(|&at| at as i64).collect();
                let device = mask.dropped.device();
                let positions = Tensor::<1, Int>::from_ints(positions.as_slice(), &device);
                mask.dropped = mask.dropped.select(0, positions);
            }
            (path.clone(), mask)
        };
        Self {
            by_path: self.by_path.iter().map(gathered).collect(),
        }
    }

    /// Removes all masks. Elements that they have set to zero stay zero until something changes them.
    pub fn clear(&mut self) {
        self.by_path.clear();
    }

    /// The paths of the parameters that have a mask.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.by_path.keys().map(String::as_str)
    }

    /// The number of parameters that have a mask.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_path.len()
    }

    /// Whether no parameter has a mask.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_path.is_empty()
    }

    /// The intersection of masks: an element is kept if all masks of its parameter keep it.
    #[must_use]
    pub fn intersection<'a>(masks: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut all = Self::default();
        for (path, mask) in masks.into_iter().flat_map(|masks| &masks.by_path) {
            all.by_path
                .entry(path.clone())
                .and_modify(|both| {
                    both.dropped = both.dropped.clone().bool_or(mask.dropped.clone());
                    both.scale = match (both.scale.take(), mask.scale.clone()) {
                        (Some(a), Some(b)) => Some(a * b),
                        (a, b) => a.or(b),
                    };
                })
                .or_insert_with(|| mask.clone());
        }
        all
    }

    /// Sets the dropped elements of the stored weights to zero.
    ///
    /// Call it at the end of every step: momentum and weight decay also change weights whose gradient is zero. The parameters can
    /// still be trained. Nothing is read from the device.
    #[must_use]
    pub fn apply<M: Module>(&self, module: M) -> M {
        if self.is_empty() {
            module
        } else {
            calcine_params::edit(module, &mut self.editor())
        }
    }

    /// A copy of the module for one forward pass: masked, and [rescaled](Self::rescale_kept).
    ///
    /// The masked parameters of the copy are autodiff leaves with the same identifiers. Collect gradients *for the copy*: they pass
    /// through the mask unchanged, so they reach dropped elements, too. The stored weights do not change. Running statistics are
    /// shared, and the forward pass of the copy updates them.
    #[must_use]
    pub fn forward<M: Module>(&self, module: &M) -> M {
        if self.is_empty() {
            return module.clone();
        }
        let mut editor = self.editor();
        editor.scales = self
            .by_path
            .values()
            .filter_map(|mask| Some((mask.id, mask.scale.as_ref()?)))
            .collect();
        calcine_params::edit(module.clone(), &mut editor)
    }

    /// Makes [`forward`](Self::forward) multiply the kept elements of each parameter by elements / kept elements, so that the
    /// expectation of sums does not change (inverted dropout). If nothing is kept, everything is zero. Stored weights are never
    /// scaled. Nothing is read from the device.
    pub fn rescale_kept(&mut self) {
        for mask in self.by_path.values_mut() {
            let numel = mask.dropped.dims()[0];
            // Counted in integers: 32-bit floats miscount beyond 2^24.
            let kept = mask.dropped.clone().bool_not().int().sum();
            let kept = kept.clamp_min(1).float();
            mask.scale = Some(kept.recip().mul_scalar(numel as f64));
        }
    }

    /// Sets the gradients of dropped elements to zero, so that they do not accumulate momentum.
    pub fn apply_to_gradients<M: Module>(&self, module: &M, gradients: &mut GradientsParams) {
        if !self.is_empty() {
            calcine_params::edit_gradients(module, gradients, &mut self.editor());
        }
    }

    fn editor(&self) -> Drop<'_> {
        Drop {
            by_id: self
                .by_path
                .values()
                .map(|mask| (mask.id, &mask.dropped))
                .collect(),
            scales: BTreeMap::new(),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &Mask)> {
        self.by_path.iter()
    }
}

struct Drop<'a> {
    by_id: BTreeMap<ParamId, &'a Tensor<1, Bool>>,
    scales: BTreeMap<ParamId, &'a Tensor<1>>,
}

impl Edit for Drop<'_> {
    fn wants(&self, id: ParamId) -> bool {
        self.by_id.contains_key(&id)
    }

    fn edit<const D: usize>(&mut self, id: ParamId, value: Tensor<D>) -> Tensor<D> {
        let dropped = self.by_id[&id].clone().reshape(value.shape());
        let value = value.mask_fill(dropped, 0.0);
        match self.scales.get(&id) {
            Some(scale) => value * (*scale).clone().reshape([1; D]),
            None => value,
        }
    }
}
