//! The arguments of policies, and their windows.

use std::ops::Range;

use calcine_schedule::Window;

use crate::node::{Node, Value};
use crate::notes::Notes;
use crate::pruner::Variant;
use crate::schedule::Policy;
use crate::text::Entry;

/// How a pruning policy's masks hold weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    Always,
    Forward,
    Shadow,
}

/// The arguments of a pruning policy.
#[derive(Debug)]
pub(crate) struct PruningArgs<'a> {
    pub(crate) variant: Variant<'a>,
    pub(crate) hold: Hold,
    /// Masks that live one step.
    pub(crate) for_a_step: bool,
    pub(crate) entries: Vec<Entry>,
}

/// Reads the arguments of a pruning policy; `None` after a problem.
pub(crate) fn pruning<'a>(policy: &'a Policy<'a>, notes: &Notes) -> Option<PruningArgs<'a>> {
    let mut read = PruningArgs {
        variant: Variant {
            fold_norm: false,
            levels: None,
        },
        hold: Hold::Always,
        for_a_step: false,
        entries: Vec::new(),
    };
    let Some(args) = &policy.args else {
        return Some(read);
    };
    let args = args.afresh();
    let span = args.span.clone();
    let flag = |key: &'static str| {
        let node = args.get(key);
        let span = node.map_or(span.clone(), |node| node.span.clone());
        args.flag(key).then_some(span)
    };
    let keep = flag("keep_mask");
    let again = args.count("mini_batch_pruning_frequency");
    let forward = flag("mask_on_forward_only");
    let gradients = flag("mask_gradients");
    let copies = flag("use_double_copies");
    let discard = flag("discard_masks_at_minibatch_end");
    let skip = flag("skip_first_minibatch");
    let fold = flag("fold_batchnorm");
    let levels = args.get("levels");
    args.close();
    if let (Some(gradients), None) = (&gradients, &forward) {
        let message = "`mask_gradients` needs `mask_on_forward_only: true`";
        notes.problem(gradients, message);
        return None;
    }
    read.variant = Variant {
        fold_norm: fold.is_some(),
        levels: levels.filter(|levels| is_map(levels, notes)),
    };
    if levels.is_some() {
        let text = "`levels` are of this policy alone; in Distiller they stayed with the pruner";
        notes.warn(&span, text);
    }
    let entries = &mut read.entries;
    if let Some(again) = again.filter(|again| again.value > 0) {
        entries.push(Entry::whole("again_every", again.value, &again.span));
    }
    // With double copies nothing is masked after the step anyway.
    let (hold, word, at) = match (copies, forward) {
        (Some(at), _) => (Hold::Shadow, "shadow", Some(at)),
        (None, Some(at)) => (Hold::Forward, "forward", Some(at)),
        (None, None) => (Hold::Always, "always", None),
    };
    read.hold = hold;
    if let Some(at) = &at {
        entries.push(Entry::text("hold", word, at));
    }
    entries.extend(gradients.map(|at| Entry::flag("mask_gradients", &at)));
    if let Some(at) = &discard {
        read.for_a_step = true;
        entries.push(Entry::text("lifetime", "step", at));
    }
    if let Some(at) = &skip {
        entries.push(Entry::text("first", "next_step", at));
        let text = "the first selection of the policy waits for a batch; Distiller waited in epoch 0 \
                    only, and left out the first batch of every other epoch";
        notes.warn(at, text);
    }
    // A hard mask is kept in any case.
    if let (Some(keep), true) = (&keep, hold != Hold::Always) {
        entries.push(Entry::text("after", "hold", keep));
        if !ends_with_a_firing(&policy.window) {
            let text = "`keep_mask` acts at the window's end; Distiller lost it where the last epoch \
                        before the end is not one of the policy's";
            notes.warn(keep, text);
        }
    }
    if let (Some(at), true) = (&at, has_gaps(&policy.window)) {
        let text = "masks that only the forward pass sees stay on in the epochs between those of the \
                    policy; Distiller left them out there";
        notes.warn(at, text);
    }
    Some(read)
}

fn is_map(levels: &Node, notes: &Notes) -> bool {
    let is_map = matches!(&levels.value, Value::Map(map) if !map.is_empty());
    if !is_map {
        let message = "`levels` is a map: a level for each parameter";
        notes.problem(&levels.span, message);
    }
    is_map
}

/// Where `keep_mask` stands, if it is true; all other arguments of a regularization policy are problems.
pub(crate) fn keeps_mask(policy: &Policy<'_>) -> Option<Range<usize>> {
    let args = policy.args.as_ref()?.afresh();
    let span = args.get("keep_mask").map(|node| node.span.clone());
    let keeps = args.flag("keep_mask");
    args.close();
    span.filter(|_| keeps)
}

/// All arguments of other policies are problems.
pub(crate) fn no_arguments(policy: &Policy<'_>, notes: &Notes) {
    if let Some(args) = &policy.args {
        let message = format!("a policy of `{}` takes no arguments", policy.kind.key());
        notes.problem(&args.span, message);
    }
}

/// The window as a recipe writes it.
pub(crate) fn when(window: &Window, span: &Range<usize>) -> Vec<Entry> {
    match window.every() {
        None => {
            let epochs: Vec<String> = window.firings().map(|epoch| epoch.to_string()).collect();
            vec![Entry::list("epochs", &epochs, span)]
        }
        Some(every) => {
            let mut entries = vec![
                Entry::whole("start", window.first(), span),
                Entry::whole("end", window.end(), span),
            ];
            entries.extend((every != 1).then(|| Entry::whole("every", every, span)));
            entries
        }
    }
}

/// The window of a learning rate. Distiller's schedulers step at an epoch's end, to the epoch after it;
/// in epoch 0 every schedule is at its beginning.
pub(crate) fn rate_window(window: &Window) -> Window {
    let later = |epoch: u64| epoch.saturating_add(1);
    match window.every() {
        None => {
            let epochs = window.firings().map(later).collect();
            Window::list(epochs).unwrap_or_else(|_| window.clone())
        }
        Some(_) => {
            let start = match window.first() {
                0 => 0,
                first => later(first),
            };
            Window::new(start, later(window.end()), 1).unwrap_or_else(|_| window.clone())
        }
    }
}

/// Whether there are epochs between those of the window.
pub(crate) fn has_gaps(window: &Window) -> bool {
    window.last() - window.first() + 1 != window.count()
}

fn ends_with_a_firing(window: &Window) -> bool {
    window.fires(window.end() - 1)
}

/// A window for readers.
pub(crate) fn in_words(window: &Window) -> String {
    match (window.every(), window.count()) {
        (None, 1) => format!("in epoch {}", window.first()),
        (None, _) => {
            let epochs: Vec<String> = window.firings().map(|epoch| epoch.to_string()).collect();
            format!("in epochs {}", epochs.join(", "))
        }
        (Some(1), _) => format!("in epochs {} to {}", window.first(), window.end() - 1),
        (Some(every), _) => {
            format!(
                "in epochs {} to {}, every {every}",
                window.first(),
                window.end() - 1
            )
        }
    }
}
