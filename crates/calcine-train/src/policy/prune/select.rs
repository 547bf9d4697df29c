//! Computes masks from weights and gradients.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Bool, FloatDType, Tensor};
use calcine_criteria::{Aggregation, Candidate, Evidence, Needs, Reference, Rescale, Scores};
use calcine_params::{flat, flat_gradients};
use calcine_schedule::Clock;
use rand::RngExt;

use super::state::Pending;
use super::{Batches, Changed, Group, Prune, Ranking, Unit};
use crate::stream;

impl Prune {
    /// Scores, selects, and sets the new masks; or waits, if the scores of all batches are not finite.
    pub(super) fn decide<M: Module>(&mut self, clock: &Clock, model: &M, progress: f64) -> Changed {
        let batches = match self.needs_gradients() {
            true => self.batches_that_count(),
            false => 1.0,
        };
        if batches == 0.0 {
            self.wait_again(progress);
            return Changed::Nothing;
        }
        for index in 0..self.targets.len() {
            let units = self.candidates(clock, model, index, batches);
            let target = &self.targets[index];
            let mut units = units.into_iter();
            let (mut groups, mut candidates) = (Vec::new(), Vec::new());
            for group in &target.groups {
                let units: Vec<_> = units.by_ref().take(group.units.len()).collect();
                match units.into_iter().collect::<Option<Vec<_>>>() {
                    Some(units) => {
                        groups.push(group);
                        candidates.push(joined(units, group));
                    }
                    None => self.warn_of(group),
                }
            }
            let kept = self
                .select
                .keep(&candidates, target.amount.value_at(progress));
            drop(candidates);
            for (group, keep) in groups.into_iter().zip(kept) {
                let dropped = keep.bool_not();
                for unit in group.units.iter().chain(&group.followers) {
                    let dropped = unit.spread(dropped.clone());
                    self.masks.insert_dropped(&unit.parameter, dropped);
                }
            }
        }
        if self.select.rescale() == Rescale::Kept {
            self.masks.rescale_kept();
        }
        self.state.selected = Some(progress);
        self.activities.clear();
        if let Batches::Count(_) = self.settings.batches {
            self.forget_batches();
        }
        Changed::Masks
    }

    /// Reads the number of batches in the sums.
    fn batches_that_count(&self) -> f64 {
        let counted = self.counted.clone();
        counted.map_or(0.0, |counted| f64::from(counted.into_scalar::<f32>()))
    }

    fn forget_batches(&mut self) {
        self.scores.clear();
        self.growths.clear();
        self.counted = None;
        self.state.batches = 0;
    }

    fn wait_again(&mut self, progress: f64) {
        let (name, batches) = (&self.name, self.state.batches);
        tracing::warn!(
            "`{name}`: the scores of all {batches} batches are not finite; it keeps its \
             masks and waits for other batches"
        );
        self.forget_batches();
        let left = self.to_wait().max(1);
        self.state.pending = Some(Pending { progress, left });
    }

    fn warn_of(&self, group: &Group) {
        let paths = group.units.iter().map(|unit| unit.parameter.path.as_str());
        let paths: Vec<_> = paths.collect();
        tracing::warn!(
            "`{}`: {} is not pruned: it is ranked by gradients but has none, because it is frozen or the loss does \
             not reach it",
            self.name,
            paths.join(", ")
        );
    }

    /// Adds the activations of the unit, if the score needs them.
    fn with_activity(&self, evidence: Evidence, unit: &Unit, needs: Needs) -> Evidence {
        let found = self.activities.get(&unit.parameter.path).cloned();
        let found = found.map(|found| found.to_device(&evidence.device()));
        match (needs, found) {
            (Needs::Activity(_), Some(activity)) => evidence.with_activity(activity),
            (Needs::InputNorm, Some(norms)) => {
                evidence.with_input_norm(unit.fold.spread_inputs(norms))
            }
            _ => evidence,
        }
    }

    /// One candidate for each parameter of a target; `None` for a parameter without a gradient that is ranked by
    /// gradients.
    fn candidates<M: Module>(
        &mut self,
        clock: &Clock,
        model: &M,
        target: usize,
        batches: f64,
    ) -> Vec<Option<Candidate>> {
        let target = &self.targets[target];
        let weights = flat(model, target.units().map(|unit| &unit.parameter));
        let mut candidates = Vec::with_capacity(weights.len());
        for (unit, weight) in target.units().zip(weights) {
            let path = &unit.parameter.path;
            let weight = self.ranked(model, unit, weight);
            let known = match unit.fold.in_place(weight.clone()) {
                Some(weight) => Evidence::in_place(weight),
                None => Evidence::new(unit.fold.rows(weight)),
            };
            let seed = self.seed("prune", clock, path);
            let needs = self.score.needs();
            let seen = evidence(model, unit, known.clone(), needs, seed);
            let scores = match (needs, self.scores.get(path)) {
                (Needs::Gradient, Some(sum)) => {
                    let mean = sum.clone().div_scalar(batches);
                    Some(Scores::Values(self.score.of_mean(mean, &seen)))
                }
                (Needs::Gradient, None) => None,
                _ => Some(self.score.deferred(&self.with_activity(seen, unit, needs))),
            };
            let grown = self.growth.as_ref().map(|score| {
                let seed = self.seed("grow", clock, path);
                let seen = evidence(model, unit, known.clone().growing(), score.needs(), seed);
                match (score.needs(), self.growths.get(path)) {
                    (Needs::Gradient, Some(sum)) => {
                        Some(score.of_mean(sum.clone().div_scalar(batches), &seen))
                    }
                    (Needs::Gradient, None) => None,
                    _ => Some(score.score(&seen)),
                }
            });
            let (Some(scores), Some(growth)) = (scores, grown.map_or(Some(None), |g| g.map(Some)))
            else {
                candidates.push(None);
                continue;
            };
            let measure = || self.select.measure(&known.rows(), &scores.values());
            let reference = match self.select.reference() {
                Reference::None => None,
                Reference::Refreshed => measure(),
                Reference::Frozen => {
                    if !self.references.contains_key(path)
                        && let Some(measure) = measure()
                    {
                        self.references.insert(path.clone(), measure);
                    }
                    self.references.get(path).cloned()
                }
            };
            let kept = self.masks.keep(path).map(|keep| unit.decisions(keep));
            let (scores, growth) = match unit.is_tied() {
                true => (
                    unit.joined(scores.values()).into(),
                    growth.map(|growth| unit.joined(growth)),
                ),
                false => (scores, growth),
            };
            let mut candidate = Candidate::new(scores)
                .with_kept(kept)
                .with_reference(reference)
                .with_growth(growth)
                .with_cost(unit.cost);
            candidate.seed = seed;
            candidates.push(Some(candidate));
        }
        candidates
    }

    /// Adds the scores of a batch, if they are finite.
    pub(super) fn collect<M: Module>(&mut self, model: &M, gradients: &GradientsParams) {
        let units = || self.targets.iter().flat_map(|target| target.units());
        let parameters = || units().map(|unit| &unit.parameter);
        let weights = flat(model, parameters());
        let Some(device) = weights.first().map(Tensor::device) else {
            return;
        };
        let gradients = flat_gradients(model, gradients, parameters());
        let (mut scores, mut growths) = (Vec::new(), Vec::new());
        for ((unit, weight), gradient) in units().zip(weights).zip(gradients) {
            // A batch that does not reach a parameter adds zero; a parameter that no batch reaches has no score.
            let Some(gradient) = gradient else {
                continue;
            };
            let evidence = self.of_batch(model, unit, weight, gradient);
            let path = &unit.parameter.path;
            if self.score.needs() == Needs::Gradient {
                scores.push((path.clone(), self.score.of_batch(&evidence)));
            }
            if let Some(growth) = &self.growth
                && growth.needs() == Needs::Gradient
            {
                growths.push((path.clone(), growth.of_batch(&evidence.growing())));
            }
        }
        self.state.batches += 1;
        let all = scores.iter().chain(&growths).map(|(_, scores)| scores);
        let finite = all.map(|scores| scores.clone().is_finite().all().to_device(&device));
        let finite = finite.reduce(Tensor::bool_and);
        let finite = finite.unwrap_or_else(|| Tensor::<1, Bool>::full([1], true, &device));
        add(&mut self.scores, scores, &finite);
        add(&mut self.growths, growths, &finite);
        let one = finite.float().cast(FloatDType::F32);
        self.counted = Some(match self.counted.take() {
            Some(counted) => counted + one,
            None => one,
        });
    }

    /// A weight and its gradient in the form in which they are ranked.
    fn of_batch<M: Module>(
        &self,
        model: &M,
        unit: &Unit,
        weight: Tensor<1>,
        gradient: Tensor<1>,
    ) -> Evidence {
        let rows = |values: Tensor<1>| unit.fold.rows(values);
        match (self.settings.ranking, &unit.norm) {
            (Ranking::Folded, Some(norm)) => {
                let factor = norm.factor(model, &unit.parameter);
                let product = weight.clone() * gradient.clone();
                let by_folded =
                    (gradient / factor.clone()).mask_fill(factor.clone().equal_scalar(0.0), 0.0);
                Evidence::new(rows(weight * factor))
                    .with_gradient(rows(by_folded))
                    .with_weight_times_gradient(rows(product))
            }
            _ => Evidence::new(rows(weight)).with_gradient(rows(gradient)),
        }
    }

    /// The weight in the form in which it is scored.
    fn ranked<M: Module>(&self, model: &M, unit: &Unit, weight: Tensor<1>) -> Tensor<1> {
        match (self.settings.ranking, &unit.norm) {
            (Ranking::Folded, Some(norm)) => weight * norm.factor(model, &unit.parameter),
            _ => weight,
        }
    }

    /// The seed for the random numbers of a parameter in this step, if the pruner has a seed.
    fn seed(&self, what: &str, clock: &Clock, path: &str) -> Option<u64> {
        let name = format!("{what}.{}.{path}", self.name);
        let seed = self.settings.seed?;
        Some(stream(seed, &name, clock.global_step()).random())
    }
}

fn evidence<M: Module>(
    model: &M,
    unit: &Unit,
    mut evidence: Evidence,
    needs: Needs,
    seed: Option<u64>,
) -> Evidence {
    evidence.seed = seed;
    match (needs, &unit.norm) {
        (Needs::NormScale, Some(norm)) => evidence.with_norm_scale(norm.scale(model)),
        _ => evidence,
    }
}

/// Adds the scores of a batch, or zeros if they are not all `finite`.
fn add(
    sums: &mut BTreeMap<String, Tensor<1>>,
    scores: Vec<(String, Tensor<1>)>,
    finite: &Tensor<1, Bool>,
) {
    for (path, scores) in scores {
        let other = finite.clone().to_device(&scores.device()).bool_not();
        let scores = scores.clone().mask_fill(other.expand(scores.dims()), 0.0);
        let sum = match sums.remove(&path) {
            Some(sum) => sum + scores,
            None => scores,
        };
        sums.insert(path, sum);
    }
}

/// One candidate for a group: its scores and its references are aggregated.
fn joined(units: Vec<Candidate>, group: &Group) -> Candidate {
    let combine = |a: Option<Tensor<1>>, b: Option<Tensor<1>>| match group.aggregation {
        Aggregation::Sum | Aggregation::Mean => a.zip(b).map(|(a, b)| a + b),
        Aggregation::Max => a.zip(b).map(|(a, b)| a.max_pair(b)),
        Aggregation::First => a,
    };
    let join = |mut all: Candidate, unit: Candidate| {
        let scores = combine(Some(all.scores.values()), Some(unit.scores.values()));
        all.scores = scores.expect("both have scores").into();
        all.growth = combine(all.growth, unit.growth);
        all.reference = combine(all.reference, unit.reference);
        all.cost += unit.cost;
        all
    };
    let mut all = units
        .into_iter()
        .reduce(join)
        .expect("a group is not empty");
    if group.aggregation == Aggregation::Mean {
        let count = group.units.len() as f64;
        let mean = |sum: Option<Tensor<1>>| sum.map(|sum| sum.div_scalar(count));
        all.scores = all.scores.values().div_scalar(count).into();
        all.growth = mean(all.growth);
        all.reference = mean(all.reference);
    }
    all
}
