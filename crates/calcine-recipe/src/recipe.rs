use std::path::Path;

use calcine_names::suggest;
use toml::de::DeTable;

use crate::data::ImageData;
use crate::distillation::DistillationSettings;
use crate::error::{Found, Problems, RecipeError};
use crate::length;
use crate::policy::{Kind, Policy};
use crate::pruner::Pruner;
use crate::quantization::RecipeQuantization;
use crate::rate::Rate;
use crate::regularizer::Regularizer;
use crate::rewind::Rewind;
use crate::runner_table::RunnerTable;
use crate::section::{At, Section};
use crate::thinning::Thinning;
use crate::train::Train;

/// The version of the grammar.
const FORMAT: u64 = 1;

/// A valid recipe; [`bind`](Self::bind) checks it against a model.
#[derive(Debug, Clone)]
pub struct Recipe {
    pub(crate) file: Option<String>,
    pub(crate) text: String,
    pub(crate) parts: Parts,
}

/// The tables of a recipe.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    pub(crate) train: Train,
    /// Whether there is a `[train]`.
    pub(crate) trains: bool,
    pub(crate) train_span: std::ops::Range<usize>,
    pub(crate) data: ImageData,
    pub(crate) pruners: Vec<Pruner>,
    pub(crate) regularizers: Vec<Regularizer>,
    pub(crate) rates: Vec<Rate>,
    pub(crate) rewind: Option<Rewind>,
    pub(crate) thinning: Option<At<Thinning>>,
    pub(crate) quantization: Option<At<RecipeQuantization>>,
    pub(crate) distillation: Option<At<DistillationSettings>>,
    pub(crate) policies: Vec<Policy>,
}

impl Recipe {
    /// Reads a recipe from a file.
    ///
    /// # Errors
    ///
    /// If it cannot be read or is not valid; the error contains all problems with their positions.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, RecipeError> {
        let path = path.as_ref();
        let file = Some(path.display().to_string());
        match std::fs::read_to_string(path) {
            Ok(text) => Self::read(file, &text),
            Err(error) => {
                let message = format!("the recipe cannot be read: {error}");
                Err(RecipeError::of_found(
                    file,
                    "",
                    vec![Found {
                        span: 0..0,
                        message,
                    }],
                ))
            }
        }
    }

    /// Reads a recipe from text.
    ///
    /// # Errors
    ///
    /// If it is not valid; the error contains all problems with their positions.
    pub fn parse(text: &str) -> Result<Self, RecipeError> {
        Self::read(None, text)
    }

    /// Reads a recipe from text; errors refer to it by this file name.
    ///
    /// # Errors
    ///
    /// Those of [`parse`](Self::parse).
    pub fn parse_as(file: impl Into<String>, text: &str) -> Result<Self, RecipeError> {
        Self::read(Some(file.into()), text)
    }

    /// `[train]`. In a recipe without it, a run of no epochs.
    #[must_use]
    pub fn train(&self) -> &Train {
        &self.parts.train
    }

    /// `[train]`, to be overridden.
    pub fn train_mut(&mut self) -> &mut Train {
        &mut self.parts.train
    }

    /// `[data]`: the normalisation of images.
    #[must_use]
    pub fn data(&self) -> &ImageData {
        &self.parts.data
    }

    /// `[data]`, to be overridden.
    pub fn data_mut(&mut self) -> &mut ImageData {
        &mut self.parts.data
    }

    /// `[thin]`: when the network is thinned, if it is.
    #[must_use]
    pub fn thinning(&self) -> Option<&Thinning> {
        self.parts.thinning.as_ref().map(|thinning| &thinning.value)
    }

    /// Whether the recipe has a `[train]` table. Without one, it quantizes a network after training.
    #[must_use]
    pub fn trains(&self) -> bool {
        self.parts.trains
    }

    /// `[quantize]`: how the network is quantized, if it is; during training if the recipe [trains](Self::trains).
    #[must_use]
    pub fn quantization(&self) -> Option<&RecipeQuantization> {
        let asked = self.parts.quantization.as_ref();
        asked.map(|asked| &asked.value)
    }

    /// `[distill]`: the teacher of the network, if there is one.
    #[must_use]
    pub fn distillation(&self) -> Option<&DistillationSettings> {
        let asked = self.parts.distillation.as_ref();
        asked.map(|asked| &asked.value)
    }

    /// The tables that the runner has to execute, because a driver does not, in the order of [`RunnerTable`].
    #[must_use]
    pub fn runner_tables(&self) -> Vec<RunnerTable> {
        let parts = &self.parts;
        let all = [
            parts.thinning.as_ref().map(|_| RunnerTable::Thin),
            parts.quantization.as_ref().map(|_| RunnerTable::Quantize),
            parts.distillation.as_ref().map(|_| RunnerTable::Distill),
        ];
        all.into_iter().flatten().collect()
    }

    /// Whether it needs a traced network: for thinning, for dependency groups, for the norm that follows a layer, or
    /// for activations.
    #[must_use]
    pub fn needs_network(&self) -> bool {
        let pruners = &self.parts.pruners;
        self.parts.thinning.is_some()
            || self.parts.quantization.is_some()
            || pruners.iter().any(Pruner::needs_network)
    }

    /// The file name, if it came from a file.
    #[must_use]
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    /// The text of the recipe.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    fn read(file: Option<String>, text: &str) -> Result<Self, RecipeError> {
        let problems = Problems::default();
        let (document, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            let found = errors.into_iter().map(|error| Found {
                span: error.span().unwrap_or(0..0),
                message: error.message().to_owned(),
            });
            return Err(RecipeError::of_found(file, text, found.collect()));
        }
        let parts = read(document.get_ref(), &problems);
        let found = problems.into_inner();
        match parts {
            Some(parts) if found.is_empty() => {
                let text = text.to_owned();
                Ok(Self { file, text, parts })
            }
            _ => Err(RecipeError::of_found(file, text, found)),
        }
    }
}

/// Reads all parts; a missing part has been reported as a problem.
fn read(document: &DeTable<'_>, problems: &Problems) -> Option<Parts> {
    let root = Section::new(document, 0..0, problems);
    let format = root.count("format");
    if let Some(format) = root.need("format", "the version of the grammar, `format = 1`", format)
        && format.value != FORMAT
    {
        let message = format!(
            "format {} is unknown; this version reads {FORMAT}",
            format.value
        );
        problems.add(&format.span, message);
    }
    let mut train_span = 0..0;
    let train = match root.table("train") {
        Some(section) => {
            train_span = section.span.clone();
            Train::read(section)
        }
        None => None,
    };
    // Quantization after training needs no `[train]`.
    let trains = root.has("train") || !root.has("quantize");
    if trains && !root.has("train") {
        problems.add(&(0..0), "`[train]` is missing: at least `epochs`");
    }
    let data = root.table("data").map(ImageData::read).unwrap_or_default();
    // If the length of the run is not known, no moment is too late.
    let known = train.is_some() || !trains;
    let epochs = train.as_ref().map_or(u64::MAX, |train| train.epochs);
    let (pruners, pruner_names) = named(&root, "pruner", Pruner::read);
    let (regularizers, regularizer_names) = named(&root, "regularizer", Regularizer::read);
    let (rates, rate_names) = named(&root, "lr", |name, section| {
        Rate::read(name, section, epochs)
    });
    let rewind = root.table("rewind").map(Rewind::read);
    let thinning = root.table("thin").map(Thinning::read);
    let whole = |section: &Section<'_>| section.span.clone();
    let quantization = root.table("quantize").map(|section| {
        let span = whole(&section);
        RecipeQuantization::read(section, trains).map(|asked| At::new(asked, span))
    });
    let distillation = root.table("distill").map(|section| {
        let span = whole(&section);
        DistillationSettings::read(section).map(|asked| At::new(asked, span))
    });
    if !trains {
        let tables = [
            "pruner",
            "regularizer",
            "lr",
            "policy",
            "rewind",
            "thin",
            "distill",
        ];
        for key in tables.into_iter().filter(|key| root.has(key)) {
            let message = format!(
                "`{key}` is for a recipe with `[train]`: without it the network is quantized after training"
            );
            problems.add(&root.place(key), message);
        }
    }
    if let (true, Some(Some(thinning)), Some(_)) = (trains, &thinning, &quantization) {
        let message = "`[thin]` and `[quantize]` exclude each other: thin first, then train the thinned file quantization-aware";
        problems.add(&thinning.span, message);
    }
    if let Some(span) = rewind.iter().flatten().find_map(|r| r.rate_alone.as_ref())
        && rate_names.is_empty()
    {
        let message =
            "`restore = \"rate\"` needs an `[lr.NAME]`: without one the rate never changes";
        problems.add(span, message);
    }
    let mut uses = Vec::new();
    let sections = root.list("policy").into_iter();
    let policies: Vec<_> = sections
        .filter_map(|section| Policy::read(section, &mut uses))
        .collect();
    root.close();
    for (kind, key, names) in [
        (Kind::Pruner, "pruner", &pruner_names),
        (Kind::Regularizer, "regularizer", &regularizer_names),
        (Kind::Rate, "lr", &rate_names),
    ] {
        let used = || {
            uses.iter()
                .filter(|used| used.kind == kind)
                .map(|used| &used.name)
        };
        for name in used() {
            if !names.iter().any(|known| known.value == name.value) {
                let hint = suggest(&name.value, names.iter().map(|name| name.value.as_str()));
                problems.add(&name.span, format!("no `[{key}.{}]`; {hint}", name.value));
            }
        }
        for name in names {
            if !used().any(|used| used.value == name.value) {
                let message = format!("no policy uses `{key}.{}`", name.value);
                problems.add(&name.span, message);
            }
        }
    }
    let parts = Parts {
        // Without a length, the other settings of the run do not matter.
        train: train.unwrap_or_else(|| match trains {
            true => Train::of_unknown_length(),
            false => Train {
                epochs: 0,
                ..Train::of_unknown_length()
            },
        }),
        trains,
        train_span,
        data,
        pruners,
        regularizers,
        rates,
        rewind: rewind.flatten(),
        thinning: thinning.flatten(),
        quantization: quantization.flatten(),
        distillation: distillation.flatten(),
        policies,
    };
    if trains {
        length::check(&parts, length::Source::Recipe, problems);
    }
    known.then_some(parts)
}

/// Reads the tables `[key.NAME]`: those that are valid, and the names of all.
fn named<'a, T>(
    root: &Section<'a>,
    key: &'static str,
    read: impl Fn(At<String>, Section<'a>) -> Option<T>,
) -> (Vec<T>, Vec<At<String>>) {
    let sections = root.named(key);
    let names = sections.iter().map(|(name, _)| name.clone()).collect();
    let read = |(name, section)| read(name, section);
    (sections.into_iter().filter_map(read).collect(), names)
}
