//! The layouts in which values are stored, and the steps that convert them.

use calcine_format::Quantizer;
use calcine_graph::{ElementKind, Source, ValueId};

use super::{Compiler, is_byte};
use crate::form::{CodeRange, Form, Image, Layout, zero_code};
use crate::step::{Border, Place, Step, Work};

impl Compiler<'_> {
    pub(super) fn record(&mut self, id: ValueId, form: Form, place: Place) {
        self.forms.entry(id.0).or_default().push((form, place));
    }

    /// The forms in which a value is stored so far.
    pub(super) fn forms(&self, id: ValueId) -> &[(Form, Place)] {
        self.forms.get(&id.0).map_or(&[], Vec::as_slice)
    }

    /// The quantizer of a value that is stored in integers.
    pub(super) fn quantizer(&self, id: ValueId) -> Option<Quantizer> {
        self.forms(id).first().and_then(|(form, _)| form.quantizer)
    }

    /// Adds a step whose result has a number of bytes.
    pub(super) fn step(
        &mut self,
        id: ValueId,
        work: Work,
        reads: Vec<Place>,
        bytes: usize,
        border: Option<Border>,
    ) -> Place {
        let writes = self.steps.len();
        self.steps.push(Step {
            node: self.node,
            samples: self.shape(id).first().copied().unwrap_or(1),
            work,
            reads,
            writes,
            bytes,
            border,
        });
        Place::Slot(writes)
    }

    /// Adds a step that writes a value as row-major floats.
    pub(super) fn plain_step(
        &mut self,
        id: ValueId,
        quantizer: Option<Quantizer>,
        work: Work,
        reads: Vec<Place>,
    ) -> Place {
        let count: usize = self.shape(id).iter().product();
        let place = self.step(id, work, reads, 4 * count, None);
        self.record_plain(id, quantizer, place);
        place
    }

    /// Records that a value is stored as row-major floats at a place.
    pub(super) fn record_plain(&mut self, id: ValueId, quantizer: Option<Quantizer>, place: Place) {
        let layout = Layout::Plain;
        self.record(id, Form { layout, quantizer }, place);
    }

    /// Adds a step that writes a value as images of 8-bit integers.
    pub(super) fn codes_step(
        &mut self,
        id: ValueId,
        quantizer: Quantizer,
        image: Image,
        work: Work,
        reads: Vec<Place>,
    ) -> Place {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "8 bits"
        )]
        let border = Border::Codes(image.plane, zero_code(quantizer) as u8);
        let bytes = image.length(self.shape(id)[0]);
        let place = self.step(id, work, reads, bytes, Some(border));
        let layout = Layout::Codes(image);
        let quantizer = Some(quantizer);
        self.record(id, Form { layout, quantizer }, place);
        place
    }

    /// Adds a step that writes a value as images of floats.
    pub(super) fn floats_step(
        &mut self,
        id: ValueId,
        image: Image,
        work: Work,
        reads: Vec<Place>,
    ) -> Place {
        let bytes = 4 * image.length(self.shape(id)[0]);
        let place = self.step(id, work, reads, bytes, Some(Border::Floats(image.plane)));
        let layout = Layout::Floats(image);
        let quantizer = None;
        self.record(id, Form { layout, quantizer }, place);
        place
    }

    /// The place of a value as row-major floats: numbers, or integers minus the zero point.
    pub(super) fn plain(&mut self, id: ValueId) -> Place {
        if let Some(place) = self.constant(id) {
            return place;
        }
        let forms = self.forms(id);
        let quantizer = self.quantizer(id);
        let plain = forms
            .iter()
            .find(|(form, _)| form.layout == Layout::Plain && form.quantizer == quantizer);
        if let Some((_, place)) = plain {
            return *place;
        }
        let (form, place) = forms
            .first()
            .cloned()
            .expect("values are made before they are read");
        let work = match form.layout {
            Layout::Codes(image) => {
                let zero = form.quantizer.map_or(0, zero_code);
                Work::CodesToPlain { image, zero }
            }
            Layout::Floats(image) => Work::FloatsToPlain(image),
            Layout::Plain => return place,
        };
        self.plain_step(id, quantizer, work, vec![place])
    }

    /// The place of a value as row-major floats, dequantized if it is stored in integers.
    pub(super) fn real(&mut self, id: ValueId) -> Place {
        let Some(quantizer) = self.quantizer(id) else {
            return self.plain(id);
        };
        let real = |form: &Form| form.layout == Layout::Plain && form.quantizer.is_none();
        if let Some((_, place)) = self.forms(id).iter().find(|(form, _)| real(form)) {
            return *place;
        }
        let whole = self.plain(id);
        self.plain_step(id, None, Work::Scale(quantizer.scale), vec![whole])
    }

    fn constant(&mut self, id: ValueId) -> Option<Place> {
        if let Some(place) = self.constant_places.get(&id.0) {
            return Some(*place);
        }
        let numbers = self.tensor(id)?.numbers.clone();
        let place = Place::Constant(self.constants.len());
        self.constants.push(numbers);
        self.constant_places.insert(id.0, place);
        Some(place)
    }

    /// The place of a value as images of 8-bit integers, if its quantizer has at most 8 bits.
    pub(super) fn codes(&mut self, id: ValueId, rows: bool) -> Option<(Place, Image)> {
        let wanted = Image::from_shape(self.shape(id), rows)?;
        for (form, place) in self.forms(id) {
            if let Layout::Codes(image) = form.layout
                && image.rows == wanted.rows
            {
                return Some((*place, image));
            }
        }
        let input = self.quantizer(id);
        let own = input.or_else(|| match self.model.graph.value(id).source {
            Source::Input => self.model.quantizer(id),
            _ => None,
        });
        let own = own.filter(is_byte)?;
        let image = wanted.of_codes().with_border(self.borders[id.0]);
        let place = self.plain(id);
        let work = Work::ToCodes {
            image,
            scale: input.is_none().then_some(own.scale),
            range: CodeRange::new(own),
        };
        let place = self.codes_step(id, own, image, work, vec![place]);
        Some((place, image))
    }

    /// The place of a value as images of floats.
    pub(super) fn floats(&mut self, id: ValueId, rows: bool) -> Option<(Place, Image)> {
        let wanted = Image::from_shape(self.shape(id), rows)?;
        for (form, place) in self.forms(id) {
            if let Layout::Floats(image) = form.layout
                && image.rows == wanted.rows
            {
                return Some((*place, image));
            }
        }
        let image = wanted.with_border(self.borders[id.0]);
        let place = self.real(id);
        let place = self.floats_step(id, image, Work::ToFloats(image), vec![place]);
        Some((place, image))
    }

    /// Quantizes a value that was computed in float, if it has a quantizer.
    pub(super) fn quantize(&mut self, id: ValueId) {
        let is_float = self.model.graph.value(id).kind == ElementKind::Float;
        let Some(own) = self.model.quantizer(id).filter(|_| is_float) else {
            return;
        };
        let stored = self.forms.remove(&id.0).and_then(|mut forms| forms.pop());
        let Some((form, place)) = stored else { return };
        match form.layout {
            Layout::Floats(from) if is_byte(&own) => {
                let to = from.of_codes();
                let work = Work::QuantizeImage {
                    from,
                    to,
                    scale: own.scale,
                    range: CodeRange::new(own),
                };
                self.codes_step(id, own, to, work, vec![place]);
            }
            Layout::Floats(image) => {
                let plain = self.step(
                    id,
                    Work::FloatsToPlain(image),
                    vec![place],
                    4 * self.shape(id).iter().product::<usize>(),
                    None,
                );
                self.quantize_plain(id, own, plain);
            }
            Layout::Plain | Layout::Codes(_) => self.quantize_plain(id, own, place),
        }
    }

    pub(super) fn quantize_plain(&mut self, id: ValueId, own: Quantizer, place: Place) {
        let work = Work::Quantize {
            scale: own.scale,
            ends: own.centred(),
        };
        self.plain_step(id, Some(own), work, vec![place]);
    }

    /// Records that a value is stored in the forms of another one.
    pub(super) fn same(&mut self, id: ValueId, of: ValueId) {
        let forms = self.forms(of).to_vec();
        self.forms.insert(id.0, forms);
    }
}
