use burn::module::Module;
use burn::tensor::Device;
use calcine_observe::{
    Extrema, Moments, Norms, Observed, Places, Statistics, Zeros, observe, observe_passes,
};
use calcine_quantize::Quantized;
use calcine_train::Draw;

use super::setup::Setup;
use super::validation::Validation;
use super::{ReferenceError, Settings};
use crate::{Architecture, Classifier, ModelTask};
use calcine_data::Source;

/// Images in a batch.
const BATCH: usize = 128;

/// What is looked at in activations: zeros, means and deviations, ranges, norms.
pub type Looked = (Zeros, Moments, Extrema, Norms);

/// A reference network's activations.
#[derive(Debug)]
#[non_exhaustive]
pub struct Activations {
    /// The network.
    pub architecture: Architecture,
    /// Where the images came from.
    pub source: Source,
    /// Validation images.
    pub images: usize,
    /// What was seen.
    pub observed: Observed<<Looked as Statistics>::Value>,
}

/// Looks at the activations of a reference network over validation images, `images` of them at most, in one
/// pass.
///
/// # Errors
///
/// If anything it needs is missing or malformed, or there is no such place.
pub fn activations(
    settings: &Settings,
    places: &Places,
    images: Option<usize>,
    device: &Device,
    download: &mut dyn FnMut(u64, u64),
) -> Result<Activations, ReferenceError> {
    let setup = Setup::of_any(settings, device, download)?;
    let seed = setup.recipe.train().seed;
    let draw = images.map_or(Draw::All, Draw::First);
    let look = Look {
        setup: &setup,
        places,
        validation: Validation::new(&setup.images, draw, BATCH, seed),
    };
    match &setup.quantized {
        Some(quantized) => look.at_integers(quantized),
        None => setup.build(seed, look),
    }
}

struct Look<'a> {
    setup: &'a Setup,
    places: &'a Places,
    validation: Validation,
}

impl Look<'_> {
    fn found(&self, observed: Observed<<Looked as Statistics>::Value>) -> Activations {
        Activations {
            architecture: self.setup.architecture,
            source: self.setup.source.clone(),
            images: self.validation.images(),
            observed,
        }
    }

    /// What the integers of a quantized network stand for.
    fn at_integers(&self, quantized: &Quantized) -> Result<Activations, ReferenceError> {
        let looked = (Zeros, Moments, Extrema, Norms);
        let batches = self.validation.batches();
        let observed = observe_passes(
            quantized.graph(),
            batches,
            self.places,
            &looked,
            |batch, see| {
                quantized
                    .run(batch, &mut |node, result| see(node, &result))
                    .map(drop)
            },
        )?;
        Ok(self.found(observed))
    }
}

impl ModelTask for Look<'_> {
    type Output = Result<Activations, ReferenceError>;

    fn run<M: Classifier + 'static>(self, model: M) -> Self::Output {
        self.setup.announce("measuring activations of");
        let model = self.setup.load_weights(model)?;
        let network = self.setup.traced(&model)?.valid();
        let looked = (Zeros, Moments, Extrema, Norms);
        let observed = observe(&network, self.validation.batches(), self.places, &looked)?;
        Ok(self.found(observed))
    }
}
