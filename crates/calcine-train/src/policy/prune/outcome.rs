//! What a pruner can reach with its model, and what it has reached.

use burn::tensor::Transaction;
use calcine_schedule::Clock;

use super::{Group, Prune, State, Target};
use crate::policy::prune::state::Pending;
use crate::{After, Hold, Lifetime, PolicyOutcome};

/// The largest number of moments of a window at which the amount is evaluated; for a longer window, this many moments
/// are distributed evenly.
const LOOKED_AT: u64 = 1000;

/// A number of units that is large enough to detect any amount above zero.
const MANY: usize = 1 << 20;

impl Prune {
    /// The number of units that are dropped after the largest selection of the window; `None` if it depends on scores,
    /// random numbers or costs.
    #[must_use]
    pub fn most_dropped(&self) -> Option<usize> {
        self.targets
            .iter()
            .map(|target| self.most(target, &target.sizes()))
            .sum()
    }

    fn most(&self, target: &Target, units: &[usize]) -> Option<usize> {
        if self.select.competes() && !target.has_equal_costs() {
            return None;
        }
        let last = (self.when.window.count() - 1).min(LOOKED_AT);
        let progress = |i| {
            if last == 0 {
                1.0
            } else {
                i as f64 / last as f64
            }
        };
        let dropped = (0..=last).map(|i| {
            let amount = target.amount.value_at(progress(i));
            self.select.to_drop(units, amount)
        });
        dropped.collect::<Option<Vec<_>>>()?.into_iter().max()
    }

    /// The parameters that the largest selection of the window drops completely, as far as it is known in advance; for
    /// a group, its first parameter.
    #[must_use]
    pub fn emptied(&self) -> Vec<&str> {
        let all = |(target, group): &(&Target, &Group)| {
            let units = group.decided();
            self.most(target, &[units]) == Some(units)
        };
        self.groups_alone()
            .filter(all)
            .map(|(_, group)| group.path())
            .collect()
    }

    /// The groups whose decisions do not depend on other groups.
    fn groups_alone(&self) -> impl Iterator<Item = (&Target, &Group)> {
        let targets = self.targets.iter().filter(|_| !self.select.competes());
        targets.flat_map(|target| target.groups.iter().map(move |group| (target, group)))
    }

    pub(super) fn to_warnings(&self) -> Vec<String> {
        let idle = |(target, group): &(&Target, &Group)| {
            self.most(target, &[group.decided()]) == Some(0)
                && self.most(target, &[MANY]) != Some(0)
        };
        let idle = self.groups_alone().filter(idle);
        let idle: Vec<String> = idle
            .map(|(_, group)| format!("`{}` ({})", group.path(), group.decided()))
            .collect();
        let emptied = self.emptied().into_iter();
        let emptied: Vec<String> = emptied.map(|path| format!("`{path}`")).collect();
        let name = &self.name;
        let mut warnings = Vec::new();
        if !idle.is_empty() {
            warnings.push(format!(
                "`{name}` drops no unit of {}: its amount is less than one unit, or all \
                 units have to be kept",
                listed(&idle)
            ));
        }
        if !emptied.is_empty() {
            warnings.push(format!(
                "`{name}` drops all units of {}: these layers compute nothing any more",
                listed(&emptied)
            ));
        }
        warnings
    }

    pub(super) fn to_outcome(&self, clock: &Clock) -> PolicyOutcome {
        let window = &self.when.window;
        let total: usize = self.targets.iter().flat_map(Target::sizes).sum();
        let counted = self.dropped();
        let last = self.when.named(window.last());
        let asked = match self.to_be_dropped(1.0) {
            Some(count) => format!("{count} of {total} units dropped from {last} on"),
            None => format!("its last of {} selections at {last}", window.count()),
        };
        let reached = match (self.state.selected, counted) {
            (None, _) => "no selection".to_owned(),
            (Some(_), Some(count)) => format!("{count} of {total} units dropped"),
            (Some(progress), None) => {
                let part = 100.0 * progress;
                format!(
                    "a selection at {part:.0} % of its window, whose masks are no longer applied"
                )
            }
        };
        let missed = self.missed(clock, counted);
        PolicyOutcome::new(self.name.clone(), asked, reached).with_missed(missed)
    }

    /// The number of units that are dropped after a selection at this progress.
    fn to_be_dropped(&self, progress: f64) -> Option<usize> {
        let of = |target: &Target| {
            if self.select.competes() && !target.has_equal_costs() {
                return None;
            }
            let amount = target.amount.value_at(progress);
            self.select.to_drop(&target.sizes(), amount)
        };
        self.targets.iter().map(of).sum()
    }

    fn missed(&self, clock: &Clock, counted: Option<usize>) -> Option<String> {
        let State {
            pending, selected, ..
        } = self.state;
        if let Some(Pending { left, .. }) = pending {
            return Some(format!(
                "its last selection needs {left} more batches, but the run has ended"
            ));
        }
        if let Some(missed) = self.when.missed(clock) {
            return Some(missed);
        }
        match selected {
            None => Some("it has made no selection".to_owned()),
            Some(progress) if progress < 1.0 => {
                Some("the last selection of its window was not made".to_owned())
            }
            Some(_) if self.state.thinned || !self.holds() => None,
            Some(_) => {
                let (asked, counted) = (self.to_be_dropped(1.0)?, counted?);
                (counted < asked).then(|| "fewer units are dropped than requested".to_owned())
            }
        }
    }

    /// Whether the units of the last selection should still be dropped at the end of the run.
    fn holds(&self) -> bool {
        let kept = !self.state.is_over() || self.settings.after == After::Hold;
        kept && self.settings.lifetime == Lifetime::Window && self.settings.hold == Hold::Always
    }

    /// The number of units that the masks drop now; `None` if there are no masks. Reads the device once.
    fn dropped(&self) -> Option<usize> {
        if self.masks.is_empty() {
            return None;
        }
        let first = |group: &Group| {
            let unit = &group.units[0];
            let keep = self.masks.keep(&unit.parameter.path)?;
            Some(unit.decisions(keep).bool_not().int().sum())
        };
        let groups = self.targets.iter().flat_map(|target| &target.groups);
        let mut transaction = Transaction::default();
        // A group that could not be scored has no mask.
        for count in groups.filter_map(first) {
            transaction = transaction.register(count);
        }
        let counts = transaction.execute().into_iter();
        Some(
            counts
                .map(|count| count.iter::<u64>().sum::<u64>() as usize)
                .sum(),
        )
    }
}

impl Target {
    /// Whether a unit has the same cost in all groups.
    fn has_equal_costs(&self) -> bool {
        let cost = |group: &Group| group.units.iter().map(|unit| unit.cost).sum::<u64>();
        let mut costs = self.groups.iter().map(cost);
        let first = costs.next();
        costs.all(|cost| Some(cost) == first)
    }

    /// The number of decisions in each group.
    fn sizes(&self) -> Vec<usize> {
        self.groups.iter().map(Group::decided).collect()
    }
}

impl Group {
    fn decided(&self) -> usize {
        self.units.first().map_or(0, super::Unit::decided)
    }

    /// The path of the first parameter.
    fn path(&self) -> &str {
        let path = self.units.first().map(|unit| unit.parameter.path.as_str());
        path.unwrap_or_default()
    }
}

/// The first four names, and the number of others.
fn listed(names: &[String]) -> String {
    let first: Vec<&str> = names.iter().take(4).map(String::as_str).collect();
    match names.len() - first.len() {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}
