//! From the schedule to the tables and policies of a recipe, in order.

use std::ops::Range;

use calcine_schedule::Window;

use super::policy;
use super::pruner;
use super::rate;
use super::regularizer;
use crate::node::{Node, Value};
use crate::notes::Notes;
use crate::options::Options;
use crate::policy::Hold;
use crate::pruner::Pruner;
use crate::rate::Rate;
use crate::schedule::{Instance, Kind, Policy, Schedule};
use crate::text::{Entry, Table};

/// Epochs of a run in Distiller, unless its command line says otherwise.
const EPOCHS: u64 = 90;

/// The first learning rate in Distiller, unless its command line says otherwise.
pub(crate) const RATE: f64 = 0.1;

/// The recipe's parts, in order.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) epochs: u64,
    pub(crate) pruners: Vec<Table>,
    pub(crate) regularizers: Vec<Table>,
    pub(crate) rates: Vec<Table>,
    pub(crate) policies: Vec<Piece>,
}

/// A policy, or why there is none.
#[derive(Debug)]
pub(crate) enum Piece {
    Policy {
        /// A line above it.
        about: Option<String>,
        entries: Vec<Entry>,
        span: Range<usize>,
    },
    Left(String),
}

impl Plan {
    pub(crate) fn new(schedule: &Schedule<'_>, options: &Options, notes: &Notes) -> Self {
        let epochs = options.epochs.unwrap_or_else(|| length(schedule, notes));
        let mut planner = Planner {
            schedule,
            notes,
            plan: Self {
                epochs,
                ..Self::default()
            },
            made: Vec::new(),
            pruning: Vec::new(),
            thresholds: Vec::new(),
        };
        for policy in &schedule.policies {
            planner.policy(policy);
        }
        planner.warn_of_companions();
        planner.warn_of_rates();
        planner.warn_of_idle_instances();
        planner.plan
    }
}

/// How long the run is, as far as the schedule tells.
fn length(schedule: &Schedule<'_>, notes: &Notes) -> u64 {
    let needed = |policy: &Policy<'_>| match policy.kind {
        // The end of a learning rate's window is often just far away.
        Kind::Rate => policy.window.first().saturating_add(2),
        _ => policy.window.end(),
    };
    let needed = schedule
        .policies
        .iter()
        .map(needed)
        .max()
        .unwrap_or_default();
    let epochs = EPOCHS.max(needed);
    let text = format!(
        "a schedule does not say how long the run is: `epochs` is {epochs}, {}",
        match needed > EPOCHS {
            true => "where the last policy ends",
            false => "Distiller's default",
        }
    );
    notes.warn(&(0..0), text);
    epochs
}

/// What to write instead of a quantizer.
fn quantizer(class: &str) -> &'static str {
    match class {
        "DorefaQuantizer" => "write `[quantize.training]` with `method = \"dorefa\"`",
        "PACTQuantizer" => "write `[quantize.training]` with `method = \"pact\"`",
        "WRPNQuantizer" => "write `[quantize.training]` with `method = \"wrpn\"`",
        "QuantAwareTrainRangeLinearQuantizer" | "NCFQuantAwareTrainQuantizer" => {
            "write `[quantize.training]` with `method = \"linear\"`"
        }
        "PostTrainLinearQuantizer" => {
            "write a recipe with `[quantize]` and without `[train]`, for `calcine quantize`"
        }
        _ => "write `[quantize]`",
    }
}

struct Planner<'s, 'a> {
    schedule: &'s Schedule<'a>,
    notes: &'s Notes,
    plan: Plan,
    /// Names of the tables that exist, by what they were made of.
    made: Vec<(Key, Vec<String>)>,
    pruning: Vec<Pruning>,
    /// Regularizers that zero what is small, and their parameters.
    thresholds: Vec<(String, Names)>,
}

/// What decides about the tables of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    kind: Kind,
    name: String,
    fold_norm: bool,
    /// Where the levels stand.
    levels: Option<Range<usize>>,
}

/// A pruning policy, for what is said about several.
#[derive(Debug)]
struct Pruning {
    instance: String,
    names: Names,
    hold: Hold,
    measures: bool,
    span: Range<usize>,
}

/// The parameters of an instance.
#[derive(Debug, Clone)]
enum Names {
    All,
    These(Vec<String>),
}

impl Names {
    /// Every parameter name that an instance mentions, without what data-parallel training adds.
    fn new(instance: &Instance<'_>, levels: Option<&Node>) -> Self {
        let fields = instance.fields.afresh();
        let keys = [
            "weights",
            "thresholds",
            "sensitivities",
            "levels",
            "reg_regims",
        ];
        let own = keys.into_iter().filter_map(|key| fields.get(key));
        let mut names: Vec<String> = Vec::new();
        for node in own.chain(levels) {
            match &node.value {
                Value::List(list) => {
                    names.extend(list.iter().filter_map(|n| n.value.as_text().map(plain)));
                }
                Value::Map(map) => names.extend(map.iter().map(|(name, _)| plain(&name.value))),
                Value::Text(name) => names.push(plain(name)),
                _ => {}
            }
        }
        match names.iter().any(|name| name == "*") {
            true => Self::All,
            false => Self::These(names),
        }
    }

    fn meet(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::These(these), Self::These(those)) => {
                these.iter().any(|name| those.contains(name))
            }
            _ => true,
        }
    }
}

fn plain(name: &str) -> String {
    let elements: Vec<&str> = name
        .split('.')
        .filter(|element| *element != "module")
        .collect();
    elements.join(".")
}

impl Planner<'_, '_> {
    fn policy(&mut self, policy: &Policy<'_>) {
        let Some(instance) = self.schedule.instance(policy) else {
            return;
        };
        // Whatever is wrong with the instance is said, even if it has nothing to do in time.
        match policy.kind {
            Kind::Pruner => self.pruner(instance, policy),
            Kind::Regularizer => self.regularizer(instance, policy),
            Kind::Rate => self.rate(instance, policy),
            Kind::Quantizer => self.leave(instance, policy, quantizer(&instance.class.value)),
            Kind::Extension => {
                let why = match instance.class.value.as_str() {
                    "FilterRemover" | "ChannelRemover" | "StructureRemover" => {
                        "write `[thin]`; without it zeros stay where they are"
                    }
                    _ => "no recipe runs code of others",
                };
                self.leave(instance, policy, why);
            }
        }
    }

    /// A comment and a warning in the place of a policy.
    fn leave(&mut self, instance: &Instance<'_>, policy: &Policy<'_>, why: &str) {
        let (kind, name) = (policy.kind.key(), &instance.name.value);
        let (class, when) = (&instance.class.value, policy::in_words(&policy.window));
        let text = format!("{kind} `{name}` ({class}) is left out: {why}");
        self.notes.warn(&policy.span, text.as_str());
        self.plan.policies.push(Piece::Left(format!(
            "Left out: {kind} `{name}` {when} ({why})."
        )));
    }

    /// Whether the policy acts within the run.
    fn in_time(&mut self, policy: &Policy<'_>, window: &Window) -> bool {
        let (first, epochs) = (window.first(), self.plan.epochs);
        if first < epochs {
            return true;
        }
        let name = &policy.instance.value;
        let text = format!(
            "the policy of `{name}` is left out: it begins to act in epoch {first}, and the run has \
             {epochs} epochs"
        );
        self.notes.warn(&policy.span, text.as_str());
        let (kind, when) = (policy.kind.key(), policy::in_words(&policy.window));
        self.plan.policies.push(Piece::Left(format!(
            "Left out: {kind} `{name}` {when} (the run is over then)."
        )));
        false
    }

    fn pruner(&mut self, instance: &Instance<'_>, policy: &Policy<'_>) {
        let args = policy::pruning(policy, self.notes);
        let Some(args) = args else { return };
        let made = pruner::convert(instance, args.variant, &policy.window);
        let (tables, is_bernoulli) = match made {
            Some(Pruner::Tables(tables)) => (tables, false),
            Some(Pruner::Bernoulli(table)) => (vec![table], true),
            None => return,
        };
        if !self.in_time(policy, &policy.window) {
            return;
        }
        let mut entries = args.entries;
        if is_bernoulli && args.hold == Hold::Always && !args.for_a_step {
            let text = "masks of a Bernoulli selection are seen by the forward pass only, `hold = \"shadow\"`: in \
                        Distiller every filter that a draw hit began again from zero";
            self.notes.warn(&policy.span, text);
            entries.push(Entry::text("hold", "shadow", &policy.span));
        }
        self.pruning.push(Pruning {
            instance: instance.name.value.clone(),
            names: Names::new(instance, args.variant.levels),
            hold: args.hold,
            measures: matches!(
                instance.class.value.as_str(),
                "SensitivityPruner" | "SplicingPruner"
            ),
            span: policy.span.clone(),
        });
        let key = Key {
            kind: Kind::Pruner,
            name: instance.name.value.clone(),
            fold_norm: args.variant.fold_norm,
            levels: args.variant.levels.map(|levels| levels.span.clone()),
        };
        for name in self.names(key, tables) {
            let mut all = vec![Entry::text("pruner", &name, &policy.span)];
            all.extend(policy::when(&policy.window, &policy.span));
            all.extend_from_slice(&entries);
            self.push(None, all, policy);
        }
    }

    fn regularizer(&mut self, instance: &Instance<'_>, policy: &Policy<'_>) {
        let keeps = policy::keeps_mask(policy);
        let Some(made) = regularizer::convert(instance) else {
            return;
        };
        if !self.in_time(policy, &policy.window) {
            return;
        }
        let name = &instance.name.value;
        let mut entries = Vec::new();
        match (&keeps, made.has_threshold) {
            (Some(at), true) => entries.push(Entry::text("after", "hold", at)),
            (Some(at), false) => {
                let text = "`keep_mask` without `threshold_criteria` keeps nothing: left out";
                self.notes.warn(at, text);
            }
            _ => {}
        }
        if made.has_threshold {
            self.thresholds
                .push((name.clone(), Names::new(instance, None)));
        }
        let key = Key {
            kind: Kind::Regularizer,
            name: name.clone(),
            fold_norm: false,
            levels: None,
        };
        for name in self.names(key, made.tables) {
            let mut all = vec![Entry::text("regularizer", &name, &policy.span)];
            all.extend(policy::when(&policy.window, &policy.span));
            all.extend_from_slice(&entries);
            self.push(None, all, policy);
        }
    }

    fn rate(&mut self, instance: &Instance<'_>, policy: &Policy<'_>) {
        policy::no_arguments(policy, self.notes);
        let table = match rate::convert(instance, &policy.window, RATE) {
            Some(Rate::Table(table)) => table,
            Some(Rate::Left(why)) => return self.leave(instance, policy, why),
            None => return,
        };
        let window = policy::rate_window(&policy.window);
        if !self.in_time(policy, &window) {
            return;
        }
        if policy::has_gaps(&policy.window) {
            let text = "the rate moves in every epoch of its window; Distiller moved it in those of the \
                        policy only";
            self.notes.warn(&policy.span, text);
        }
        let key = Key {
            kind: Kind::Rate,
            name: instance.name.value.clone(),
            fold_norm: false,
            levels: None,
        };
        let first = policy.window.first();
        let about = (first > 0).then(|| {
            format!(
                "Distiller's scheduler steps at the end of epoch {first}, so that epoch {} is the first \
                 with another rate.",
                window.first()
            )
        });
        for name in self.names(key, vec![table]) {
            let mut all = vec![Entry::text("lr", &name, &policy.span)];
            all.extend(policy::when(&window, &policy.span));
            self.push(about.clone(), all, policy);
        }
    }

    fn push(&mut self, about: Option<String>, entries: Vec<Entry>, policy: &Policy<'_>) {
        let span = policy.span.clone();
        self.plan.policies.push(Piece::Policy {
            about,
            entries,
            span,
        });
    }

    /// The names of an instance's tables, which are new unless an earlier policy had the same.
    fn names(&mut self, key: Key, tables: Vec<Table>) -> Vec<String> {
        if let Some((_, names)) = self.made.iter().find(|(known, _)| *known == key) {
            return names.clone();
        }
        let all = match key.kind {
            Kind::Regularizer => &mut self.plan.regularizers,
            Kind::Rate => &mut self.plan.rates,
            _ => &mut self.plan.pruners,
        };
        let mut names = Vec::new();
        for mut table in tables {
            // The other instances' own names stay theirs.
            let of_kind = self
                .schedule
                .instances
                .iter()
                .filter(|i| i.kind == key.kind);
            let reserved: Vec<&str> = of_kind
                .map(|instance| instance.name.value.as_str())
                .filter(|name| *name != key.name)
                .collect();
            let wanted = table.name.clone();
            let taken =
                |name: &str| reserved.contains(&name) || all.iter().any(|table| table.name == name);
            let mut number = 1;
            while taken(&table.name) {
                number += 1;
                table.name = format!("{wanted}_{number}");
            }
            names.push(table.name.clone());
            all.push(table);
        }
        self.made.push((key, names.clone()));
        names
    }

    /// What is true of several pruning policies at once.
    fn warn_of_companions(&self) {
        for (i, policy) in self.pruning.iter().enumerate() {
            for earlier in &self.pruning[..i] {
                self.warn_of_pair(earlier, policy);
            }
            for (name, names) in &self.thresholds {
                if names.meet(&policy.names) {
                    let pruner = &policy.instance;
                    let text = format!(
                        "the pruner `{pruner}` and the threshold of `{name}` act on the same \
                         parameters: here both hold, in Distiller the threshold's mask replaced the \
                         pruner's"
                    );
                    self.notes.warn(&policy.span, text);
                }
            }
        }
    }

    fn warn_of_pair(&self, earlier: &Pruning, later: &Pruning) {
        let (a, b) = (&earlier.instance, &later.instance);
        if a != b && earlier.names.meet(&later.names) {
            let text = format!(
                "`{a}` and `{b}` prune the same parameters: here what either drops is dropped, in \
                 Distiller the mask that was written last counted"
            );
            self.notes.warn(&later.span, text);
        }
        if a == b && later.measures {
            let text = format!(
                "each policy of `{b}` measures the deviation for itself, when it fires first; in \
                 Distiller all shared the first measurement"
            );
            self.notes.warn(&later.span, text);
        }
        if earlier.hold != later.hold {
            let text = "forward-only masks and double copies are of a policy's own parameters; in \
                        Distiller the pruning policy that began last decided about all of the model's";
            self.notes.warn(&later.span, text);
        } else if later.hold == Hold::Shadow {
            let text = "several policies with double copies share the dense weights; in Distiller the \
                        second copied what the first had masked";
            self.notes.warn(&later.span, text);
        }
    }

    fn warn_of_rates(&self) {
        let rates: Vec<&Policy<'_>> = self
            .schedule
            .policies
            .iter()
            .filter(|policy| policy.kind == Kind::Rate)
            .collect();
        for (i, later) in rates.iter().enumerate() {
            let overlap = |earlier: &&&Policy<'_>| {
                earlier.window.first() < later.window.end()
                    && later.window.first() < earlier.window.end()
            };
            if rates[..i].iter().any(|earlier| overlap(&earlier)) {
                let text = "of schedules at the same time, the one whose window began last decides, and \
                            goes on to after its end; in Distiller the one that stands last in the file";
                self.notes.warn(&later.span, text);
            }
        }
    }

    fn warn_of_idle_instances(&self) {
        for instance in &self.schedule.instances {
            let mut policies = self.schedule.policies.iter();
            let name = &instance.name.value;
            let uses = |p: &Policy<'_>| p.kind == instance.kind && p.instance.value == *name;
            if !policies.any(uses) {
                let text = format!("`{name}` is left out: no policy uses it");
                self.notes.warn(&instance.name.span, text);
            }
        }
    }
}
