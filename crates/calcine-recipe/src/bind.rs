mod dependency;
mod norms;
mod parameters;
mod penalty;
mod prune;

use std::collections::BTreeSet;

use burn::module::{Module, ParamId};
use calcine_fold::Granularity;
use calcine_graph::{Axes, Graph};
use calcine_params::Inventory;
use calcine_train::{Driver, Hold, Policy, RateEntry, RatePlan, Rewind, WindowUnit};

use crate::error::{Found, Problems, RecipeError};
use crate::length;
use crate::policy::Kind;
use crate::pruner::Pruner;
use crate::recipe::Recipe;
use crate::runner_table::RunnerTable;
use crate::section::At;
use crate::thinning::Thinning;

/// The information for binding a policy.
struct Bound<'a> {
    inventory: &'a Inventory,
    /// The graph of a traced model.
    graph: Option<&'a Graph>,
    /// The dependency groups of a traced model.
    axes: Option<&'a Axes>,
    /// Parameters that are not trained.
    frozen: &'a BTreeSet<ParamId>,
    problems: &'a Problems,
    when: calcine_train::When,
    steps_per_epoch: u64,
    seed: u64,
    /// Whether the recipe thins the network.
    thins: bool,
}

impl Recipe {
    /// Creates the [`Driver`] of this recipe for a model, in a run of [`Train::epochs`](crate::Train) epochs with this
    /// number of optimizer steps each. (If the gradients of several batches are accumulated, there are fewer steps than
    /// batches.)
    ///
    /// # Errors
    ///
    /// All problems, with their positions: a name matches no parameter, a weight does not have a granularity, a policy
    /// or a table has no effect in a run of this length, a pruner cannot drop anything of this model, `[train]` has no
    /// `lr`, or the recipe has a table that a driver does not execute (see [`bind_for_runner`](Self::bind_for_runner)).
    pub fn bind<M: Module>(
        &self,
        model: &M,
        steps_per_epoch: u64,
    ) -> Result<Driver<M>, RecipeError> {
        self.bind_for_runner(&[], model, None, steps_per_epoch)
    }

    /// Like [`bind`](Self::bind), with the graph of the traced model. The graph defines which channels are removed
    /// together (for `dependency = "auto"`), which batch norm follows which layer (for `norm_scale` and `fold_norm`),
    /// and the groups of convolutions. The model may be the traced network, or the model that it was traced from.
    ///
    /// # Errors
    ///
    /// Those of [`bind`](Self::bind), and an inconsistent graph.
    pub fn bind_traced<M: Module>(
        &self,
        model: &M,
        graph: &Graph,
        steps_per_epoch: u64,
    ) -> Result<Driver<M>, RecipeError> {
        self.bind_for_runner(&[], model, Some(graph), steps_per_epoch)
    }

    /// Like [`bind_traced`](Self::bind_traced), for callers that execute the given tables themselves: that thin the
    /// network, train it with quantization, or run the teacher. [`runner_tables`](Self::runner_tables) lists the tables
    /// of the recipe.
    ///
    /// # Errors
    ///
    /// Those of [`bind_traced`](Self::bind_traced).
    pub fn bind_for_runner<M: Module>(
        &self,
        tables: &[RunnerTable],
        model: &M,
        graph: Option<&Graph>,
        steps_per_epoch: u64,
    ) -> Result<Driver<M>, RecipeError> {
        let problems = Problems::default();
        self.check_run(tables, steps_per_epoch, &problems);
        let norms = self
            .thinning()
            .map_or_else(Default::default, Thinning::norm_features);
        let axes = match graph.map(|graph| graph.axes_with(norms)) {
            Some(Ok(axes)) => Some(axes),
            Some(Err(error)) => {
                let message =
                    format!("the dependency groups of the channels cannot be found: {error}");
                problems.add(&(0..0), message);
                None
            }
            None => None,
        };
        // Without a consistent graph, binding is not possible. All other problems are collected first.
        let driver = match (graph, &axes) {
            (Some(_), None) => None,
            _ => {
                let traced = graph.zip(axes.as_ref());
                self.bind_policies(model, traced, steps_per_epoch.max(1), &problems)
            }
        };
        let found = problems.into_inner();
        match driver {
            Some(driver) if found.is_empty() => Ok(driver),
            _ => Err(self.refused(found)),
        }
    }

    fn refused(&self, found: Vec<Found>) -> RecipeError {
        RecipeError::of_found(self.file.clone(), &self.text, found)
    }

    /// Checks everything that does not depend on the model.
    fn check_run(&self, tables: &[RunnerTable], steps_per_epoch: u64, problems: &Problems) {
        let parts = &self.parts;
        if steps_per_epoch == 0 {
            let message = "`steps_per_epoch` is 0, expected at least 1 (is there less data than a \
                           batch?)";
            problems.add(&(0..0), message);
        }
        if !parts.trains {
            let message = "this recipe quantizes a network after training and has no `[train]`: there is no driver for it";
            problems.add(&(0..0), message);
            return;
        }
        if let Some(problem) = parts.train.problem() {
            problems.add(&parts.train_span, problem);
        }
        let spans = [
            parts
                .thinning
                .as_ref()
                .map(|at| (RunnerTable::Thin, &at.span)),
            parts
                .quantization
                .as_ref()
                .map(|at| (RunnerTable::Quantize, &at.span)),
            parts
                .distillation
                .as_ref()
                .map(|at| (RunnerTable::Distill, &at.span)),
        ];
        for (table, span) in spans.into_iter().flatten() {
            if !tables.contains(&table) {
                let message = format!(
                    "a driver does not execute `{table}`, but `calcine_run::Experiment::train` does. In your own \
                     loop, use {}, and bind with `Recipe::bind_for_runner`; otherwise remove the table",
                    table.executed_by()
                );
                problems.add(span, message);
            }
        }
        length::check(parts, length::Source::Run { steps_per_epoch }, problems);
    }

    /// Creates the driver; `None` if there is a problem, here or earlier.
    fn bind_policies<M: Module>(
        &self,
        model: &M,
        traced: Option<(&Graph, &Axes)>,
        steps_per_epoch: u64,
        problems: &Problems,
    ) -> Option<Driver<M>> {
        let mut inventory = Inventory::from_module(model);
        let (graph, axes) = traced.unzip();
        if let Some(graph) = graph {
            for (weight, groups) in graph.convolution_groups() {
                inventory.tell_groups(weight, groups);
            }
        }
        let trains = self.parts.pruners.iter().any(Pruner::needs_gradients);
        let frozen = match trains || !self.parts.regularizers.is_empty() {
            true => calcine_params::frozen(model),
            false => BTreeSet::new(),
        };
        let parts = &self.parts;
        let epochs = parts.train.epochs.max(1);
        let mut policies: Vec<Box<dyn Policy<M>>> = Vec::new();
        let mut rates = RatePlan::constant(parts.train.optimizer.lr.unwrap_or_default());
        for policy in &parts.policies {
            let when = policy.moments(epochs, steps_per_epoch);
            self.check_thinning(policy, &when, steps_per_epoch, problems);
            let bound = Bound {
                inventory: &inventory,
                graph,
                axes,
                frozen: &frozen,
                problems,
                when,
                steps_per_epoch,
                seed: parts.train.seed,
                thins: parts.thinning.is_some(),
            };
            match policy.kind {
                Kind::Pruner => {
                    let pruner = used(&parts.pruners, policy, |pruner| &pruner.name);
                    if let Some(prune) = prune::bind(pruner, policy, bound) {
                        policies.push(Box::new(prune));
                    }
                }
                Kind::Regularizer => {
                    let regularizer = used(&parts.regularizers, policy, |r| &r.name);
                    if let Some(penalty) = penalty::bind(regularizer, policy, bound) {
                        policies.push(Box::new(penalty));
                    }
                }
                Kind::Rate => {
                    let rate = used(&parts.rates, policy, |rate| &rate.name);
                    match rate.kind.build(epochs) {
                        Ok(schedule) => {
                            rates = rates.with_schedule(RateEntry {
                                schedule,
                                window: bound.when.window,
                                unit: bound.when.unit,
                            });
                        }
                        Err(error) => problems.add(&rate.name.span, error),
                    }
                }
            }
        }
        if let Some(rewind) = &parts.rewind {
            let at = rewind.at.value.clone();
            match Rewind::try_new(&inventory, rewind.to, at, rewind.restore) {
                Ok(rewind) => policies.push(Box::new(rewind)),
                Err(error) => problems.add(&rewind.at.span, error),
            }
        }
        if !problems.is_empty() {
            return None;
        }
        match Driver::try_new(steps_per_epoch, policies, rates) {
            Ok(driver) => Some(driver.with_epochs(epochs)),
            Err(error) => {
                problems.add(&(0..0), error);
                None
            }
        }
    }

    /// Checks that the policies that are active when the network is thinned support it.
    fn check_thinning(
        &self,
        policy: &crate::policy::Policy,
        when: &calcine_train::When,
        steps_per_epoch: u64,
        problems: &Problems,
    ) {
        let Some(thinning) = &self.parts.thinning else {
            return;
        };
        let name = &policy.name.value;
        let follows = match policy.kind {
            Kind::Rate => true,
            Kind::Pruner => {
                let pruner = used(&self.parts.pruners, policy, |pruner| &pruner.name);
                pruner.granularity.value == Granularity::Element
                    && policy.masks.hold == Hold::Always
            }
            Kind::Regularizer => {
                let regularizer = used(&self.parts.regularizers, policy, |r| &r.name);
                regularizer.weakest.is_none()
            }
        };
        let epochs = self.parts.train.epochs;
        let open = |epoch: &u64| {
            let moment = match when.unit {
                WindowUnit::Epochs => *epoch,
                WindowUnit::Steps => epoch.saturating_mul(steps_per_epoch),
            };
            when.window.first() < moment && moment <= when.window.last() && *epoch < epochs
        };
        let moments = thinning.value.moments(epochs);
        if let (false, Some(epoch)) = (follows, moments.iter().find(|epoch| open(epoch))) {
            let message = format!(
                "`{name}` is active when the network is thinned before epoch {epoch}, and the units \
                 that it has selected cannot be reduced: let it end before, or thin later"
            );
            problems.add(&policy.when.span, message);
        }
    }

    /// What the recipe requests but a run of this length does not reach, one line each. These are not errors, because
    /// runs may be shortened. For what depends on the model, see [`Driver::warnings`].
    #[must_use]
    pub fn warnings(&self, steps_per_epoch: u64) -> Vec<String> {
        length::warnings(&self.parts, steps_per_epoch)
    }
}

/// The pruner, regularizer or schedule that a policy names.
pub(crate) fn used<'a, T>(
    instances: &'a [T],
    policy: &crate::policy::Policy,
    name: impl Fn(&T) -> &At<String>,
) -> &'a T {
    let mut instances = instances.iter();
    let found = instances.find(|instance| name(instance).value == policy.name.value);
    found.expect("checked when the recipe was read")
}
