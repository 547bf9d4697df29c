//! What a pruner can do on its model, and what it has done.

use burn::tensor::Transaction;
use calcine_schedule::Clock;

use super::{Group, Prune, State, Target};
use crate::policy::prune::state::Pending;
use crate::{After, Hold, Lifetime, PolicyOutcome};

/// The most moments of a window at which an amount is looked at; of a longer window, so many that are evenly
/// spread.
const LOOKED_AT: u64 = 1000;

/// So many units that any amount that is asked for comes to some of them.
const MANY: usize = 1 << 20;

impl Prune {
    /// How many units the largest selection of the window leaves dropped; `None` if scores, draws or costs
    /// decide that.
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
            let amount = target.amount.at(progress(i));
            self.select.to_drop(units, amount)
        });
        dropped.collect::<Option<Vec<_>>>()?.into_iter().max()
    }

    /// The parameters of which the largest selection of the window leaves nothing, as far as that is known
    /// before; of a group the first.
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
                "`{name}` drops nothing of {}: its amount comes to less than one of so many units, or all \
                 of them are to stay",
                listed(&idle)
            ));
        }
        if !emptied.is_empty() {
            warnings.push(format!(
                "`{name}` drops all of {}: nothing is left of what they compute",
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
                format!("a selection at {part:.0} % of its window, whose masks are no longer held")
            }
        };
        let missed = self.missed(clock, counted);
        PolicyOutcome::new(self.name.clone(), asked, reached).with_missed(missed)
    }

    /// How many units a selection at this progress leaves dropped.
    fn to_be_dropped(&self, progress: f64) -> Option<usize> {
        let of = |target: &Target| {
            if self.select.competes() && !target.has_equal_costs() {
                return None;
            }
            let amount = target.amount.at(progress);
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
                "its last selection waits for {left} more batches, which the run does not have"
            ));
        }
        if let Some(missed) = self.when.missed(clock) {
            return Some(missed);
        }
        match selected {
            None => Some("it never selected".to_owned()),
            Some(progress) if progress < 1.0 => {
                Some("the last selection of its window was not made".to_owned())
            }
            Some(_) if self.state.thinned || !self.holds() => None,
            Some(_) => {
                let (asked, counted) = (self.to_be_dropped(1.0)?, counted?);
                (counted < asked).then(|| "fewer units are dropped than were asked for".to_owned())
            }
        }
    }

    /// Whether what it dropped last is still to be dropped at the end of the run.
    fn holds(&self) -> bool {
        let kept = !self.state.is_over() || self.settings.after == After::Hold;
        kept && self.settings.lifetime == Lifetime::Window && self.settings.hold == Hold::Always
    }

    /// How many units its masks drop now; `None` if it holds none. Reads the device once.
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
    /// Whether a unit costs the same in all groups.
    fn has_equal_costs(&self) -> bool {
        let cost = |group: &Group| group.units.iter().map(|unit| unit.cost).sum::<u64>();
        let mut costs = self.groups.iter().map(cost);
        let first = costs.next();
        costs.all(|cost| Some(cost) == first)
    }

    /// How many decisions there are in each group.
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

/// The first four, and how many more there are.
fn listed(names: &[String]) -> String {
    let first: Vec<&str> = names.iter().take(4).map(String::as_str).collect();
    match names.len() - first.len() {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}
