//! Binds `[regularizer.NAME]` and its policy.

use calcine_train::{After, Penalized, Penalty};

use super::Bound;
use crate::policy::Policy;
use crate::regularizer::Regularizer;

pub(super) fn bind(
    regularizer: &Regularizer,
    policy: &Policy,
    bound: Bound<'_>,
) -> Option<Penalty> {
    let after = policy.masks.after.unwrap_or(After::Release);
    if after == After::Hold && regularizer.threshold.is_none() {
        let message = "`after = \"hold\"` keeps the zeros of a `threshold`, but there is none";
        bound.problems.add(&policy.name.span, message);
    }
    let mut penalized = Vec::new();
    for (parameters, strength) in bound.with_amounts(&regularizer.strength, &regularizer.params) {
        for parameter in parameters {
            if bound.frozen.contains(&parameter.id) {
                let path = &parameter.path;
                let message = format!(
                    "`{path}` is frozen, so a penalty cannot change it: exclude it (`\"!{path}\"` in `params`)"
                );
                bound.problems.add(&regularizer.name.span, message);
                continue;
            }
            let unit = bound.unit(parameter, &regularizer.granularity);
            let strength = match strength.value.curve(&bound.when.window) {
                Ok(strength) => strength,
                Err(error) => {
                    bound.problems.add(&regularizer.name.span, error);
                    return None;
                }
            };
            penalized.extend(unit.map(|unit| Penalized { unit, strength }));
        }
    }
    let name = regularizer.name.value.as_str();
    let mut penalty = Penalty::new(name, penalized, regularizer.build(), bound.when)
        .with_apply(regularizer.apply)
        .with_after(after);
    if let Some((criterion, value)) = regularizer.threshold {
        penalty = penalty.with_threshold(criterion, value);
    }
    if let Some((score, level)) = regularizer.weakest {
        penalty = penalty
            .with_weakest(score.build(), level)
            .with_seed(bound.seed);
    }
    Some(penalty)
}
