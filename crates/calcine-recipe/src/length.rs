//! Checks what a run of a given length reaches.

use calcine_train::{Batches, First, When, WindowUnit};

use crate::amount::Amounts;
use crate::bind::used;
use crate::error::Problems;
use crate::policy::{Count, Kind, Policy, When as Told};
use crate::pruner::Pruner;
use crate::rate;
use crate::recipe::Parts;

/// What defines the length of the run.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source {
    /// The recipe, in epochs.
    Recipe,
    /// The run, whose number of epochs may have been overridden.
    Run {
        /// The number of steps per epoch.
        steps_per_epoch: u64,
    },
}

/// The largest number of firings that are checked one by one.
const FIRINGS: u64 = 1_000_000;

/// Reports what never happens in a run of this length.
pub(crate) fn check(parts: &Parts, source: Source, problems: &Problems) {
    let epochs = parts.train.epochs;
    let training = || match epochs {
        1 => "training has 1 epoch, number 0".to_owned(),
        _ => format!("training has {epochs} epochs, 0 to {}", epochs - 1),
    };
    for policy in &parts.policies {
        never(parts, policy, source, problems);
    }
    if let Some(rewind) = &parts.rewind
        && rewind.at.value.iter().all(|epoch| *epoch >= epochs)
    {
        let message = format!("`rewind.at` is never reached: {}", training());
        problems.add(&rewind.at.span, message);
    }
    if let Some(thinning) = &parts.thinning
        && !thinning.value.at.is_empty()
        && thinning.value.at.iter().all(|epoch| *epoch > epochs)
    {
        let message = format!(
            "`thin.at` is never reached: {}, and `at = [{epochs}]` is its end",
            training()
        );
        problems.add(&thinning.span, message);
    }
    let late = |key: &str, epoch: u64, span: &std::ops::Range<usize>| {
        if epoch >= epochs {
            problems.add(span, format!("`{key}` is never reached: {}", training()));
        }
    };
    if let Some(asked) = &parts.quantization {
        let training = &asked.value.training;
        late("quantize.training.start", training.start, &asked.span);
        // A run may have been shortened; then it is a warning.
        if let Source::Recipe = source {
            for (key, epoch) in training.freezes() {
                late(&format!("quantize.training.{key}"), epoch, &asked.span);
            }
        }
    }
    if let Some(asked) = &parts.distillation {
        late("distill.start", asked.value.start, &asked.span);
    }
}

/// Reports a policy that has no effect.
fn never(parts: &Parts, policy: &Policy, source: Source, problems: &Problems) {
    let epochs = parts.train.epochs;
    let name = &policy.name.value;
    let Source::Run { steps_per_epoch } = source else {
        if let Told::Window(window, Count::Epochs) = &policy.when.value
            && window.first() >= epochs
        {
            let first = window.first();
            let message =
                format!("policy of `{name}` never fires: it begins at epoch {first} of {epochs}");
            problems.add(&policy.when.span, message);
        }
        return;
    };
    let when = policy.moments(epochs, steps_per_epoch);
    let run = length(when.unit, epochs, steps_per_epoch);
    if when.window.first() >= run {
        let first = when.window.first();
        let message =
            format!("policy of `{name}` never fires: it begins at {first} of a run of {run}");
        problems.add(&policy.when.span, message);
    } else if let Selects::Never { waits } = selects(parts, policy, &when, steps_per_epoch) {
        let message = format!(
            "policy of `{name}` never selects: {}, but the run has {} steps",
            waited(waits),
            epochs.saturating_mul(steps_per_epoch)
        );
        problems.add(&policy.when.span, message);
    }
}

/// What a run of this length does not reach, one line each.
pub(crate) fn warnings(parts: &Parts, steps_per_epoch: u64) -> Vec<String> {
    let epochs = parts.train.epochs;
    let mut warnings: Vec<String> = Vec::new();
    for policy in &parts.policies {
        let name = &policy.name.value;
        let when = policy.moments(epochs, steps_per_epoch);
        let run = length(when.unit, epochs, steps_per_epoch);
        let word = word(when.unit);
        let missed = when.window.count() - when.window.count_before(run);
        let amounts = match policy.kind {
            Kind::Pruner => {
                let pruner = used(&parts.pruners, policy, |pruner| &pruner.name);
                Some(&pruner.selection.amounts)
            }
            Kind::Regularizer => {
                let regularizer = used(&parts.regularizers, policy, |r| &r.name);
                Some(&regularizer.strength)
            }
            Kind::Rate => {
                let rate = used(&parts.rates, policy, |rate| &rate.name);
                let end = match when.unit {
                    WindowUnit::Epochs => when.window.end(),
                    WindowUnit::Steps => when.window.end().div_ceil(steps_per_epoch.max(1)),
                };
                warnings.extend(unreached(rate, epochs.min(end)));
                None
            }
        };
        let changes = amounts.is_some_and(Amounts::change);
        if missed > 0 && (policy.kind == Kind::Pruner || changes) {
            warnings.push(format!(
                "the run ends after {run} {word}s, before the last {missed} firings of `{name}`, so it does not reach its \
                 last {}",
                if policy.kind == Kind::Pruner { "level" } else { "strength" }
            ));
        }
        if when.window.count() == 1 && changes {
            warnings.push(format!(
                "`{name}` fires once, at {word} {}, so only the end of its curve counts",
                when.window.first()
            ));
        }
        if let Selects::NotAtLast { moment, waits } = selects(parts, policy, &when, steps_per_epoch)
        {
            warnings.push(format!(
                "`{name}` does not select at {word} {moment}: {}, but the run ends before",
                waited(waits)
            ));
        }
        if let Some(every) = policy.again_every
            && every >= epochs.saturating_mul(steps_per_epoch)
        {
            warnings.push(format!(
                "`{name}` does not fire again within an epoch: `again_every` is {every}, but the run has {} \
                 steps",
                epochs.saturating_mul(steps_per_epoch)
            ));
        }
    }
    let thinning = parts.thinning.iter().flat_map(|at| &at.value.at);
    if let Some(epoch) = thinning.into_iter().find(|&&epoch| epoch > epochs) {
        warnings.push(format!(
            "the network is not thinned before epoch {epoch}: the run has only {epochs}"
        ));
    }
    let rewinds = parts.rewind.iter().flat_map(|rewind| &rewind.at.value);
    if let Some(epoch) = rewinds.into_iter().find(|&&epoch| epoch >= epochs) {
        warnings.push(format!(
            "the run is not rewound before epoch {epoch}: it has only {epochs}"
        ));
    }
    if let Some(asked) = &parts.quantization {
        for (key, epoch) in asked.value.training.freezes() {
            if epoch >= epochs {
                warnings.push(format!(
                    "`quantize.training.{key}` is not reached: it is epoch {epoch}, but the run has {epochs}"
                ));
            }
        }
    }
    warnings
}

/// What a pruner waits for, in words.
fn waited(batches: u64) -> String {
    match batches {
        1 => "it waits for a batch first".to_owned(),
        _ => format!("it waits for {batches} batches first"),
    }
}

/// The number of moments of a run in a unit.
fn length(unit: WindowUnit, epochs: u64, steps_per_epoch: u64) -> u64 {
    match unit {
        WindowUnit::Epochs => epochs,
        WindowUnit::Steps => epochs.saturating_mul(steps_per_epoch),
    }
}

fn word(unit: WindowUnit) -> &'static str {
    match unit {
        WindowUnit::Epochs => "epoch",
        WindowUnit::Steps => "step",
    }
}

/// Whether a pruner selects after its window has fired; it may have to wait for batches.
enum Selects {
    /// After each firing of the run; also for policies that do not select.
    Always,
    /// Not after the last firing.
    NotAtLast { moment: u64, waits: u64 },
    /// After no firing.
    Never { waits: u64 },
}

/// Simulates the firings of the run as `Prune` handles them.
fn selects(parts: &Parts, policy: &Policy, when: &When, steps_per_epoch: u64) -> Selects {
    if policy.kind != Kind::Pruner {
        return Selects::Always;
    }
    let pruner = used(&parts.pruners, policy, |pruner| &pruner.name);
    let (first, later) = waits(pruner, policy);
    let epochs = parts.train.epochs;
    let end = epochs.saturating_mul(steps_per_epoch);
    let fired = when
        .window
        .count_before(length(when.unit, epochs, steps_per_epoch));
    if first == 0 || fired == 0 {
        return Selects::Always;
    }
    let step = |moment: u64| match when.unit {
        WindowUnit::Epochs => moment.saturating_mul(steps_per_epoch),
        WindowUnit::Steps => moment,
    };
    // The step at which a waiting firing leads to a selection.
    let mut pending: Option<u64> = None;
    let mut selected = false;
    let mut last = when.window.first();
    for (index, moment) in when
        .window
        .firings()
        .take(fired.min(FIRINGS) as usize)
        .enumerate()
    {
        let now = step(moment);
        last = moment;
        if pending.is_some_and(|due| due <= now) {
            (pending, selected) = (None, true);
        }
        // If the window fires while a selection is waiting, only its progress is updated.
        let wait = if index == 0 { first } else { later };
        if pending.is_none() && wait == 0 {
            selected = true;
        } else {
            pending = pending.or(Some(now.saturating_add(wait)));
        }
    }
    match pending {
        Some(due) if fired <= FIRINGS && due >= end && selected => Selects::NotAtLast {
            moment: last,
            waits: later.max(1),
        },
        Some(due) if due >= end && !selected => Selects::Never { waits: first },
        _ => Selects::Always,
    }
}

/// The number of batches for which the first firing waits, and for which each later one waits.
fn waits(pruner: &Pruner, policy: &Policy) -> (u64, u64) {
    let gradients = pruner.needs_gradients();
    match pruner.batches {
        Batches::Count(count) if gradients => (count.max(1), count.max(1)),
        Batches::All if gradients => (1, 0),
        _ => (u64::from(policy.masks.first == First::NextStep), 0),
    }
}

/// The epochs of a learning-rate schedule that the run does not reach.
fn unreached(rate: &rate::Rate, epochs: u64) -> Option<String> {
    let what = rate.kind.unreached(epochs)?;
    Some(format!(
        "`lr.{}`: {what}, and it acts until epoch {epochs}",
        rate.name.value
    ))
}
