use std::collections::BTreeMap;
use std::fmt;

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use calcine_criteria::{Candidate, Evidence, Level, Needs, Score, Select};
use calcine_mask::Masks;
use calcine_params::{Edit, Inventory, edit_gradients, flat, replace};
use calcine_regularize::{Criterion, Regularizer};
use calcine_schedule::{Clock, Curve};
use rand::RngExt;

use super::record::{vectors_from_bytes, vectors_to_bytes};
use super::{After, Changed, Policy, PolicyRecord, UnfitRecord, Unit, Values, When};
use crate::{KeptIndices, PolicyOutcome, stream};

/// A regularizer on a schedule: penalty × granularity × strength, over a window.
///
/// It acts in every step of the moments at which its window fires; if the window counts epochs, in all steps of these
/// epochs. The strength may follow a curve over the window, for example for growing regularization (`GReg`; Wang et
/// al., 2021).
///
/// With a [threshold](Self::with_threshold), groups that have become small are set to zero after each update, because
/// gradients alone never give exact zeros. These weights can grow again, unless the masks of the last step are
/// [kept](After::Hold).
pub struct Penalty {
    name: String,
    groups: Vec<Penalized>,
    regularizer: Box<dyn Regularizer + Send>,
    when: When,
    apply: Apply,
    threshold: Option<Threshold>,
    after: After,
    weakest: Option<Weakest>,
    /// The seed of the run, for a score that draws random numbers.
    seed: Option<u64>,
    /// One for each penalized unit, if only the weakest units are penalized.
    chosen: BTreeMap<String, Tensor<1>>,
    /// The units that the threshold of the last step dropped, if these masks are kept.
    masks: Masks,
    changed: Changed,
}

/// A parameter, and the strength of the penalty on its units.
pub struct Penalized {
    /// The parameter and its units.
    pub unit: Unit,
    /// The strength λ over the progress of the window.
    pub strength: Box<dyn Curve + Send + Sync>,
}

/// Where a penalty enters the step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Apply {
    /// Its gradient is added to that of the parameter, without autodiff. The reported loss is that of the objective.
    #[default]
    Gradient,
    /// It is added to the loss.
    Loss,
    /// Its proximal step follows that of the optimizer, with the learning rate times the strength: exact zeros.
    Proximal,
}

#[derive(Debug, Clone, Copy)]
struct Threshold {
    criterion: Criterion,
    /// The threshold; the strength if `None`.
    value: Option<f64>,
}

struct Weakest {
    score: Box<dyn Score + Send>,
    level: f64,
}

impl Penalty {
    /// A penalty that has not acted yet.
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        groups: Vec<Penalized>,
        regularizer: Box<dyn Regularizer + Send>,
        when: When,
    ) -> Self {
        Self {
            name: name.into(),
            groups,
            regularizer,
            when,
            apply: Apply::default(),
            threshold: None,
            after: After::Release,
            weakest: None,
            seed: None,
            chosen: BTreeMap::new(),
            masks: Masks::default(),
            changed: Changed::Nothing,
        }
    }

    /// Sets where the penalty enters the step.
    ///
    /// # Panics
    ///
    /// In training, if the regularizer has no proximal step.
    #[must_use]
    pub fn with_apply(mut self, apply: Apply) -> Self {
        self.apply = apply;
        self
    }

    /// Sets groups to zero if their norm is at most `value`, or at most the strength of the step if there is no value
    /// (Distiller's rule).
    #[must_use]
    pub fn with_threshold(mut self, criterion: Criterion, value: Option<f64>) -> Self {
        self.threshold = Some(Threshold { criterion, value });
        self
    }

    /// Sets whether the masks of the last step's threshold are kept after the window.
    #[must_use]
    pub fn with_after(mut self, after: After) -> Self {
        self.after = after;
        self
    }

    /// Penalizes only the units that a level of this score would drop when the window opens. They are chosen once. The
    /// score must need only weights.
    #[must_use]
    pub fn with_weakest(mut self, score: Box<dyn Score + Send>, level: f64) -> Self {
        self.weakest = Some(Weakest { score, level });
        self
    }

    /// Sets the seed of the run, for a score of the [weakest units](Self::with_weakest) that draws random numbers;
    /// there is no default.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Checks the settings, and returns the first problem.
    fn check_settings(&self) -> Result<(), String> {
        self.when.check()?;
        // Gradients and losses of several penalties can be added, but a parameter can be written only once.
        let writes = self.apply == Apply::Proximal || self.threshold.is_some();
        if writes || self.weakest.is_some() {
            let mut paths = self
                .groups
                .iter()
                .map(|g| &g.unit.parameter.path)
                .collect::<Vec<_>>();
            paths.sort();
            if let Some(two) = paths.windows(2).find(|two| two[0] == two[1]) {
                return Err(format!(
                    "`{}` is penalized twice, which is not possible with a threshold, proximal steps or weakest units",
                    two[0]
                ));
            }
        }
        if let Some(Weakest { score, .. }) = &self.weakest {
            let needs = score.needs();
            if needs != Needs::Weight {
                return Err(format!(
                    "the score of its weakest units must need only weights, but needs {needs:?}"
                ));
            }
            if score.draws() && self.seed.is_none() {
                let what = "the score of its weakest units draws random numbers";
                return Err(format!(
                    "{what}: give it the seed of the run, `Penalty::with_seed`"
                ));
            }
        }
        Ok(())
    }

    /// The rows of each group and the strength in this step; empty outside of the window.
    fn rows<M: Module>(&self, clock: &Clock, model: &M) -> Vec<(&Penalized, Tensor<2>, f64)> {
        let Some(progress) = self.when.active(clock) else {
            return Vec::new();
        };
        let weights = flat(model, self.groups.iter().map(|g| &g.unit.parameter));
        let rows = |(groups, weight): (_, Tensor<1>)| {
            let groups: &Penalized = groups;
            let strength = groups.strength.value_at(progress);
            (groups, groups.unit.fold.rows(weight), strength)
        };
        self.groups.iter().zip(weights).map(rows).collect()
    }

    /// `changed` for penalized units, and `rows` for all others.
    fn where_chosen(&self, unit: &Unit, rows: Tensor<2>, changed: Tensor<2>) -> Tensor<2> {
        match self.chosen.get(&unit.parameter.path) {
            Some(chosen) => {
                let spared = chosen.clone().equal_scalar(0.0);
                let [units, members] = rows.dims();
                let spared = spared.reshape([units, 1]).expand([units, members]);
                changed.mask_where(spared, rows)
            }
            None => changed,
        }
    }

    fn choose<M: Module>(&mut self, clock: &Clock, model: &M) {
        let Some(weakest) = &self.weakest else {
            return;
        };
        let weights = flat(model, self.groups.iter().map(|g| &g.unit.parameter));
        for (groups, weight) in self.groups.iter().zip(weights) {
            let rows = groups.unit.fold.rows(weight);
            let path = groups.unit.parameter.path.clone();
            let mut evidence = Evidence::new(rows);
            evidence.seed = self.seed.map(|seed| {
                let name = format!("weakest.{}.{path}", self.name);
                stream(seed, &name, clock.global_step()).random()
            });
            let candidate = Candidate::new(weakest.score.score(&evidence));
            let keep = Level::default().keep(&[candidate], weakest.level).remove(0);
            self.chosen.insert(path, keep.bool_not().float());
        }
    }
}

impl<M: Module> Policy<M> for Penalty {
    fn name(&self) -> &str {
        &self.name
    }

    fn check(&self) -> Result<(), String> {
        self.check_settings()
    }

    fn before_forward(&mut self, clock: &Clock, model: &M) -> Changed {
        if self.chosen.is_empty() && self.when.active(clock).is_some() {
            self.choose(clock, model);
        }
        Changed::Nothing
    }

    fn loss_term(&mut self, clock: &Clock, model: &M) -> Option<Tensor<1>> {
        if self.apply != Apply::Loss {
            return None;
        }
        let progress = self.when.active(clock)?;
        let mut tracked = Tracked::default();
        model.visit(&mut tracked);
        let term = |groups: &Penalized| {
            let unit = &groups.unit;
            let weight = tracked.values.get(&unit.parameter.id)?;
            let rows = unit.fold.rows(weight.clone());
            let zeros = rows.zeros_like();
            let rows = self.where_chosen(unit, zeros, rows);
            let strength = groups.strength.value_at(progress);
            Some(self.regularizer.value(rows, strength))
        };
        self.groups.iter().filter_map(term).reduce(|a, b| a + b)
    }

    fn before_update(&mut self, clock: &Clock, model: &M, gradients: &mut GradientsParams) {
        if self.apply != Apply::Gradient {
            return;
        }
        let mut terms = Values::new();
        for (groups, rows, strength) in self.rows(clock, model) {
            let zeros = rows.zeros_like();
            let term = self.regularizer.gradient(rows, strength);
            let term = groups
                .unit
                .flat(self.where_chosen(&groups.unit, zeros, term));
            let id = groups.unit.parameter.id;
            let term = match terms.remove(&id) {
                Some(sum) => sum + term,
                None => term,
            };
            terms.insert(id, term);
        }
        edit_gradients(model, gradients, &mut Add(terms));
    }

    fn after_update(&mut self, clock: &Clock, rate: f64, mut model: M) -> M {
        if self.apply == Apply::Proximal {
            let mut stepped = Values::new();
            for (groups, rows, strength) in self.rows(clock, &model) {
                let step = self.regularizer.proximal(rows.clone(), rate * strength);
                let step = step.expect("a recipe asks for a proximal step only where there is one");
                let step = self.where_chosen(&groups.unit, rows, step);
                stepped.insert(groups.unit.parameter.id, groups.unit.flat(step));
            }
            model = replace(model, stepped);
        }
        let Some(threshold) = self.threshold else {
            return model;
        };
        let mut masks = Masks::default();
        for (groups, rows, strength) in self.rows(clock, &model) {
            let value = threshold.value.unwrap_or(strength);
            let keep = threshold.criterion.keep(rows, value);
            masks.insert(&groups.unit.parameter, groups.unit.spread(keep));
        }
        model = masks.apply(model);
        if self.after == After::Hold && self.when.is_last_active(clock) {
            self.masks = masks;
            self.changed = Changed::Masks;
        }
        model
    }

    fn end_step(&mut self, _: &Clock) -> Changed {
        std::mem::replace(&mut self.changed, Changed::Nothing)
    }

    fn outcomes(&self, clock: &Clock) -> Vec<PolicyOutcome> {
        let (passed, all) = (self.when.moments_passed(clock), self.when.window.count());
        let missed = self.when.missed(clock);
        let last = self.when.named(self.when.window.last());
        let asked = format!("a penalty at {all} moments, the last at {last}");
        let outcome = PolicyOutcome::new(self.name.clone(), asked, passed.to_string());
        vec![outcome.with_missed(missed)]
    }

    fn masks(&self) -> Option<&Masks> {
        Some(&self.masks)
    }

    fn record(&self) -> PolicyRecord {
        record(&self.masks, &self.chosen)
    }

    /// The weakest units are chosen again.
    fn thinned_record(&self, kept_indices: &KeptIndices) -> PolicyRecord {
        record(&kept_indices.gather_masks(&self.masks), &BTreeMap::new())
    }

    fn restore(
        &mut self,
        record: &PolicyRecord,
        inventory: &Inventory,
        device: &Device,
    ) -> Result<(), UnfitRecord> {
        let unfit = |reason: String| UnfitRecord {
            policy: self.name.clone(),
            reason,
        };
        let file = |name: &str| record.get(name).ok_or_else(|| unfit(format!("no {name}")));
        self.masks = Masks::from_bytes(file(MASKS)?, inventory, device)
            .map_err(|error| unfit(error.to_string()))?;
        self.chosen =
            vectors_from_bytes(file(CHOSEN)?, device).map_err(|error| unfit(error.to_string()))?;
        Ok(())
    }
}

const MASKS: &str = "masks.safetensors";
const CHOSEN: &str = "chosen.safetensors";

fn record(masks: &Masks, chosen: &BTreeMap<String, Tensor<1>>) -> PolicyRecord {
    let masks = masks.to_bytes().expect("masks are plain bytes");
    PolicyRecord::from([
        (MASKS.to_owned(), masks),
        (CHOSEN.to_owned(), vectors_to_bytes(chosen)),
    ])
}

/// Parameters that are tracked by autodiff, flat.
#[derive(Default)]
struct Tracked {
    values: Values,
}

impl ModuleVisitor for Tracked {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        let count = value.shape().num_elements();
        self.values.insert(param.id, value.reshape([count]));
    }
}

/// Adds flat terms to gradients.
struct Add(Values);

impl Edit for Add {
    fn wants(&self, id: ParamId) -> bool {
        self.0.contains_key(&id)
    }

    fn edit<const D: usize>(&mut self, id: ParamId, gradient: Tensor<D>) -> Tensor<D> {
        let term = self.0[&id].clone().reshape(gradient.shape());
        gradient + term
    }
}

impl fmt::Debug for Penalty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Penalty")
            .field("name", &self.name)
            .field("when", &self.when)
            .field("apply", &self.apply)
            .field("threshold", &self.threshold)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Penalized {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Penalized")
            .field("unit", &self.unit)
            .finish_non_exhaustive()
    }
}
