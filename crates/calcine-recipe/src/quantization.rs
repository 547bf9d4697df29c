use std::fmt;
use std::ops::Range;

use calcine_quantize::{
    AccumulatorSettings, ActivationSettings, FirstLastSettings, FloatType, Method, Override,
    Preparation, QuantizationSettings, RangeEstimator, Rounding, Scheme, WeightSettings,
};

use crate::section::{At, Section};

/// `[quantize]`: how a network is quantized, after training or, in a recipe with `[train]`, during training.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RecipeQuantization {
    /// Bits, schemes and range estimators, for all layers and for single ones.
    pub settings: QuantizationSettings,
    /// `[quantize.training]`: the method and schedule of quantization-aware training. It is ignored in a recipe without
    /// `[train]`.
    pub training: QuantizationSchedule,
}

/// `[quantize.training]`: the method and schedule of quantization-aware training.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct QuantizationSchedule {
    /// How weights and activations are quantized in training.
    pub method: Method,
    /// The number of images with which the initial ranges are calibrated.
    pub images: usize,
    /// The first epoch in which activations are quantized.
    pub start: u64,
    /// The epoch from which on ranges are fixed.
    pub freeze_ranges: Option<u64>,
    /// The epoch from which on the statistics of batch norms are fixed.
    pub freeze_norms: Option<u64>,
}

impl Default for QuantizationSchedule {
    /// LSQ from the first epoch on, calibrated with 1,000 images; nothing is frozen.
    fn default() -> Self {
        Self {
            method: Method::Lsq,
            images: 1000,
            start: 0,
            freeze_ranges: None,
            freeze_norms: None,
        }
    }
}

const METHODS: [(&str, Method); 5] = [
    ("lsq", Method::Lsq),
    ("linear", Method::Linear { decay: DECAY }),
    ("dorefa", Method::Dorefa),
    ("pact", Method::Pact),
    ("wrpn", Method::Wrpn),
];

const FLOATS: [(&str, FloatType); 3] = [
    ("f32", FloatType::F32),
    ("f16", FloatType::F16),
    ("bf16", FloatType::Bf16),
];

const SCHEMES: [(&str, Scheme); 2] = [("symmetric", Scheme::Symmetric), ("affine", Scheme::Affine)];

const ROUNDINGS: [(&str, Rounding); 3] = [
    ("nearest", Rounding::Nearest),
    ("gptq", Rounding::Gptq),
    ("ada_round", Rounding::AdaRound),
];

/// The default decay of moving ranges, which corresponds to a hundred batches.
const DECAY: f64 = 0.99;

/// The positions of the settings that have been read, by the names that their checks use.
#[derive(Default)]
struct Places(Vec<(String, Range<usize>)>);

impl Places {
    /// Records the position of a setting, and sets its value.
    fn put<T>(&mut self, field: impl fmt::Display, setting: &mut T, read: Option<At<T>>) {
        if let Some(At { value, span }) = read {
            *setting = value;
            self.0.push((field.to_string(), span));
        }
    }

    fn of(&self, field: &str) -> Option<&Range<usize>> {
        let mut places = self.0.iter();
        let found = places.find(|(known, _)| known == field);
        found.map(|(_, span)| span)
    }
}

impl RecipeQuantization {
    /// Reads the table, in a recipe with or without `[train]`.
    pub(crate) fn read(section: Section<'_>, trains: bool) -> Option<Self> {
        let problems = section.problems;
        let before = problems.len();
        let mut places = Places::default();
        let mut settings = QuantizationSettings::default();
        if let Some(table) = section.table("prepare") {
            settings.prepare = preparation(table, &mut places);
        }
        if let Some(table) = section.table("weights") {
            settings.weights = weights(table, &mut places);
        }
        if let Some(table) = section.table("activations") {
            settings.activations = activations(table, &mut places);
        }
        if let Some(table) = section.table("accumulator") {
            settings.accumulator = accumulator(table, &mut places);
        }
        if let Some(table) = section.table("first_last") {
            settings.first_last = Some(first_last(table, &mut places));
        }
        let layers = section.list("layer").into_iter();
        settings.layers = layers
            .filter_map(|table| layer(table, &mut places))
            .collect();
        let training = section.table("training");
        if let (Some(training), false) = (&training, trains) {
            let message = "`[quantize.training]` is for a recipe with `[train]`: without it the network is \
                           quantized after training";
            problems.add(&training.span, message);
        }
        let training = training.map_or_else(QuantizationSchedule::default, |table| {
            schedule(table, &settings)
        });
        let span = section.span.clone();
        section.close();
        let wrong = match trains {
            true => settings.problems_of_training(training.method),
            false => settings.problems(),
        };
        for wrong in wrong {
            let place = places.of(&wrong.field).unwrap_or(&span);
            problems.add(
                place,
                format!(
                    "`quantize.{}` is {}, expected {}",
                    wrong.field, wrong.found, wrong.expected
                ),
            );
        }
        let read = Self { settings, training };
        (problems.len() == before).then_some(read)
    }
}

impl QuantizationSchedule {
    /// The keys of what is frozen, and the epochs from which on it is.
    pub(crate) fn freezes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let both = [
            ("freeze_ranges", self.freeze_ranges),
            ("freeze_norms", self.freeze_norms),
        ];
        both.into_iter()
            .filter_map(|(key, epoch)| Some((key, epoch?)))
    }

    /// The epochs at which something begins or is frozen in a run of this length, in ascending order.
    #[must_use]
    pub fn moments(&self, epochs: u64) -> Vec<u64> {
        let start = (self.start > 0).then_some(self.start);
        let all = [start, self.freeze_ranges, self.freeze_norms];
        let mut moments: Vec<u64> = all
            .into_iter()
            .flatten()
            .filter(|at| *at < epochs)
            .collect();
        moments.sort_unstable();
        moments.dedup();
        moments
    }
}

fn preparation(section: Section<'_>, places: &mut Places) -> Preparation {
    let mut read = Preparation::default();
    places.put(
        "prepare.equalize",
        &mut read.equalize,
        section.flag("equalize"),
    );
    places.put(
        "prepare.smooth",
        &mut read.smooth,
        some(section.number("smooth")),
    );
    section.close();
    read
}

fn weights(section: Section<'_>, places: &mut Places) -> WeightSettings {
    let mut read = WeightSettings::default();
    places.put("weights.bits", &mut read.bits, bits(&section, "bits"));
    places.put(
        "weights.scheme",
        &mut read.scheme,
        section.word("scheme", &SCHEMES),
    );
    places.put(
        "weights.per_channel",
        &mut read.per_channel,
        section.flag("per_channel"),
    );
    let group = section.count("group");
    let group = group.map(|group| At::new(group.value as usize, group.span));
    places.put("weights.group", &mut read.group, some(group));
    places.put(
        "weights.range_estimator",
        &mut read.range_estimator,
        range_estimator(&section, "range_estimator"),
    );
    places.put(
        "weights.power_of_two",
        &mut read.power_of_two,
        section.flag("power_of_two"),
    );
    places.put(
        "weights.rounding",
        &mut read.rounding,
        section.word("rounding", &ROUNDINGS),
    );
    places.put(
        "weights.correct_bias",
        &mut read.correct_bias,
        section.flag("correct_bias"),
    );
    places.put(
        "weights.reestimate",
        &mut read.reestimate,
        section.flag("reestimate"),
    );
    section.close();
    read
}

fn activations(section: Section<'_>, places: &mut Places) -> ActivationSettings {
    let mut read = ActivationSettings::default();
    places.put("activations.bits", &mut read.bits, bits(&section, "bits"));
    places.put(
        "activations.scheme",
        &mut read.scheme,
        section.word("scheme", &SCHEMES),
    );
    places.put(
        "activations.range_estimator",
        &mut read.range_estimator,
        range_estimator(&section, "range_estimator"),
    );
    places.put(
        "activations.power_of_two",
        &mut read.power_of_two,
        section.flag("power_of_two"),
    );
    places.put(
        "activations.dynamic",
        &mut read.dynamic,
        section.flag("dynamic"),
    );
    section.close();
    read
}

fn accumulator(section: Section<'_>, places: &mut Places) -> AccumulatorSettings {
    let mut read = AccumulatorSettings::default();
    places.put("accumulator.bits", &mut read.bits, bits(&section, "bits"));
    places.put(
        "accumulator.bias_bits",
        &mut read.bias_bits,
        bits(&section, "bias_bits"),
    );
    section.close();
    read
}

fn first_last(section: Section<'_>, places: &mut Places) -> FirstLastSettings {
    let mut read = FirstLastSettings::default();
    let weight_bits = bits(&section, "weight_bits");
    let activation_bits = bits(&section, "activation_bits");
    places.put(
        "first_last.float",
        &mut read.float,
        some(section.word("float", &FLOATS)),
    );
    places.put(
        "first_last.weight_bits",
        &mut read.weight_bits,
        some(weight_bits),
    );
    places.put(
        "first_last.activation_bits",
        &mut read.activation_bits,
        some(activation_bits),
    );
    section.close();
    read
}

/// Reads a `[[quantize.layer]]`; a missing name, or no other key, is a problem.
fn layer(section: Section<'_>, places: &mut Places) -> Option<Override> {
    const KEYS: [&str; 7] = [
        "float",
        "weight_bits",
        "activation_bits",
        "weight_range_estimator",
        "activation_range_estimator",
        "weight_stretch",
        "activation_stretch",
    ];
    let problems = section.problems;
    let name = section.text("name");
    let name = section.need("name", "a name or pattern of layers, such as \"fc\"", name);
    if !KEYS.iter().any(|key| section.has(key)) {
        let message = format!(
            "a `[[quantize.layer]]` needs at least one setting for its layers: `{}`",
            KEYS.join("`, `")
        );
        problems.add(&section.span, message);
    }
    let field = |key: &str| {
        format!(
            "layer.{}.{key}",
            name.as_ref().map_or("", |name| &name.value)
        )
    };
    let mut read = Override::default();
    let weight_bits = bits(&section, "weight_bits");
    let activation_bits = bits(&section, "activation_bits");
    let float = section.word("float", &FLOATS);
    if let (Some(_), Some(bits)) = (&float, weight_bits.as_ref().or(activation_bits.as_ref())) {
        let message = "a layer with `float` has no bits: use only one of the two";
        problems.add(&bits.span, message);
    }
    places.put(field("float"), &mut read.float, some(float));
    places.put(
        field("weight_bits"),
        &mut read.weight_bits,
        some(weight_bits),
    );
    places.put(
        field("activation_bits"),
        &mut read.activation_bits,
        some(activation_bits),
    );
    let [of_weights, of_activations] = ["weight_range_estimator", "activation_range_estimator"]
        .map(|key| some(range_estimator(&section, key)));
    places.put(
        field("weight_range_estimator"),
        &mut read.weight_range_estimator,
        of_weights,
    );
    places.put(
        field("activation_range_estimator"),
        &mut read.activation_range_estimator,
        of_activations,
    );
    let [of_weights, of_activations] =
        ["weight_stretch", "activation_stretch"].map(|key| some(section.number(key)));
    places.put(
        field("weight_stretch"),
        &mut read.weight_stretch,
        of_weights,
    );
    places.put(
        field("activation_stretch"),
        &mut read.activation_stretch,
        of_activations,
    );
    section.close();
    places.put("layer.name", &mut read.name, name);
    (!read.name.is_empty()).then_some(read)
}

fn schedule(section: Section<'_>, settings: &QuantizationSettings) -> QuantizationSchedule {
    let problems = section.problems;
    let usual = QuantizationSchedule::default();
    let method = section.word("method", &METHODS);
    let method = method.map_or(usual.method, |method| method.value);
    let decay = section.number_in("decay", 0.0..=1.0);
    let method = match (method, decay) {
        (Method::Linear { .. }, Some(decay)) if decay.value < 1.0 => {
            Method::Linear { decay: decay.value }
        }
        (Method::Linear { .. }, Some(decay)) => {
            problems.add(&decay.span, "`decay` is 1, expected a number below 1");
            method
        }
        (_, Some(decay)) => {
            problems.add(&decay.span, "`decay` is for `method = \"linear\"`");
            method
        }
        (_, None) => method,
    };
    let images = section.positive("images");
    let [start, freeze_ranges, freeze_norms] =
        ["start", "freeze_ranges", "freeze_norms"].map(|key| section.count(key));
    if let Some(start) = &start
        && start.value > 0
        && settings.activations.bits == 0
    {
        let message = "`start` is the epoch from which activations are quantized, but `[quantize.activations] bits = 0` leaves them \
                       in float";
        problems.add(&start.span, message);
    }
    section.close();
    QuantizationSchedule {
        method,
        images: images.map_or(usual.images, |images| images.value as usize),
        start: start.map_or(usual.start, |start| start.value),
        freeze_ranges: freeze_ranges.map(|epoch| epoch.value),
        freeze_norms: freeze_norms.map(|epoch| epoch.value),
    }
}

fn some<T>(read: Option<At<T>>) -> Option<At<Option<T>>> {
    read.map(|At { value, span }| At::new(Some(value), span))
}

/// Reads a number of bits; the settings check the valid range.
fn bits(section: &Section<'_>, key: &'static str) -> Option<At<u8>> {
    let bits = section.count(key)?;
    match u8::try_from(bits.value) {
        Ok(found) => Some(At::new(found, bits.span)),
        Err(_) => {
            let message = format!(
                "`{key}` is {}, expected a number of bits up to 32",
                bits.value
            );
            section.problems.add(&bits.span, message);
            None
        }
    }
}

fn range_estimator(section: &Section<'_>, key: &'static str) -> Option<At<RangeEstimator>> {
    let text = section.text(key)?;
    match text.value.parse() {
        Ok(range_estimator) => Some(At::new(range_estimator, text.span)),
        Err(error) => {
            section.problems.add(&text.span, error);
            None
        }
    }
}
