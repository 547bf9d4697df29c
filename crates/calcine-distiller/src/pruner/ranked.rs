//! Pruners that rank filters, channels, rows or blocks.

use calcine_fold::Granularity;
use calcine_schedule::Window;

use super::maker::{Maker, Pruner};
use crate::group::{Reader, block, granularities};
use crate::node::At;
use crate::text::{Entry, Table, float};

/// A class of ranking pruners.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ranked {
    score: &'static str,
    level: Level,
    groups: Groups,
    /// `level`, or the probability of a Bernoulli selection.
    amount: &'static str,
    /// Whether what is left makes up for what is dropped.
    reconstructs: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Fixed,
    Gradual,
    Drawn,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Groups {
    Any,
    Filters,
    Inputs,
}

impl Ranked {
    pub(crate) const L1: Self = Self {
        score: "l1",
        level: Level::Fixed,
        groups: Groups::Any,
        amount: "level",
        reconstructs: false,
    };
    pub(crate) const L2: Self = Self {
        score: "l2",
        ..Self::L1
    };
    pub(crate) const RANDOM_LEVEL: Self = Self {
        level: Level::Drawn,
        ..Self::L1
    };
    pub(crate) const GRADIENT: Self = Self {
        score: "taylor_signed",
        groups: Groups::Filters,
        ..Self::L1
    };
    pub(crate) const RANDOM: Self = Self {
        score: "random",
        ..Self::GRADIENT
    };
    pub(crate) const APOZ: Self = Self {
        score: "apoz",
        ..Self::GRADIENT
    };
    pub(crate) const MEAN_ACTIVATION: Self = Self {
        score: "mean_activation",
        ..Self::GRADIENT
    };
    pub(crate) const RECONSTRUCTION: Self = Self {
        groups: Groups::Inputs,
        reconstructs: true,
        ..Self::L1
    };
    pub(crate) const BERNOULLI: Self = Self {
        amount: "bernoulli",
        ..Self::RANDOM
    };

    /// The class with `_AGP` behind its name.
    pub(crate) const fn gradual(self) -> Self {
        Self {
            level: Level::Gradual,
            ..self
        }
    }

    fn is_bernoulli(self) -> bool {
        self.amount == "bernoulli"
    }
}

pub(crate) fn ranked(maker: &Maker<'_, '_>, mut class: Ranked, window: &Window) -> Option<Pruner> {
    if class.reconstructs {
        class.score = norm(maker)?;
    }
    let params = maker.params();
    let granularity = granularity(maker, class);
    let amount = amount(maker, class, window);
    let more = options(maker, class);
    warn(maker, class);
    let mut table: Table = maker.table(maker.name(), class.score, Some(granularity?));
    table.entries.insert(0, params?);
    table.entries.push(amount?);
    table.entries.extend(more?);
    Some(match class.is_bernoulli() {
        true => Pruner::Bernoulli(table),
        false => Pruner::Tables(vec![table]),
    })
}

/// `magnitude_fn`: the norm that ranks, the L1 norm unless it says something else.
fn norm(maker: &Maker<'_, '_>) -> Option<&'static str> {
    let Some(word) = maker.fields.text("magnitude_fn") else {
        return Some("l1");
    };
    match word.value.as_str() {
        "l1" => Some("l1"),
        "l2" => Some("l2"),
        other => {
            let message = format!("`magnitude_fn` is `{other}`, expected l1 or l2");
            maker.notes().problem(&word.span, message);
            None
        }
    }
}

/// `group_type`, and of blocks `kwargs`.
fn granularity(maker: &Maker<'_, '_>, class: Ranked) -> Option<At<Granularity>> {
    let (fields, notes) = (maker.fields, maker.notes());
    let word = fields.text("group_type");
    let kwargs = fields.map("kwargs");
    let word = fields.need("group_type", "Filters, Channels, Rows or Blocks", word)?;
    if word.value == "Blocks" && class.groups == Groups::Any {
        let granularity = block(&word.span, kwargs, notes)?;
        return Some(At::new(granularity, word.span));
    }
    if let Some(kwargs) = kwargs {
        notes.problem(
            &kwargs.span,
            "`kwargs` has the shape of `Blocks`, and there are none",
        );
    }
    let granularity = *granularities(&word, Reader::Ranking, notes)?.first()?;
    if class.groups == Groups::Filters && granularity != Granularity::Filter {
        let message = format!("`{}`: this class ranks filters only", word.value);
        notes.problem(&word.span, message);
        return None;
    }
    let is_input = matches!(granularity, Granularity::Channel | Granularity::FcInput);
    if class.groups == Groups::Inputs && !is_input {
        let message = format!(
            "`{}`: this class ranks inputs, Channels or Rows",
            word.value
        );
        notes.problem(&word.span, message);
        return None;
    }
    Some(At::new(granularity, word.span))
}

fn amount(maker: &Maker<'_, '_>, class: Ranked, window: &Window) -> Option<Entry> {
    let fields = maker.fields;
    match class.level {
        Level::Gradual => maker.cubic(class.amount, window),
        Level::Fixed => {
            let level = fields.number("desired_sparsity");
            let level = fields.need("desired_sparsity", "the level", level)?;
            Some(Entry::number(class.amount, &level))
        }
        Level::Drawn => {
            let range = fields.numbers("sparsity_range");
            let range = fields.need("sparsity_range", "two levels", range)?;
            let [low, high] = range.value[..] else {
                let message = "`sparsity_range` is two levels, the lower one first";
                maker.notes().problem(&range.span, message);
                return None;
            };
            let value = format!("{{ range = [{}, {}] }}", float(low), float(high));
            Some(Entry::written(class.amount, value, &range.span))
        }
    }
}

/// `group_dependency`, `group_size`, `rounding_fn` and `noise`; `None` after a problem.
fn options(maker: &Maker<'_, '_>, class: Ranked) -> Option<Vec<Entry>> {
    let (fields, notes) = (maker.fields, maker.notes());
    let mut entries = Vec::new();
    let mut sound = true;
    if let Some(word) = fields.text("group_dependency") {
        match word.value.as_str() {
            "Leader" => {
                let text = "the first layer's scores decide anew at every firing; Distiller's choice stands \
                            while the level does not change";
                notes.warn(&word.span, text);
                if !matches!(class.score, "l1" | "l2") {
                    let text =
                        "`group_dependency` of this class did nothing in Distiller, or failed";
                    notes.warn(&word.span, text);
                }
                entries.push(Entry::text("aggregate", "first", &word.span));
            }
            other => {
                let message = format!("`group_dependency` is `{other}`, expected Leader");
                notes.problem(&word.span, message);
                sound = false;
            }
        }
    }
    if let Some(size) = fields.count("group_size")
        && size.value != 1
    {
        let text = "`group_size` failed in Distiller, or pruned nothing; here it makes the number of \
                    pruned units a multiple";
        notes.warn(&size.span, text);
        entries.push(Entry::whole("multiple", size.value, &size.span));
    }
    if let Some(word) = fields.text("rounding_fn") {
        let text = "`rounding_fn` acts here; Distiller always took the floor";
        notes.warn(&word.span, text);
        let rounding = word.value.rsplit('.').next().unwrap_or_default();
        entries.push(Entry::text("rounding", rounding, &word.span));
    }
    if let Some(noise) = fields.number("noise")
        && noise.value != 0.0
    {
        warn_of_streams(maker);
        entries.push(Entry::number("noise", &noise));
    }
    if class.reconstructs {
        entries.push(Entry::flag("reconstruct", &maker.instance.class.span));
    }
    sound.then_some(entries)
}

fn warn(maker: &Maker<'_, '_>, class: Ranked) {
    let (notes, span) = (maker.notes(), &maker.instance.class.span);
    if class.score == "random" || class.level == Level::Drawn {
        warn_of_streams(maker);
    }
    if matches!(class.score, "apoz" | "mean_activation") {
        let text = "activations are looked at when the pruner fires, over its `batches`; Distiller had \
                    those of the epoch before, and failed where none were collected";
        notes.warn(span, text);
    }
    if class.score == "mean_activation" {
        let text = "the least active filters go; Distiller removed the most active ones";
        notes.warn(span, text);
    }
    if class.reconstructs {
        let text = "inputs and outputs are sampled when the pruner fires; Distiller had them collected \
                    before the run";
        notes.warn(span, text);
    }
    if class.score == "taylor_signed" {
        let text = "filters are ranked by the signed sum of weight times gradient, as in Distiller; \
                    `taylor` is its magnitude, which the cited method means. The gradient is that of \
                    the batch after the firing, where Distiller had the batch before it";
        notes.warn(span, text);
    }
    if !class.is_bernoulli() {
        maker.warn_of_ties();
    }
}

fn warn_of_streams(maker: &Maker<'_, '_>) {
    let text = "what is drawn at random is drawn from another stream: equal seeds, other choices";
    maker.notes().warn(&maker.instance.class.span, text);
}
