mod dependency;
mod norms;
mod parameters;
mod penalty;
mod prune;

use std::collections::BTreeSet;

use burn::module::{Module, ParamId};
use calcine_fold::Grain;
use calcine_graph::{Axes, Graph, Op};
use calcine_params::Inventory;
use calcine_train::{Driver, Hold, Policy, RateEntry, RatePlan, Rewind, WindowUnit};

use crate::error::{Found, Problems, RecipeError};
use crate::policy::{Kind, length, missed};
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
}

impl Recipe {
    /// The recipe as a [`Driver`] for a model, in a run of [`Train::epochs`](crate::Train) epochs.
    ///
    /// # Errors
    ///
    /// If a name matches no parameter, a grain does not fit a weight, or a policy never fires in a run
    /// of this length; with every problem and its place.
    pub fn bind<M: Module>(
        &self,
        model: &M,
        steps_per_epoch: u64,
    ) -> Result<Driver<M>, RecipeError> {
        self.bind_with(model, None, steps_per_epoch)
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
        let thinning = self.thinning();
        let norms = thinning.map_or_else(Default::default, Thinning::norm_features);
        match graph.axes_with(norms) {
            Ok(axes) => self.bind_with(model, Some((graph, &axes)), steps_per_epoch),
            Err(error) => {
                let found = Found {
                    span: 0..0,
                    message: format!("what is cut together cannot be found: {error}"),
                };
                Err(RecipeError::new(self.file.clone(), &self.text, vec![found]))
            }
        }
    }

    fn bind_with<M: Module>(
        &self,
        model: &M,
        traced: Option<(&Graph, &Axes)>,
        steps_per_epoch: u64,
    ) -> Result<Driver<M>, RecipeError> {
        let problems = Problems::default();
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
        let epochs = parts.train.epochs;
        let mut policies: Vec<Box<dyn Policy<M>>> = Vec::new();
        let mut rates = RatePlan::constant(parts.train.optimizer.lr);
        for policy in &parts.policies {
            let when = policy.moments(epochs, steps_per_epoch);
            let run = length(when.unit, epochs, steps_per_epoch);
            if when.window.first() >= run {
                let name = &policy.name.value;
                let message = format!(
                    "policy of `{name}` never fires: it begins at {} of a run of {run}",
                    when.window.first()
                );
                problems.add(&policy.when.span, message);
            }
            self.check_thinning(policy, &when, steps_per_epoch, &problems);
            let bound = Bound {
                inventory: &inventory,
                graph,
                axes,
                frozen: &frozen,
                problems: &problems,
                when,
                steps_per_epoch,
                seed: parts.train.seed,
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
        let found = problems.into_inner();
        if found.is_empty() {
            Ok(Driver::new(steps_per_epoch, policies, rates))
        } else {
            Err(RecipeError::new(self.file.clone(), &self.text, found))
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
                pruner.grain.value == Grain::Element && policy.masks.hold == Hold::Always
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

    /// What in a run of this length will not happen though the recipe says so: moments at which a
    /// policy would fire after the run's end. One line each; not errors, as runs may be cut short.
    #[must_use]
    pub fn warnings(&self, steps_per_epoch: u64) -> Vec<String> {
        let epochs = self.parts.train.epochs;
        let warn = |policy: &crate::policy::Policy| {
            let when = policy.moments(epochs, steps_per_epoch);
            let run = length(when.unit, epochs, steps_per_epoch);
            let word = match when.unit {
                WindowUnit::Epochs => "epochs",
                WindowUnit::Steps => "steps",
            };
            let missed = missed(&when.window, run);
            (policy.kind == Kind::Pruner && missed > 0).then(|| {
                format!(
                    "`{}` fires {missed} more times after the run's {run} {word}, so it does not \
                     come to its last level",
                    policy.name.value
                )
            })
        };
        let mut warnings: Vec<String> = self.parts.policies.iter().filter_map(warn).collect();
        let at = self.thinning().map_or(&[][..], |thinning| &thinning.at);
        if let Some(epoch) = at.iter().find(|&&epoch| epoch > epochs) {
            warnings.push(format!(
                "the network is not thinned before epoch {epoch}: the run has {epochs}"
            ));
        }
        warnings
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
fn used<'a, T>(
    instances: &'a [T],
    policy: &crate::policy::Policy,
    name: impl Fn(&T) -> &At<String>,
) -> &'a T {
    let mut instances = instances.iter();
    let found = instances.find(|instance| name(instance).value == policy.name.value);
    found.expect("checked when the recipe was read")
}
