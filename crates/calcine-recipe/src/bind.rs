mod dependency;
mod norms;
mod parameters;
mod penalty;
mod prune;

use std::collections::BTreeSet;

use burn::module::{Module, ParamId};
use calcine_fold::Granularity;
use calcine_graph::{Axes, Graph, Op};
use calcine_params::Inventory;
use calcine_train::{Driver, Hold, Policy, RateEntry, RatePlan, Rewind, WindowUnit};

use crate::duty::Duty;
use crate::error::{Found, Problems, RecipeError};
use crate::length;
use crate::policy::Kind;
use crate::pruner::Pruner;
use crate::recipe::Recipe;
use crate::section::At;
use crate::thinning::Thinning;

/// What binding one policy needs to know.
struct Bound<'a> {
    inventory: &'a Inventory,
    /// Of a traced model.
    graph: Option<&'a Graph>,
    /// What is cut together, of a traced model.
    axes: Option<&'a Axes>,
    /// Parameters that do not train.
    frozen: &'a BTreeSet<ParamId>,
    problems: &'a Problems,
    when: calcine_train::When,
    steps_per_epoch: u64,
    seed: u64,
    /// Whether the network is thinned.
    thins: bool,
}

impl Recipe {
    /// The recipe as a [`Driver`] for a model, in a run of [`Train::epochs`](crate::Train) epochs of so many
    /// optimizer steps each. Of a loop that accumulates the gradients of several batches, these are fewer than
    /// batches.
    ///
    /// # Errors
    ///
    /// With every problem and its place: if a name matches no parameter, a granularity does not fit a weight, a policy
    /// or a table does nothing in a run of this length, a pruner can drop nothing of this model, `[train]` has no
    /// `lr`, or the recipe has a table that a driver does not carry out (see
    /// [`bind_carrying_out`](Self::bind_carrying_out)).
    pub fn bind<M: Module>(
        &self,
        model: &M,
        steps_per_epoch: u64,
    ) -> Result<Driver<M>, RecipeError> {
        self.bind_carrying_out(&[], model, None, steps_per_epoch)
    }

    /// The same with the graph of the model, traced, which tells what is cut together (what
    /// `dependency = "auto"` needs), which batch norm follows which layer (for `norm_scale` and
    /// `fold_norm`), and how many groups a convolution has. The model may be the traced network or the one it was traced from.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind), and if the graph contradicts itself.
    pub fn bind_traced<M: Module>(
        &self,
        model: &M,
        graph: &Graph,
        steps_per_epoch: u64,
    ) -> Result<Driver<M>, RecipeError> {
        self.bind_carrying_out(&[], model, Some(graph), steps_per_epoch)
    }

    /// The same for a caller who carries out these tables, which a driver does not: who thins the network,
    /// trains it quantized, or asks the teacher. [`duties`](Self::duties) are those that the recipe has.
    ///
    /// # Errors
    ///
    /// As [`bind_traced`](Self::bind_traced).
    pub fn bind_carrying_out<M: Module>(
        &self,
        duties: &[Duty],
        model: &M,
        graph: Option<&Graph>,
        steps_per_epoch: u64,
    ) -> Result<Driver<M>, RecipeError> {
        let problems = Problems::default();
        self.check_run(duties, steps_per_epoch, &problems);
        let norms = self
            .thinning()
            .map_or_else(Default::default, Thinning::norm_features);
        let axes = match graph.map(|graph| graph.axes_with(norms)) {
            Some(Ok(axes)) => Some(axes),
            Some(Err(error)) => {
                let message = format!("what is cut together cannot be found: {error}");
                problems.add(&(0..0), message);
                None
            }
            None => None,
        };
        // Without a sound graph there is nothing to bind to. All other problems are found at once.
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

    /// What does not depend on the model.
    fn check_run(&self, duties: &[Duty], steps_per_epoch: u64, problems: &Problems) {
        let parts = &self.parts;
        if steps_per_epoch == 0 {
            let message = "`steps_per_epoch` is 0: an epoch has at least one step (is there less data than a \
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
            parts.thinning.as_ref().map(|at| (Duty::Thin, &at.span)),
            parts
                .quantization
                .as_ref()
                .map(|at| (Duty::Quantize, &at.span)),
            parts
                .distillation
                .as_ref()
                .map(|at| (Duty::Distill, &at.span)),
        ];
        for (duty, span) in spans.into_iter().flatten() {
            if !duties.contains(&duty) {
                let message = format!(
                    "a driver does not carry out `{duty}`, but `calcine_run::Experiment::train` does. In a loop of your \
                     own {} does it, and `Recipe::bind_carrying_out` binds; else leave the table out",
                    duty.carried_out_by()
                );
                problems.add(span, message);
            }
        }
        length::check(parts, length::Source::Run { steps_per_epoch }, problems);
    }

    /// A driver; `None` if there is a problem, whether it was found here or before.
    fn bind_policies<M: Module>(
        &self,
        model: &M,
        traced: Option<(&Graph, &Axes)>,
        steps_per_epoch: u64,
        problems: &Problems,
    ) -> Option<Driver<M>> {
        let mut inventory = Inventory::of(model);
        let (graph, axes) = traced.unzip();
        if let Some(graph) = graph {
            tell_groups(&mut inventory, graph);
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
                            rates = rates.with(RateEntry {
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

    /// A policy that is at work while the network is thinned must be one that can follow.
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
                "`{name}` is at work when the network is thinned before epoch {epoch}, and what it has \
                 chosen of units cannot follow: end it by then, or thin later"
            );
            problems.add(&policy.when.span, message);
        }
    }

    /// What in a run of this length will not happen though the recipe says so. One line each; not errors, as
    /// runs may be cut short. What depends on the model, [`Driver::warnings`] says.
    #[must_use]
    pub fn warnings(&self, steps_per_epoch: u64) -> Vec<String> {
        length::warnings(&self.parts, steps_per_epoch)
    }
}

/// What the graph says of the groups of convolutions.
fn tell_groups(inventory: &mut Inventory, graph: &Graph) {
    for node in &graph.nodes {
        if let Op::Convolution(convolution) | Op::TransposedConvolution { convolution, .. } =
            &node.op
            && let Some(&weight) = node.inputs.get(1)
        {
            inventory.tell_groups(&graph.value(weight).name, convolution.groups);
        }
    }
}

/// The instance that a policy names.
pub(crate) fn used<'a, T>(
    instances: &'a [T],
    policy: &crate::policy::Policy,
    name: impl Fn(&T) -> &At<String>,
) -> &'a T {
    let mut instances = instances.iter();
    let found = instances.find(|instance| name(instance).value == policy.name.value);
    found.expect("checked when the recipe was read")
}
