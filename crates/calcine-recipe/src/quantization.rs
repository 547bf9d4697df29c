use calcine_quant::{Clip, MAX_BITS};

use crate::section::{At, Section};

/// `[quantize]`: training on grids whose steps are learned. Who runs the recipe does it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Quantization {
    /// Bits of weights: 2 to 16.
    pub weight_bits: u8,
    /// Bits of activations: 1 to 16; 0 leaves them in float.
    pub activation_bits: u8,
    /// Whether each output's weights have a step of their own.
    pub per_channel: bool,
    /// Which ranges grids begin with.
    pub clip: Clip,
    /// Layers that stay in float, by name or glob.
    pub float: Vec<String>,
    /// Images to calibrate with.
    pub images: usize,
}

impl Quantization {
    pub(crate) fn read(section: Section<'_>) -> Option<Self> {
        let problems = section.problems;
        let bits = |key: &'static str, least: u64| {
            let bits = section.count(key)?;
            if !(least..=u64::from(MAX_BITS)).contains(&bits.value) && bits.value != 0 {
                let message = format!(
                    "`{key}` is {}, expected {least} to {MAX_BITS} bits",
                    bits.value
                );
                problems.add(&bits.span, message);
                return None;
            }
            Some(At::new(bits.value as u8, bits.span))
        };
        let weights = bits("weights", 2);
        if let Some(none) = weights.as_ref().filter(|weights| weights.value == 0) {
            problems.add(&none.span, "`weights` is 0, expected 2 to 16 bits");
        }
        let weights = section.need("weights", "bits of weights, such as 8", weights);
        let activations = bits("activations", 1);
        let activations =
            section.need("activations", "bits of activations, such as 8", activations);
        let per_channel = section.flag("per_channel");
        let clip = section
            .text("clip")
            .map(|text| (text.value.parse::<Clip>(), text.span));
        let float = section.texts("float");
        let images = section.positive("images");
        section.close();
        let clip = match clip {
            Some((Ok(clip), _)) => clip,
            Some((Err(error), span)) => {
                problems.add(&span, error);
                return None;
            }
            None => Clip::Mse,
        };
        Some(Self {
            weight_bits: weights?.value,
            activation_bits: activations?.value,
            per_channel: per_channel.is_none_or(|flag| flag.value),
            clip,
            float: float.map_or(Vec::new(), |float| {
                float.value.into_iter().map(|name| name.value).collect()
            }),
            images: images.map_or(1000, |images| images.value as usize),
        })
    }
}
