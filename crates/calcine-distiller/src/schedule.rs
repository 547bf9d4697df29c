//! The schedule as it stands: instances by name, and policies in order.

use std::ops::Range;

use calcine_schedule::Window;

use crate::fields::Fields;
use crate::node::At;
use crate::node::{Map, Node};
use crate::notes::Notes;
use calcine_names::suggest;

/// What a policy may refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Pruner,
    Regularizer,
    Rate,
    Quantizer,
    Extension,
}

impl Kind {
    const ALL: [Self; 5] = [
        Self::Pruner,
        Self::Regularizer,
        Self::Rate,
        Self::Quantizer,
        Self::Extension,
    ];

    /// The key of a policy.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Pruner => "pruner",
            Self::Regularizer => "regularizer",
            Self::Rate => "lr_scheduler",
            Self::Quantizer => "quantizer",
            Self::Extension => "extension",
        }
    }

    /// The section of the instances.
    fn section(self) -> &'static str {
        match self {
            Self::Pruner => "pruners",
            Self::Regularizer => "regularizers",
            Self::Rate => "lr_schedulers",
            Self::Quantizer => "quantizers",
            Self::Extension => "extensions",
        }
    }
}

/// Something with a class and arguments.
#[derive(Debug)]
pub(crate) struct Instance<'a> {
    pub(crate) kind: Kind,
    pub(crate) name: At<String>,
    pub(crate) class: At<String>,
    /// The class and its arguments.
    pub(crate) fields: Fields<'a>,
}

/// What acts, and in which epochs.
#[derive(Debug)]
pub(crate) struct Policy<'a> {
    pub(crate) kind: Kind,
    pub(crate) instance: At<String>,
    pub(crate) args: Option<Fields<'a>>,
    pub(crate) window: Window,
    pub(crate) span: Range<usize>,
}

#[derive(Debug)]
pub(crate) struct Schedule<'a> {
    pub(crate) instances: Vec<Instance<'a>>,
    pub(crate) policies: Vec<Policy<'a>>,
}

impl<'a> Schedule<'a> {
    /// Reads what can be read; all else is a problem.
    pub(crate) fn read(root: &'a Node, notes: &'a Notes) -> Self {
        let mut schedule = Self {
            instances: Vec::new(),
            policies: Vec::new(),
        };
        let Some(map) = root.value.as_map() else {
            let found = root.value.describe();
            let message = format!("the schedule is {found}, expected a map with `policies`");
            notes.problem(&root.span, message);
            return schedule;
        };
        let fields = Fields::new(map, root.span.clone(), notes);
        for kind in Kind::ALL {
            // An empty section is one that was commented out.
            let section = fields.get(kind.section());
            let Some(section) = section else { continue };
            match section.value.as_map() {
                Some(map) => schedule.instances.extend(instances(kind, map, notes)),
                None => {
                    let message = format!("`{}` is a map of names", kind.section());
                    notes.problem(&section.span, message);
                }
            }
        }
        let policies = fields.get("policies");
        let policies = fields.need("policies", "what acts, and when", policies);
        match policies.map(|policies| (policies, policies.value.as_list())) {
            Some((_, Some(list))) => {
                let read = |node| policy(node, &schedule.instances, notes);
                schedule.policies = list.iter().filter_map(read).collect();
            }
            Some((policies, None)) => notes.problem(&policies.span, "`policies` is a list"),
            None => {}
        }
        warn_of_other_sections(map, notes);
        schedule
    }

    /// The instance that a policy names.
    pub(crate) fn instance(&self, policy: &Policy<'a>) -> Option<&Instance<'a>> {
        let mut of_kind = self.instances.iter().filter(|i| i.kind == policy.kind);
        of_kind.find(|i| i.name.value == policy.instance.value)
    }
}

/// Distiller takes no notice of sections that it does not know.
fn warn_of_other_sections(map: &Map, notes: &Notes) {
    let known = || {
        Kind::ALL
            .map(Kind::section)
            .into_iter()
            .chain(["version", "policies"])
    };
    for (key, _) in map {
        let name = key.value.as_str();
        if !known().any(|section| section == name) {
            let hint = suggest(name, known());
            let text = format!("the section `{name}` is left out, as Distiller does; {hint}");
            notes.warn(&key.span, text);
        }
    }
}

fn instances<'a>(kind: Kind, map: &'a Map, notes: &'a Notes) -> Vec<Instance<'a>> {
    let instance = |(name, node): &'a (At<String>, Node)| {
        let Some(map) = node.value.as_map() else {
            let found = node.value.describe();
            let message = format!("`{}` is {found}, expected a map with `class`", name.value);
            notes.problem(&node.span, message);
            return None;
        };
        let fields = Fields::new(map, name.span.clone(), notes);
        let class = fields.text("class");
        let class = fields.need("class", "the class of Distiller's", class)?;
        Some(Instance {
            kind,
            name: name.clone(),
            class,
            fields,
        })
    };
    map.iter().filter_map(instance).collect()
}

fn policy<'a>(node: &'a Node, instances: &[Instance<'a>], notes: &'a Notes) -> Option<Policy<'a>> {
    let Some(map) = node.value.as_map() else {
        let found = node.value.describe();
        notes.problem(&node.span, format!("a policy is {found}, expected a map"));
        return None;
    };
    let fields = Fields::new(map, node.span.clone(), notes);
    let named = Kind::ALL.map(|kind| (kind, fields.get(kind.key())));
    let mut named = named
        .into_iter()
        .filter_map(|(kind, what)| Some((kind, what?)));
    let first = named.next();
    let words = "`pruner`, `regularizer`, `lr_scheduler`, `quantizer`, `extension`";
    if let Some((_, second)) = named.next() {
        notes.problem(
            &second.span,
            format!("a policy has one of {words}, not two"),
        );
    }
    if first.is_none() {
        notes.problem(
            &node.span,
            format!("a policy names what acts: one of {words}"),
        );
    }
    let window = window(&fields);
    fields.close();
    let (kind, what) = first?;
    let Some(what_map) = what.value.as_map() else {
        let key = kind.key();
        let message = format!("`{key}` is a map with `instance_name`, and `args` if there are any");
        notes.problem(&what.span, message);
        return None;
    };
    let what = Fields::new(what_map, what.span.clone(), notes);
    let name = what.text("instance_name");
    let name = what.need("instance_name", "which one acts", name);
    let args = what.map("args");
    what.close();
    let of_kind = || instances.iter().filter(|instance| instance.kind == kind);
    if let Some(name) = &name
        && !of_kind().any(|instance| instance.name.value == name.value)
    {
        let hint = suggest(&name.value, of_kind().map(|i| i.name.value.as_str()));
        let message = format!("no `{}` in `{}`; {hint}", name.value, kind.section());
        notes.problem(&name.span, message);
    }
    Some(Policy {
        kind,
        instance: name?,
        args,
        window: window?,
        span: node.span.clone(),
    })
}

/// `epochs`, or `starting_epoch`, `ending_epoch` and `frequency`.
fn window(fields: &Fields<'_>) -> Option<Window> {
    let notes = fields.notes;
    let list = fields.counts("epochs");
    let start = fields.count("starting_epoch");
    let end = fields.count("ending_epoch");
    let every = fields.count("frequency");
    let is_list = fields.get("epochs").is_some();
    let keys = ["starting_epoch", "ending_epoch", "frequency"];
    let range = keys.into_iter().find_map(|key| fields.get(key));
    if is_list {
        if let Some(range) = range {
            let message = "a policy has a list of `epochs`, or `starting_epoch`, `ending_epoch` and \
                           `frequency`, not both";
            notes.problem(&range.span, message);
            return None;
        }
        let list = list?;
        let mut epochs = list.value;
        epochs.sort_unstable();
        epochs.dedup();
        return Window::list(epochs)
            .inspect_err(|error| notes.problem(&list.span, error))
            .ok();
    }
    if range.is_none() {
        let message = "when is missing: a list of `epochs`, or `starting_epoch`, `ending_epoch` and \
                       `frequency`";
        notes.problem(&fields.span, message);
        return None;
    }
    let start = fields.need("starting_epoch", "the first epoch", start);
    let end = fields.need("ending_epoch", "the first epoch after the last", end);
    let every = every.map_or(1, |every| every.value);
    let (start, end) = (start?, end?);
    Window::new(start.value, end.value, every)
        .inspect_err(|error| notes.problem(&end.span, error))
        .ok()
}
