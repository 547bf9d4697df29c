//! One pruner on its way into a recipe.

use calcine_fold::Granularity;
use calcine_schedule::Window;

use super::regime::{Regime, named_by_granularity, regimes, warn_of_means};
use crate::fields::Fields;
use crate::node::{At, Map, Node};
use crate::notes::Notes;
use crate::schedule::Instance;
use crate::text::{Entry, Table, float};

/// What of a pruner is said by its policy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Variant<'a> {
    pub(crate) fold_norm: bool,
    /// Levels in the place of the pruner's own.
    pub(crate) levels: Option<&'a Node>,
}

/// What a pruner becomes.
#[derive(Debug)]
pub(crate) enum Pruner {
    /// Several where Distiller has one that treats parameters differently.
    Tables(Vec<Table>),
    /// A Bernoulli selection: masks must not stay.
    Bernoulli(Table),
}

/// Makes the tables of one pruner.
pub(crate) struct Maker<'a, 'b> {
    pub(crate) instance: &'b Instance<'a>,
    pub(crate) fields: &'b Fields<'a>,
    pub(crate) variant: Variant<'b>,
}

impl Maker<'_, '_> {
    pub(crate) fn notes(&self) -> &Notes {
        self.fields.notes
    }

    /// A table without an amount.
    pub(crate) fn table(
        &self,
        name: String,
        score: &str,
        granularity: Option<At<Granularity>>,
    ) -> Table {
        let Instance {
            class, name: at, ..
        } = self.instance;
        let mut entries = vec![Entry::text("score", score, &class.span)];
        if let Some(granularity) = granularity {
            entries.push(Entry::text(
                "granularity",
                &granularity.value.to_string(),
                &granularity.span,
            ));
        }
        if self.variant.fold_norm {
            entries.push(Entry::flag("fold_norm", &class.span));
        }
        Table {
            name,
            about: class.value.clone(),
            entries,
            by_name: None,
            span: at.span.clone(),
        }
    }

    pub(crate) fn name(&self) -> String {
        self.instance.name.value.clone()
    }

    /// One table for the parameters that are named, another for `"*"`.
    pub(crate) fn by_name_or_star(
        &self,
        amount: &'static str,
        numbers: Vec<(At<String>, At<f64>)>,
        more: &[Entry],
    ) -> Vec<Table> {
        let (stars, named): (Vec<_>, Vec<_>) =
            numbers.into_iter().partition(|(name, _)| name.value == "*");
        let mut tables = Vec::new();
        let star_name = match named.is_empty() {
            true => self.name(),
            false => format!("{}_rest", self.name()),
        };
        if !named.is_empty() {
            let mut table = self.table(self.name(), "magnitude", None);
            table.entries.extend_from_slice(more);
            let each = |(name, number): &(At<String>, At<f64>)| {
                Entry::of_parameter(&name.value, float(number.value), &number.span)
            };
            table.by_name = Some((amount, named.iter().map(each).collect()));
            tables.push(table);
        }
        for (star, number) in stars {
            let text = "`*` is every parameter, biases and batch norms too, as in Distiller: `**`; \
                        weights alone are `**.weight`";
            self.notes().warn(&star.span, text);
            let mut table = self.table(star_name.clone(), "magnitude", None);
            let others: Vec<String> = named.iter().map(|(n, _)| format!("!{}", n.value)).collect();
            let patterns = std::iter::once("**").chain(others.iter().map(String::as_str));
            table
                .entries
                .insert(0, Entry::texts("params", patterns, &star.span));
            table.entries.extend_from_slice(more);
            table.entries.push(Entry::number(amount, &number));
            tables.push(table);
        }
        tables
    }

    pub(crate) fn magnitude(&self) -> Option<Pruner> {
        let thresholds = self.fields.number_by_name("thresholds");
        let words = "a threshold for each parameter, and for all others `\"*\"`";
        let thresholds = self.fields.need("thresholds", words, thresholds)?;
        if !thresholds.iter().any(|(name, _)| name.value == "*") {
            let message = "`thresholds` has no `\"*\"`, which Distiller insists on";
            self.notes().problem(&self.fields.span, message);
            return None;
        }
        Some(Pruner::Tables(self.by_name_or_star(
            "threshold",
            thresholds,
            &[],
        )))
    }

    pub(crate) fn sensitivity(&self) -> Option<Pruner> {
        let sensitivities = self.fields.number_by_name("sensitivities");
        let words = "a number of deviations for each parameter";
        let sensitivities = self.fields.need("sensitivities", words, sensitivities)?;
        // A folded weight is a tensor of its own each time, so its deviation is measured anew.
        let span = &self.instance.class.span;
        let refresh = self.variant.fold_norm.then(|| Entry::flag("refresh", span));
        let more: Vec<Entry> = refresh.into_iter().collect();
        Some(Pruner::Tables(self.by_name_or_star(
            "sensitivity",
            sensitivities,
            &more,
        )))
    }

    pub(crate) fn level(&self) -> Option<Pruner> {
        let own = self.fields.number_by_name("levels");
        let levels = match self.variant.levels {
            None => self
                .fields
                .need("levels", "a level for each parameter", own)?,
            Some(levels) => {
                let key = At::new("levels".to_owned(), levels.span.clone());
                let of_policy: Map = vec![(key, levels.clone())];
                let fields = Fields::new(&of_policy, levels.span.clone(), self.notes());
                fields.number_by_name("levels")?
            }
        };
        self.warn_of_ties();
        Some(Pruner::Tables(self.by_name_or_star("level", levels, &[])))
    }

    pub(crate) fn splicing(&self) -> Option<Pruner> {
        let sensitivities = self.fields.number_by_name("sensitivities");
        let words = "a number of deviations for each parameter";
        let sensitivities = self.fields.need("sensitivities", words, sensitivities);
        let low = self.fields.number("low_thresh_mult");
        let low = self.fields.need("low_thresh_mult", "0.9, say", low);
        let high = self.fields.number("hi_thresh_mult");
        let high = self.fields.need("hi_thresh_mult", "1.1, say", high);
        let growth = self.fields.number("sensitivity_multiplier");
        let mut more = vec![Entry::number("low", &low?), Entry::number("high", &high?)];
        // Distiller takes no notice of one below zero.
        let growth = growth.filter(|growth| growth.value > 0.0);
        more.extend(growth.map(|growth| Entry::number("growth", &growth)));
        Some(Pruner::Tables(self.by_name_or_star(
            "hysteresis",
            sensitivities?,
            &more,
        )))
    }

    pub(crate) fn baidu_rnn(&self, window: &Window) -> Option<Pruner> {
        let q = self.fields.number("q");
        let q = self.fields.need("q", "the final threshold", q);
        let offset = self.fields.count("ramp_epoch_offset");
        let offset = self
            .fields
            .need("ramp_epoch_offset", "epochs up to the bend", offset);
        let slope = self.fields.number("ramp_slope_mult");
        let slope = self
            .fields
            .need("ramp_slope_mult", "the second slope by the first", slope);
        let params = self.params();
        self.ramp(window)?;
        let (q, offset, slope) = (q?, offset?, slope?);
        if window.end() - window.first() < offset.value {
            let message = "the policy ends before the threshold's bend";
            self.notes().problem(&offset.span, message);
            return None;
        }
        let ramp = format!(
            "{{ curve = \"two_slopes\", q = {}, ramp_offset = {}, ramp_slope = {} }}",
            float(q.value),
            offset.value,
            float(slope.value)
        );
        let mut table = self.table(self.name(), "magnitude", None);
        table.entries.insert(0, params?);
        table
            .entries
            .push(Entry::written("threshold", ramp, &q.span));
        Some(Pruner::Tables(vec![table]))
    }

    pub(crate) fn gradual(&self, window: &Window) -> Option<Pruner> {
        let curve = self.cubic("level", window);
        let params = self.params();
        self.warn_of_ties();
        let mut table = self.table(self.name(), "magnitude", None);
        table.entries.insert(0, params?);
        table.entries.push(curve?);
        Some(Pruner::Tables(vec![table]))
    }

    pub(crate) fn structure_threshold(&self) -> Option<Pruner> {
        let criterion = self.fields.text("threshold_criteria");
        let words = "Mean_Abs or Max";
        let criterion = self.fields.need("threshold_criteria", words, criterion);
        let regimes = regimes(self.fields)?;
        let criterion = criterion?;
        let score = match criterion.value.as_str() {
            "Mean_Abs" => "magnitude",
            "Max" => "max",
            other => {
                let message = format!("`threshold_criteria` is `{other}`, expected {words}");
                self.notes().problem(&criterion.span, message);
                return None;
            }
        };
        warn_of_means(&regimes, &criterion, self.notes());
        let table = |name: String, regime: &Regime| {
            let granularity = At::new(regime.granularity, regime.granularity_span.clone());
            let mut table = self.table(name, score, Some(granularity));
            table.by_name = Some(("threshold", regime.entries.clone()));
            table
        };
        Some(Pruner::Tables(named_by_granularity(
            &self.name(),
            &regimes,
            table,
        )))
    }

    /// `weights` as `params`.
    pub(crate) fn params(&self) -> Option<Entry> {
        let notes = self.notes();
        let node = self.fields.get("weights");
        // Distiller looks for the parameter's name in this text.
        if let Some(name) = node.and_then(|node| node.value.as_text().map(|text| (node, text))) {
            let (node, text) = name;
            let warning = "`weights` is a text, not a list: Distiller took every parameter whose name \
                           is a part of it, the recipe takes the one of this name";
            notes.warn(&node.span, warning);
            return Some(Entry::texts("params", [text], &node.span));
        }
        let names = self.fields.names("weights");
        let names = self
            .fields
            .need("weights", "a list of parameter names", names)?;
        let texts = names.value.iter().map(|name| name.value.as_str());
        Some(Entry::texts("params", texts, &names.span))
    }

    /// `initial_sparsity` and `final_sparsity`.
    pub(crate) fn cubic(&self, amount: &'static str, window: &Window) -> Option<Entry> {
        let from = self.fields.number("initial_sparsity");
        let from = self
            .fields
            .need("initial_sparsity", "the first level", from);
        let to = self.fields.number("final_sparsity");
        let to = self.fields.need("final_sparsity", "the last level", to);
        self.ramp(window)?;
        let (from, to) = (from?, to?);
        if to.value <= from.value {
            let message = format!(
                "`final_sparsity` is {}, not above the initial one",
                to.value
            );
            self.notes().problem(&to.span, message);
            return None;
        }
        let (low, high) = (float(from.value), float(to.value));
        let curve = format!("{{ curve = \"cubic\", from = {low}, to = {high} }}");
        Some(Entry::written(amount, curve, &from.span))
    }

    /// A ramp needs a way to go.
    pub(crate) fn ramp(&self, window: &Window) -> Option<()> {
        if window.every().is_some() && window.count() > 1 {
            return Some(());
        }
        let (name, class) = (&self.instance.name.value, &self.instance.class);
        let message = format!(
            "`{name}` moves step by step, and a policy of it is a list of epochs or acts once: it \
             needs `starting_epoch`, `ending_epoch` and a `frequency` below their distance"
        );
        self.notes().problem(&class.span, message);
        None
    }

    pub(crate) fn warn_of_ties(&self) {
        let text = "a level drops exactly ⌊level·N⌋ units; Distiller also dropped all that tie with \
                    the last of them";
        self.notes().warn(&self.instance.class.span, text);
    }
}
