use burn::module::Module;
use calcine_fold::Fold;
use calcine_params::{Inventory, Parameter};
use calcine_train::{Driver, Policy, Prune, RateEntry, RatePlan, Target, Unit, WindowUnit};

use crate::amount::Amounts;
use crate::error::{Problems, RecipeError};
use crate::policy::{Kind, length, missed};
use crate::pruner::Pruner;
use crate::recipe::Recipe;
use crate::section::At;

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
        let problems = Problems::default();
        let inventory = Inventory::of(model);
        let epochs = self.train.epochs;
        let mut policies: Vec<Box<dyn Policy<M>>> = Vec::new();
        let mut rates = RatePlan::constant(self.train.optimizer.lr);
        for policy in &self.policies {
            let (window, unit) = policy
                .when
                .value
                .resolve(policy.kind, epochs, steps_per_epoch);
            let run = length(unit, epochs, steps_per_epoch);
            if window.first() >= run {
                let name = &policy.name.value;
                let message = format!(
                    "policy of `{name}` never fires: it begins at {} of a run of {run}",
                    window.first()
                );
                problems.add(&policy.when.span, message);
            }
            match policy.kind {
                Kind::Pruner => {
                    let pruner = self
                        .pruners
                        .iter()
                        .find(|p| p.name.value == policy.name.value);
                    let pruner = pruner.expect("checked when the recipe was read");
                    let targets = targets(pruner, &inventory, &problems);
                    let prune = Prune::new(
                        pruner.name.value.as_str(),
                        targets,
                        pruner.score.build(),
                        pruner.select.build(),
                        window,
                        unit,
                    );
                    policies.push(Box::new(prune.with_gradient_masks(policy.gradients)));
                }
                Kind::Rate => {
                    let rate = self
                        .rates
                        .iter()
                        .find(|r| r.name.value == policy.name.value);
                    let rate = rate.expect("checked when the recipe was read");
                    match rate.kind.build(epochs) {
                        Ok(schedule) => {
                            rates = rates.with(RateEntry {
                                schedule,
                                window,
                                unit,
                            });
                        }
                        Err(error) => problems.add(&rate.name.span, error),
                    }
                }
            }
        }
        let found = problems.into_inner();
        if found.is_empty() {
            Ok(Driver::new(steps_per_epoch, policies, rates))
        } else {
            Err(RecipeError::new(self.file.clone(), &self.text, found))
        }
    }

    /// What in a run of this length will not happen though the recipe says so: moments at which a
    /// policy would fire after the run's end. One line each; not errors, as runs may be cut short.
    #[must_use]
    pub fn warnings(&self, steps_per_epoch: u64) -> Vec<String> {
        let epochs = self.train.epochs;
        let warn = |policy: &crate::policy::Policy| {
            let (window, unit) = policy
                .when
                .value
                .resolve(policy.kind, epochs, steps_per_epoch);
            let run = length(unit, epochs, steps_per_epoch);
            let word = match unit {
                WindowUnit::Epochs => "epochs",
                WindowUnit::Steps => "steps",
            };
            let missed = missed(&window, run);
            (policy.kind == Kind::Pruner && missed > 0).then(|| {
                format!(
                    "`{}` fires {missed} more times after the run's {run} {word}, so it does not \
                     come to its last level",
                    policy.name.value
                )
            })
        };
        self.policies.iter().filter_map(warn).collect()
    }
}

/// The parameters of a pruner, cut into units; a name that matches nothing is a problem.
fn targets(pruner: &Pruner, inventory: &Inventory, problems: &Problems) -> Vec<Target> {
    let units = |parameters: Vec<&Parameter>| {
        parameters
            .into_iter()
            .filter_map(|parameter| unit(pruner, parameter, problems))
            .collect()
    };
    match &pruner.amounts {
        Amounts::One(amount) => {
            let mut patterns = Vec::new();
            for At { value, span } in &pruner.params {
                match inventory.select(&[value]) {
                    Ok(_) => patterns.push(value),
                    Err(error) => problems.add(span, error),
                }
            }
            let parameters = inventory.select(&patterns).unwrap_or_default();
            if parameters.is_empty() && patterns.len() == pruner.params.len() {
                let message = format!("`pruner.{}` has no parameter left", pruner.name.value);
                problems.add(&pruner.name.span, message);
            }
            vec![Target {
                parameters: units(parameters),
                amount: amount.value.curve(),
            }]
        }
        Amounts::ByPattern(amounts) => {
            let mut taken: Vec<String> = Vec::new();
            let mut targets = Vec::new();
            for (pattern, amount) in amounts {
                match inventory.select(&[&pattern.value]) {
                    Ok(parameters) => {
                        for parameter in &parameters {
                            if taken.contains(&parameter.path) {
                                let message = format!("`{}` has an amount already", parameter.path);
                                problems.add(&pattern.span, message);
                            }
                            taken.push(parameter.path.clone());
                        }
                        let amount = amount.value.curve();
                        targets.push(Target {
                            parameters: units(parameters),
                            amount,
                        });
                    }
                    Err(error) => problems.add(&pattern.span, error),
                }
            }
            targets
        }
    }
}

fn unit(pruner: &Pruner, parameter: &Parameter, problems: &Problems) -> Option<Unit> {
    use calcine_fold::{Grain, Layout};
    let grain = &pruner.grain;
    let layout = match (parameter.layout(), grain.value) {
        (Some(layout), _) => layout,
        // Elements need no axes.
        (None, Grain::Element | Grain::Layer) => Layout::OutputFirst,
        (None, _) => {
            let message = format!(
                "`{}` belongs to a `{}`, whose output axis is unknown: only element and layer fit",
                parameter.path, parameter.layer
            );
            problems.add(&grain.span, message);
            return None;
        }
    };
    match Fold::new(grain.value, &parameter.shape, layout) {
        Ok(fold) => Some(Unit {
            parameter: parameter.clone(),
            fold,
        }),
        Err(error) => {
            problems.add(&grain.span, format!("`{}`: {error}", parameter.path));
            None
        }
    }
}
