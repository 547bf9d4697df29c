use calcine_quant::{FloatType, MAX_BITS, Method, RangeEstimator};

use crate::section::{At, Section};

/// `[quantize]`: quantization-aware training. Who runs the recipe does it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RecipeQuantization {
    /// How weights and activations get to their quantizers.
    pub method: Method,
    /// Bits of weights: 2 to 16, or 1 for `dorefa` and `pact`.
    pub weight_bits: u8,
    /// Bits of activations: 1 to 16; 0 leaves them in float.
    pub activation_bits: u8,
    /// Whether each output's weights have a step of their own.
    pub per_channel: bool,
    /// Which ranges quantizers begin with.
    pub range_estimator: RangeEstimator,
    /// Layers that are treated otherwise; of several that match, each key is the last one's that has it.
    pub layers: Vec<QuantizedLayer>,
    /// Images to calibrate with.
    pub images: usize,
    /// The epoch from which activations are fake-quantized.
    pub start: u64,
    /// The epoch from which ranges stay.
    pub freeze_ranges: Option<u64>,
    /// The epoch from which batch norms keep their statistics.
    pub freeze_norms: Option<u64>,
}

/// `[[quantize.layer]]`: what is other for some layers; what it says nothing of stays as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct QuantizedLayer {
    /// Which, by name or glob.
    pub name: String,
    /// The type of their numbers, if they stay in float.
    pub float: Option<FloatType>,
    /// Bits of their weights.
    pub weight_bits: Option<u8>,
    /// Bits of what they give.
    pub activation_bits: Option<u8>,
}

/// What `[quantize]` calls its methods.
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

/// How slowly ranges follow, unless said: an epoch of a hundred batches is remembered.
const DECAY: f64 = 0.99;

impl RecipeQuantization {
    pub(crate) fn read(section: Section<'_>) -> Option<Self> {
        let problems = section.problems;
        let method = section.word("method", &METHODS);
        let method = method.map_or(Method::Lsq, |method| method.value);
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
        let least = match method {
            Method::Dorefa | Method::Pact => 1,
            _ => 2,
        };
        // Their levels need one bit more as integers.
        let most = match method {
            Method::Dorefa | Method::Pact => MAX_BITS - 1,
            _ => MAX_BITS,
        };
        let weights = bits(&section, "weights", least..=most);
        let weights = section.need("weights", "bits of weights, such as 8", weights);
        let activations = bits(&section, "activations", 0..=MAX_BITS);
        let activations =
            section.need("activations", "bits of activations, such as 8", activations);
        let per_channel = section.flag("per_channel");
        let range_estimator = section
            .text("range_estimator")
            .map(|text| (text.value.parse::<RangeEstimator>(), text.span));
        let images = section.positive("images");
        let [start, freeze_ranges, freeze_norms] =
            ["start", "freeze_ranges", "freeze_norms"].map(|key| section.count(key));
        if let (Some(start), Some(At { value: 0, .. })) = (&start, &activations)
            && start.value > 0
        {
            let message =
                "`start` is when activations are quantized, and `activations = 0` never does";
            problems.add(&start.span, message);
        }
        let layers = section.list("layer").into_iter();
        let layers = layers.filter_map(|layer| QuantizedLayer::read(layer, least..=most));
        let layers = layers.collect();
        section.close();
        let range_estimator = match range_estimator {
            Some((Ok(range_estimator), _)) => range_estimator,
            Some((Err(error), span)) => {
                problems.add(&span, error);
                return None;
            }
            None => RangeEstimator::Mse,
        };
        Some(Self {
            method,
            weight_bits: weights?.value,
            activation_bits: activations?.value,
            per_channel: per_channel.is_none_or(|flag| flag.value),
            range_estimator,
            layers,
            images: images.map_or(1000, |images| images.value as usize),
            start: start.map_or(0, |start| start.value),
            freeze_ranges: freeze_ranges.map(|epoch| epoch.value),
            freeze_norms: freeze_norms.map(|epoch| epoch.value),
        })
    }

    /// What stops, by its key, and the epoch from which on.
    pub(crate) fn freezes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let both = [
            ("freeze_ranges", self.freeze_ranges),
            ("freeze_norms", self.freeze_norms),
        ];
        both.into_iter()
            .filter_map(|(key, epoch)| Some((key, epoch?)))
    }

    /// The epochs within a run of so many at which something begins or stops, ascending.
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

impl QuantizedLayer {
    fn read(section: Section<'_>, weights: std::ops::RangeInclusive<u8>) -> Option<Self> {
        let name = section.text("name");
        let name = section.need("name", "a layer or a glob, such as \"fc\"", name);
        let span = section.span.clone();
        let problems = section.problems;
        let says = ["float", "weights", "activations"].map(|key| section.has(key));
        let float = section.word("float", &FLOATS);
        let weights = bits(&section, "weights", weights);
        let activations = bits(&section, "activations", 0..=MAX_BITS);
        section.close();
        let bits = weights.as_ref().or(activations.as_ref());
        match (&float, bits) {
            (Some(_), Some(bits)) => {
                let message = "a layer in `float` has no bits: give one or the other";
                problems.add(&bits.span, message);
            }
            _ if !says.contains(&true) => {
                let message = "a `[[quantize.layer]]` says what is other: `float`, `weights` or `activations`";
                problems.add(&span, message);
            }
            _ => {}
        }
        Some(Self {
            name: name?.value,
            float: float.map(|float| float.value),
            weight_bits: weights.map(|bits| bits.value),
            activation_bits: activations.map(|bits| bits.value),
        })
    }
}

/// A number of bits.
fn bits(
    section: &Section<'_>,
    key: &'static str,
    range: std::ops::RangeInclusive<u8>,
) -> Option<At<u8>> {
    let bits = section.count(key)?;
    match u8::try_from(bits.value)
        .ok()
        .filter(|bits| range.contains(bits))
    {
        Some(found) => Some(At::new(found, bits.span)),
        None => {
            let (least, most) = range.into_inner();
            let message = format!("`{key}` is {}, expected {least} to {most} bits", bits.value);
            section.problems.add(&bits.span, message);
            None
        }
    }
}
