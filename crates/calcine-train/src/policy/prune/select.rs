//! From weights and gradients to masks.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use calcine_criteria::{Candidate, Evidence, Needs, Reference, Rescale, Scores};
use calcine_params::{flat, flat_gradients};
use calcine_schedule::Clock;
use rand::RngExt;

use super::{Batches, Group, Joint, Prune, Ranking, Unit};
use crate::stream;

impl Prune {
    /// Scores, selects, and takes the new masks.
    pub(super) fn decide<M: Module>(&mut self, clock: &Clock, model: &M, progress: f64) {
        for index in 0..self.targets.len() {
            let units = self.candidates(clock, model, index);
            let target = &self.targets[index];
            let mut units = units.into_iter();
            let of_group = |group: &Group| joined(units.by_ref().take(group.units.len()), group);
            let candidates: Vec<_> = target.groups.iter().map(of_group).collect();
            let kept = self.select.keep(&candidates, target.amount.at(progress));
            drop(candidates);
            for (group, keep) in target.groups.iter().zip(kept) {
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
        self.activities.clear();
        if let Batches::Count(_) = self.settings.batches {
            self.scores.clear();
            self.growths.clear();
            self.state.batches = 0;
        }
    }

    /// With what was seen of the unit's activations, if the score needs it.
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

    /// One for each parameter of a target.
    fn candidates<M: Module>(&mut self, clock: &Clock, model: &M, target: usize) -> Vec<Candidate> {
        let target = &self.targets[target];
        let weights = flat(model, target.units().map(|unit| &unit.parameter));
        let mut candidates = Vec::with_capacity(weights.len());
        for (unit, weight) in target.units().zip(weights) {
            let path = &unit.parameter.path;
            let seed = self.seed(clock, path);
            let weight = self.ranked(model, unit, weight);
            let known = match unit.fold.in_place(weight.clone()) {
                Some(weight) => Evidence::in_place(weight),
                None => Evidence::new(unit.fold.rows(weight)),
            };
            let scores = match self.scores.get(path) {
                Some(sum) => Scores::Values(sum.clone().div_scalar(self.state.batches as f64)),
                None => {
                    let needs = self.score.needs();
                    let evidence = evidence(model, unit, known.clone(), needs, seed);
                    self.score
                        .deferred(&self.with_activity(evidence, unit, needs))
                }
            };
            let growth = self.growth.as_ref().map(|score| {
                let sum = self.growths.get(path).cloned();
                // Its lots are others than the score's.
                let evidence = || evidence(model, unit, known.clone(), score.needs(), !seed);
                sum.unwrap_or_else(|| score.score(&evidence()))
            });
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
            let candidate = Candidate::new(scores)
                .with_kept(kept)
                .with_reference(reference)
                .with_growth(growth)
                .with_cost(unit.cost)
                .with_seed(seed);
            candidates.push(candidate);
        }
        candidates
    }

    /// Adds the scores of a batch.
    pub(super) fn collect<M: Module>(&mut self, model: &M, gradients: &GradientsParams) {
        let units = || self.targets.iter().flat_map(|target| target.units());
        let parameters = || units().map(|unit| &unit.parameter);
        let weights = flat(model, parameters());
        let gradients = flat_gradients(model, gradients, parameters());
        let (mut scores, mut growths) = (Vec::new(), Vec::new());
        for ((unit, weight), gradient) in units().zip(weights).zip(gradients) {
            let weight = self.ranked(model, unit, weight);
            // A parameter that the loss does not reach changes it by nothing.
            let gradient = gradient.unwrap_or_else(|| weight.zeros_like());
            let rows = unit.fold.rows(weight);
            let evidence = Evidence::new(rows).with_gradient(unit.fold.rows(gradient));
            let path = &unit.parameter.path;
            if self.score.needs() == Needs::Gradient {
                scores.push((path.clone(), self.score.score(&evidence)));
            }
            if let Some(growth) = &self.growth
                && growth.needs() == Needs::Gradient
            {
                growths.push((path.clone(), growth.score(&evidence)));
            }
        }
        add(&mut self.scores, scores);
        add(&mut self.growths, growths);
        self.state.batches += 1;
    }

    /// The weight that is scored.
    fn ranked<M: Module>(&self, model: &M, unit: &Unit, weight: Tensor<1>) -> Tensor<1> {
        match (self.settings.ranking, &unit.norm) {
            (Ranking::Folded, Some(norm)) => norm.fold_into(model, weight),
            _ => weight,
        }
    }

    fn seed(&self, clock: &Clock, path: &str) -> u64 {
        let name = format!("prune.{}.{path}", self.name);
        stream(self.settings.seed, &name, clock.global_step()).random()
    }
}

fn evidence<M: Module>(
    model: &M,
    unit: &Unit,
    known: Evidence,
    needs: Needs,
    seed: u64,
) -> Evidence {
    let evidence = known.with_seed(seed);
    match (needs, &unit.norm) {
        (Needs::NormScale, Some(norm)) => evidence.with_norm_scale(norm.scale(model)),
        _ => evidence,
    }
}

fn add(sums: &mut BTreeMap<String, Tensor<1>>, scores: Vec<(String, Tensor<1>)>) {
    for (path, scores) in scores {
        let sum = match sums.remove(&path) {
            Some(sum) => sum + scores,
            None => scores,
        };
        sums.insert(path, sum);
    }
}

/// One candidate for a group.
fn joined(units: impl Iterator<Item = Candidate>, group: &Group) -> Candidate {
    let combine = |a: Option<Tensor<1>>, b: Option<Tensor<1>>| match group.joint {
        Joint::Sum | Joint::Mean => a.zip(b).map(|(a, b)| a + b),
        Joint::Max => a.zip(b).map(|(a, b)| a.max_pair(b)),
        Joint::Leader => a,
    };
    let join = |mut all: Candidate, unit: Candidate| {
        let scores = combine(Some(all.scores.values()), Some(unit.scores.values()));
        all.scores = scores.expect("both have scores").into();
        all.growth = combine(all.growth, unit.growth);
        all.cost += unit.cost;
        all
    };
    let mut all = units.reduce(join).expect("a group is not empty");
    if group.joint == Joint::Mean {
        let count = group.units.len() as f64;
        all.scores = all.scores.values().div_scalar(count).into();
        all.growth = all.growth.map(|growth| growth.div_scalar(count));
    }
    all
}
