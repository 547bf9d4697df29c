//! Learning-rate schedulers: from a class and its arguments to `[lr.NAME]`.

use calcine_schedule::Window;

use crate::fields::Fields;
use crate::node::At;
use crate::schedule::Instance;
use crate::text::{Entry, Table, float};
use calcine_names::suggest;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Step,
    MultiStep,
    MultiStepMultiGamma,
    Exponential,
    Cosine,
    CosineRestarts,
    Plateau,
    Polynomial,
    Left(&'static str),
}

const CLASSES: [(&str, Class); 11] = [
    ("StepLR", Class::Step),
    ("MultiStepLR", Class::MultiStep),
    ("MultiStepMultiGammaLR", Class::MultiStepMultiGamma),
    ("ExponentialLR", Class::Exponential),
    ("CosineAnnealingLR", Class::Cosine),
    ("CosineAnnealingWarmRestarts", Class::CosineRestarts),
    ("ReduceLROnPlateau", Class::Plateau),
    ("PolynomialLR", Class::Polynomial),
    (
        "LambdaLR",
        Class::Left("its factor is a function in Python"),
    ),
    (
        "CyclicLR",
        Class::Left("it steps by the batch, which Distiller's policies do not"),
    ),
    (
        "OneCycleLR",
        Class::Left("it steps by the batch, which Distiller's policies do not"),
    ),
];

/// Arguments of a plateau that recipes have not, and their defaults.
const PLATEAU: [(&str, f64); 4] = [
    ("threshold", 1e-4),
    ("cooldown", 0.0),
    ("min_lr", 0.0),
    ("eps", 1e-8),
];

/// What a schedule becomes.
#[derive(Debug)]
pub(crate) enum Rate {
    Table(Table),
    /// Nothing, and why.
    Left(&'static str),
}

/// The schedule, for a policy with this window in a run that begins at `base`; `None` after a problem.
pub(crate) fn convert(instance: &Instance<'_>, window: &Window, base: f64) -> Option<Rate> {
    let fields = instance.fields.afresh();
    let class = &instance.class;
    let Some((_, kind)) = CLASSES.into_iter().find(|(word, _)| *word == class.value) else {
        let hint = suggest(&class.value, CLASSES.iter().map(|(word, _)| *word));
        let message = format!("unknown scheduler class `{}`; {hint}", class.value);
        fields.notes.problem(&class.span, message);
        return None;
    };
    fields.text("class");
    let maker = Maker {
        fields: &fields,
        class,
        window,
        base,
    };
    let (word, entries) = match kind {
        Class::Step => ("step", maker.step()),
        Class::MultiStep => ("multi_step", maker.multi_step()),
        Class::MultiStepMultiGamma => ("multi_step_multi_gamma", maker.multi_gamma()),
        Class::Exponential => ("exponential", maker.exponential()),
        Class::Cosine => ("cosine", maker.cosine()),
        Class::CosineRestarts => ("cosine_warm_restarts", maker.cosine_restarts()),
        Class::Plateau => ("plateau", maker.plateau()),
        Class::Polynomial => ("polynomial", maker.polynomial()),
        Class::Left(why) => return Some(Rate::Left(why)),
    };
    fields.close();
    let mut all = vec![Entry::text("type", word, &class.span)];
    all.extend(entries?);
    Some(Rate::Table(Table {
        name: instance.name.value.clone(),
        about: class.value.clone(),
        entries: all,
        by_name: None,
        span: instance.name.span.clone(),
    }))
}

struct Maker<'a, 'b> {
    fields: &'b Fields<'a>,
    class: &'b At<String>,
    window: &'b Window,
    base: f64,
}

impl Maker<'_, '_> {
    fn step(&self) -> Option<Vec<Entry>> {
        let size = self.fields.count("step_size");
        let size = self
            .fields
            .need("step_size", "epochs between two drops", size);
        let gamma = self.gamma();
        let size = size?;
        Some(vec![
            Entry::whole("step_size", size.value, &size.span),
            gamma,
        ])
    }

    fn multi_step(&self) -> Option<Vec<Entry>> {
        let gamma = self.gamma();
        Some(vec![self.milestones()?, gamma])
    }

    fn multi_gamma(&self) -> Option<Vec<Entry>> {
        let gammas = self.fields.numbers("gammas");
        let gammas = self
            .fields
            .need("gammas", "a factor for each milestone", gammas);
        let milestones = self.milestones();
        let gammas = gammas?;
        let numbers: Vec<String> = gammas.value.iter().copied().map(float).collect();
        Some(vec![
            milestones?,
            Entry::list("gammas", &numbers, &gammas.span),
        ])
    }

    fn exponential(&self) -> Option<Vec<Entry>> {
        let gamma = self.fields.number("gamma");
        let gamma = self.fields.need("gamma", "the factor of an epoch", gamma)?;
        Some(vec![Entry::number("gamma", &gamma)])
    }

    fn cosine(&self) -> Option<Vec<Entry>> {
        let length = self.length("T_max");
        let floor = self.floor();
        let length = length?;
        if (self.window.end() as f64) > length.value {
            let text = "after `T_max` the rate stays where it is; PyTorch's cosine rises again";
            self.fields.notes.warn(&length.span, text);
        }
        let mut entries = vec![Entry::number("t_max", &length)];
        entries.extend(floor);
        Some(entries)
    }

    fn cosine_restarts(&self) -> Option<Vec<Entry>> {
        let period = self.length("T_0");
        let growth = self.fields.number("T_mult");
        let floor = self.floor();
        let mut entries = vec![Entry::number("period", &period?)];
        entries.extend(growth.map(|growth| Entry::number("growth", &growth)));
        entries.extend(floor);
        Some(entries)
    }

    fn polynomial(&self) -> Option<Vec<Entry>> {
        let length = self.length("T_max");
        let power = self.fields.number("power");
        let power = self.fields.need("power", "1 is a straight line", power);
        let length = length?;
        if (self.window.end() as f64) > length.value {
            let text = "after `T_max` the rate stays 0; Distiller's polynomial goes on";
            self.fields.notes.warn(&length.span, text);
        }
        Some(vec![
            Entry::number("t_max", &length),
            Entry::number("power", &power?),
        ])
    }

    fn plateau(&self) -> Option<Vec<Entry>> {
        let notes = self.fields.notes;
        let factor = self.fields.number("factor");
        let patience = self.fields.count("patience");
        if let Some(mode) = self.fields.text("mode")
            && mode.value != "min"
        {
            let text =
                "a plateau goes by the validation loss; Distiller's mode `max` went by top-1";
            notes.warn(&mode.span, text);
        }
        let rule = self.fields.get("threshold_mode");
        let rule = rule.filter(|rule| rule.value.as_text() != Some("rel"));
        let mut others: Vec<_> = rule
            .map(|node| ("threshold_mode", node))
            .into_iter()
            .collect();
        for (key, default) in PLATEAU {
            let node = self.fields.get(key);
            let node = node.filter(|node| node.value.as_number() != Some(default));
            others.extend(node.map(|node| (key, node)));
        }
        for (key, node) in others {
            notes.warn(
                &node.span,
                format!("`{key}` of a plateau is left out: recipes have none"),
            );
        }
        self.fields.get("verbose");
        if self.window.first() > 0 {
            let text = "a plateau counts epochs from the run's first, not from its window's";
            notes.warn(&self.class.span, text);
        }
        let factor = factor.map(|factor| Entry::number("factor", &factor));
        let patience =
            patience.map(|patience| Entry::whole("patience", patience.value, &patience.span));
        Some(factor.into_iter().chain(patience).collect())
    }

    /// PyTorch's default is 0.1.
    fn gamma(&self) -> Entry {
        let gamma = self.fields.number("gamma");
        let gamma = gamma.unwrap_or_else(|| At::new(0.1, self.class.span.clone()));
        Entry::number("gamma", &gamma)
    }

    fn milestones(&self) -> Option<Entry> {
        let milestones = self.fields.counts("milestones");
        let milestones = self
            .fields
            .need("milestones", "a list of epochs", milestones)?;
        let numbers: Vec<String> = milestones.value.iter().map(u64::to_string).collect();
        Some(Entry::list("milestones", &numbers, &milestones.span))
    }

    fn length(&self, key: &'static str) -> Option<At<f64>> {
        let length = self.fields.number(key);
        self.fields.need(key, "a number of epochs", length)
    }

    /// `eta_min` is a rate; a recipe's floor is a share of the first one.
    fn floor(&self) -> Option<Entry> {
        let rate = self
            .fields
            .number("eta_min")
            .filter(|rate| rate.value != 0.0)?;
        let text = format!(
            "`eta_min` is a rate and `floor` a share of `lr`, which is taken to be {}",
            float(self.base)
        );
        self.fields.notes.warn(&rate.span, text);
        let floor = At::new(rate.value / self.base, rate.span);
        Some(Entry::number("floor", &floor))
    }
}
