//! From a graph to steps.

mod layers;
mod nodes;

use std::collections::HashMap;
use std::sync::Arc;

use calcine_format::{Quantizer, Uses, has_weights, taken_over};
use calcine_graph::{Arithmetic, ElementKind, Map, Node, Op, Source, ValueId};
use calcine_kernels::{CodeLayer, FloatLayer, Plane};

use crate::EngineError;
use crate::form::{Form, Image, Layout};
use crate::model::{Model, Tensor};
use crate::plain::{self, Operand};
use crate::plan::Plan;
use crate::report::How;
use crate::step::{Border, Place, Step, Work};

/// Packed weights, by the position of their node; plans for other batches use them, too.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    codes: HashMap<(usize, Plane, Plane), Arc<CodeLayer>>,
    floats: HashMap<(usize, Plane, Plane), Arc<FloatLayer>>,
}

/// A layer with what is done to its sums at once.
#[derive(Debug, Clone, Copy)]
struct Chain {
    layer: usize,
    norm: Option<usize>,
    /// The node that adds, and what it adds.
    sum: Option<(usize, ValueId)>,
    /// The node that clamps the result.
    clamp: Option<usize>,
    output: ValueId,
}

/// What computes the sums of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sums {
    Codes,
    Floats,
    /// Plain loops.
    Plain,
}

/// Compiles a model for a batch of a size.
pub(crate) struct Compiler<'a> {
    model: &'a Model,
    batch: usize,
    cache: &'a mut Cache,
    uses: Uses,
    shapes: Vec<Vec<usize>>,
    steps: Vec<Step>,
    held: HashMap<usize, Vec<(Form, Place)>>,
    /// What nodes compute of constants alone, by value.
    folded: HashMap<usize, Tensor>,
    constants: Vec<Vec<f32>>,
    constant_places: HashMap<usize, Place>,
    borders: Vec<[[usize; 2]; 2]>,
    /// By the node at which a chain is computed, its last one.
    chains: HashMap<usize, Chain>,
    /// Whether the node is part of a chain.
    chained: Vec<bool>,
    how: Vec<Option<How>>,
    /// The node that steps are for.
    node: usize,
}

impl Cache {
    /// Bytes of all packed weights.
    pub(crate) fn bytes(&self) -> usize {
        let codes = self.codes.values().map(|layer| layer.bytes());
        let floats = self.floats.values().map(|layer| layer.bytes());
        codes.chain(floats).sum()
    }
}

impl<'a> Compiler<'a> {
    pub(crate) fn compile(
        model: &'a Model,
        batch: usize,
        cache: &'a mut Cache,
    ) -> Result<Plan, EngineError> {
        let graph = &model.graph;
        let shapes = graph.values.iter().map(|value| value.shape_at(batch));
        let mut compiler = Self {
            model,
            batch,
            cache,
            uses: Uses::new(graph),
            shapes: shapes.collect(),
            steps: Vec::new(),
            held: HashMap::new(),
            folded: HashMap::new(),
            constants: Vec::new(),
            constant_places: HashMap::new(),
            borders: vec![[[0; 2]; 2]; graph.values.len()],
            chains: HashMap::new(),
            chained: vec![false; graph.nodes.len()],
            how: vec![None; graph.nodes.len()],
            node: 0,
        };
        compiler.fold_constants();
        compiler.find_chains();
        compiler.find_borders();
        for (index, id) in graph.inputs.iter().enumerate() {
            let form = Form {
                layout: Layout::Plain,
                quantizer: None,
            };
            compiler.hold(*id, form, Place::Input(index));
        }
        for index in 0..graph.nodes.len() {
            compiler.node = index;
            compiler.node(index)?;
        }
        let outputs = graph.outputs.iter().map(|id| {
            compiler.node = graph.nodes.len().saturating_sub(1);
            let place = compiler.real(*id);
            (place, compiler.shapes[id.0].clone())
        });
        let outputs = outputs.collect();
        Ok(Plan::new(
            compiler.steps,
            outputs,
            compiler.constants,
            compiler.how,
        ))
    }

    fn shape(&self, id: ValueId) -> &[usize] {
        &self.shapes[id.0]
    }

    /// A parameter or a constant, or what is computed of them alone.
    fn tensor(&self, id: ValueId) -> Option<&Tensor> {
        self.folded
            .get(&id.0)
            .or_else(|| self.model.tensors.get(&id.0))
    }

    fn fold_constants(&mut self) {
        for node in &self.model.graph.nodes {
            let folds = plain::is_supported(&node.op)
                && self.model.quantizer(node.output).is_none()
                && node.inputs.iter().all(|id| self.tensor(*id).is_some());
            if !folds {
                continue;
            }
            let inputs: Vec<&Tensor> = node
                .inputs
                .iter()
                .filter_map(|id| self.tensor(*id))
                .collect();
            let operands: Vec<Operand<'_>> = inputs
                .iter()
                .map(|tensor| Operand {
                    numbers: &tensor.numbers,
                    shape: &tensor.shape,
                })
                .collect();
            let shape = self.shape(node.output).to_vec();
            let mut numbers = vec![0.0; shape.iter().product()];
            plain::evaluate(&node.op, &operands, &mut numbers, &shape, self.batch);
            self.folded.insert(node.output.0, Tensor { shape, numbers });
        }
    }

    /// The only node that uses a value, which is no output.
    fn only_user(&self, id: ValueId) -> Option<usize> {
        match self.uses.consumers(id) {
            [user] if !self.uses.is_output(id) => Some(*user),
            _ => None,
        }
    }

    fn find_chains(&mut self) {
        let graph = &self.model.graph;
        // The latest layer before a sum does it, when all else is there.
        for index in (0..graph.nodes.len()).rev() {
            let sums = self.sums_of(index);
            if sums == Some(Sums::Plain) || sums.is_none() {
                continue;
            }
            let mut chain = Chain {
                layer: index,
                norm: None,
                sum: None,
                clamp: None,
                output: graph.nodes[index].output,
            };
            let mut last = index;
            if let Some(norm) = self.norm_of(index) {
                chain.norm = Some(norm);
                chain.output = graph.nodes[norm].output;
                last = norm;
            }
            let codes = sums == Some(Sums::Codes);
            if let Some(user) = self.only_user(chain.output)
                && !self.chained[user]
                && let Some(other) = self.sum_of(user, chain.output, index, codes)
            {
                chain.sum = Some((user, other));
                chain.output = graph.nodes[user].output;
                last = user;
            }
            if let Some(user) = self.only_user(chain.output)
                && !self.chained[user]
                && self.clamp_of(user, chain.output, index, codes).is_some()
            {
                chain.clamp = Some(user);
                chain.output = graph.nodes[user].output;
                last = user;
            }
            self.chained[index] = true;
            let sum = chain.sum.map(|(sum, _)| sum);
            for node in [chain.norm, sum, chain.clamp].into_iter().flatten() {
                self.chained[node] = true;
            }
            self.chains.insert(last, chain);
        }
    }

    /// The batch norm that a layer computes.
    fn norm_of(&self, index: usize) -> Option<usize> {
        let graph = &self.model.graph;
        let user = self.only_user(graph.nodes[index].output)?;
        let node = &graph.nodes[user];
        if !matches!(node.op, Op::BatchNorm { .. }) || node.inputs[0] != graph.nodes[index].output {
            return None;
        }
        if self.model.layers.contains_key(&index) {
            let is_layer = |at| self.model.layers.contains_key(&at);
            return taken_over(graph, &self.uses, user, is_layer).then_some(user);
        }
        let known = node.inputs[1..].iter().all(|id| self.tensor(*id).is_some());
        let fits = graph.nodes[index].op != Op::Linear || self.shape(node.output).len() == 2;
        let float = self.model.quantizer(graph.nodes[index].output).is_none();
        (known && fits && float).then_some(user)
    }

    /// What a node adds to a value, if the layer can do that.
    fn sum_of(&self, user: usize, id: ValueId, layer: usize, codes: bool) -> Option<ValueId> {
        let node = &self.model.graph.nodes[user];
        let &[a, b] = &node.inputs[..] else {
            return None;
        };
        let other = if a == id { b } else { a };
        let fits = node.op == Op::Zip(Arithmetic::Add)
            && a != b
            && self.shape(a) == self.shape(b)
            && self.tensor(other).is_none()
            && Self::image_rank(self.shape(other), self.is_linear(layer));
        let own = self.model.quantizer(self.model.graph.nodes[layer].output);
        let quantizers = [
            own,
            self.model.quantizer(other),
            self.model.quantizer(node.output),
        ];
        let fits = fits
            && match codes {
                true => quantizers.iter().all(|q| q.is_some_and(|q| is_byte(&q))),
                false => {
                    quantizers.iter().all(Option::is_none) && self.model.quantizer(id).is_none()
                }
            };
        fits.then_some(other)
    }

    fn image_rank(shape: &[usize], linear: bool) -> bool {
        Image::of(shape, linear).is_some()
    }

    fn is_linear(&self, layer: usize) -> bool {
        self.model.graph.nodes[layer].op == Op::Linear
    }

    /// The range of a clamp, in the integers of the value less the zero point, or in numbers.
    fn clamp_of(&self, user: usize, id: ValueId, layer: usize, codes: bool) -> Option<[f32; 2]> {
        let node = &self.model.graph.nodes[user];
        if node.inputs.first() != Some(&id) {
            return None;
        }
        if !codes {
            let float = self.model.quantizer(node.output).is_none()
                && self.model.quantizer(id).is_none()
                && self
                    .model
                    .quantizer(self.model.graph.nodes[layer].output)
                    .is_none();
            return float.then(|| clamp(&node.op)).flatten();
        }
        // The sum has a quantizer of its own, and so has what a layer gives.
        let own = match self.model.graph.value(id).source {
            Source::Node(node)
                if matches!(self.model.graph.nodes[node].op, Op::BatchNorm { .. }) =>
            {
                self.model.quantizer(self.model.graph.nodes[layer].output)
            }
            _ => self.model.quantizer(id),
        };
        let own = own?;
        (self.model.quantizer(node.output) == Some(own))
            .then(|| self.integer_clamp(user, own))
            .flatten()
    }

    /// The range of a relu, or of a clamp from zero, in integers less the zero point.
    fn integer_clamp(&self, index: usize, quantizer: Quantizer) -> Option<[f32; 2]> {
        let node = &self.model.graph.nodes[index];
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            reason = "bounds become integers of a quantizer"
        )]
        match node.op {
            Op::Map(Map::Relu) => Some([0.0, f32::INFINITY]),
            Op::Map(Map::Clamp { high, .. }) if self.uses.clamps[index] => {
                let high = quantizer.quantize(high as f32) - quantizer.zero_point;
                Some([0.0, high as f32])
            }
            Op::Map(Map::ClampMin(_)) if self.uses.clamps[index] => Some([0.0, f32::INFINITY]),
            _ => None,
        }
    }

    /// What computes the sums of a node, if it is a layer.
    fn sums_of(&self, index: usize) -> Option<Sums> {
        let graph = &self.model.graph;
        let node = &graph.nodes[index];
        let layer = match &node.op {
            Op::Convolution(_) | Op::Linear => true,
            Op::TransposedConvolution { .. } => has_weights(graph, node),
            _ => false,
        };
        if !layer {
            return None;
        }
        let x = node.inputs[0];
        if self.tensor(x).is_some() {
            return None;
        }
        let images = matches!(&node.op, Op::Convolution(_) | Op::Linear)
            && Self::image_rank(self.shape(x), node.op == Op::Linear)
            && Self::image_rank(self.shape(node.output), node.op == Op::Linear);
        let Some(weights) = self.model.layers.get(&index) else {
            let known = node.inputs[1..].iter().all(|id| self.tensor(*id).is_some());
            return match known {
                true if images => Some(Sums::Floats),
                // As any other operation.
                _ => None,
            };
        };
        let output = self.model.quantizer(node.output);
        Some(match self.model.quantizer(x) {
            Some(input) => {
                let bytes = weights.ints.iter().all(|int| i8::try_from(*int).is_ok());
                let fits = images
                    && bytes
                    && is_byte(&input)
                    && output.is_none_or(|output| is_byte(&output));
                if fits { Sums::Codes } else { Sums::Plain }
            }
            None if weights.dynamic.is_some() || !images => Sums::Plain,
            None => Sums::Floats,
        })
    }

    /// The borders that the windows of layers need around what they read.
    fn find_borders(&mut self) {
        for (index, node) in self.model.graph.nodes.iter().enumerate() {
            let Op::Convolution(options) = &node.op else {
                continue;
            };
            if !matches!(self.sums_of(index), Some(Sums::Codes | Sums::Floats)) {
                continue;
            }
            let window = layers::window(
                options,
                &self.model.graph.value(node.inputs[1]).shape_at(1)[2..],
            );
            let images = [node.inputs[0], node.output].map(|id| Image::of(self.shape(id), false));
            let [Some(x), Some(y)] = images else { continue };
            let needed = window.border(
                [x.plane.height, x.plane.width],
                [y.plane.height, y.plane.width],
            );
            for (own, needed) in self.borders[node.inputs[0].0].iter_mut().zip(needed) {
                for (own, needed) in own.iter_mut().zip(needed) {
                    *own = needed.max(*own);
                }
            }
        }
    }

    fn hold(&mut self, id: ValueId, form: Form, place: Place) {
        self.held.entry(id.0).or_default().push((form, place));
    }

    /// The forms that a value has so far.
    fn forms(&self, id: ValueId) -> &[(Form, Place)] {
        self.held.get(&id.0).map_or(&[], Vec::as_slice)
    }

    /// What a value's integers stand for, if it is held in integers.
    fn quantizer(&self, id: ValueId) -> Option<Quantizer> {
        self.forms(id).first().and_then(|(form, _)| form.quantizer)
    }

    /// Adds a step whose result takes so many bytes.
    fn step(
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

    /// Adds a step that makes row-major floats of a value.
    fn plain_step(
        &mut self,
        id: ValueId,
        quantizer: Option<Quantizer>,
        work: Work,
        reads: Vec<Place>,
    ) -> Place {
        let count: usize = self.shape(id).iter().product();
        let place = self.step(id, work, reads, 4 * count, None);
        let layout = Layout::Plain;
        self.hold(id, Form { layout, quantizer }, place);
        place
    }

    /// Adds a step that makes images of 8-bit integers of a value.
    fn codes_step(
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
        let border = Border::Codes(image.plane, (quantizer.zero_point - quantizer.low) as u8);
        let bytes = image.length(self.shape(id)[0]);
        let place = self.step(id, work, reads, bytes, Some(border));
        let layout = Layout::Codes(image);
        let quantizer = Some(quantizer);
        self.hold(id, Form { layout, quantizer }, place);
        place
    }

    /// Adds a step that makes images of floats of a value.
    fn floats_step(&mut self, id: ValueId, image: Image, work: Work, reads: Vec<Place>) -> Place {
        let bytes = 4 * image.length(self.shape(id)[0]);
        let place = self.step(id, work, reads, bytes, Some(Border::Floats(image.plane)));
        let layout = Layout::Floats(image);
        let quantizer = None;
        self.hold(id, Form { layout, quantizer }, place);
        place
    }

    /// A value in row-major floats: numbers, or integers less the zero point.
    fn plain(&mut self, id: ValueId) -> Place {
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
                let zero = form.quantizer.map_or(0, |own| own.zero_point - own.low);
                Work::CodesToPlain { image, zero }
            }
            Layout::Floats(image) => Work::FloatsToPlain(image),
            Layout::Plain => return place,
        };
        self.plain_step(id, quantizer, work, vec![place])
    }

    /// A value in the numbers that it stands for, in row-major floats.
    fn real(&mut self, id: ValueId) -> Place {
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

    /// A value as images of 8-bit integers, if its quantizer has so few.
    fn codes(&mut self, id: ValueId, rows: bool) -> Option<(Place, Image)> {
        let wanted = Image::of(self.shape(id), rows)?;
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
            ends: own.centred(),
            zero: own.zero_point - own.low,
        };
        let place = self.codes_step(id, own, image, work, vec![place]);
        Some((place, image))
    }

    /// A value as images of floats.
    fn floats(&mut self, id: ValueId, rows: bool) -> Option<(Place, Image)> {
        let wanted = Image::of(self.shape(id), rows)?;
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

    /// Puts a value that was computed in float on its quantizer, if it has one.
    fn quantize(&mut self, id: ValueId) {
        let is_float = self.model.graph.value(id).kind == ElementKind::Float;
        let Some(own) = self.model.quantizer(id).filter(|_| is_float) else {
            return;
        };
        let held = self.held.remove(&id.0).and_then(|mut forms| forms.pop());
        let Some((form, place)) = held else { return };
        match form.layout {
            Layout::Floats(from) if is_byte(&own) => {
                let to = from.of_codes();
                let work = Work::QuantizeImage {
                    from,
                    to,
                    scale: own.scale,
                    ends: own.centred(),
                    zero: own.zero_point - own.low,
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

    fn quantize_plain(&mut self, id: ValueId, own: Quantizer, place: Place) {
        let work = Work::Quantize {
            scale: own.scale,
            ends: own.centred(),
        };
        self.plain_step(id, Some(own), work, vec![place]);
    }

    /// Gives a value the forms of another.
    fn same(&mut self, id: ValueId, of: ValueId) {
        let forms = self.forms(of).to_vec();
        self.held.insert(id.0, forms);
    }

    fn unsupported(&self, node: &Node) -> EngineError {
        let shapes: Vec<&[usize]> = node.inputs.iter().map(|id| self.shape(*id)).collect();
        EngineError::Unsupported {
            node: node.name.clone(),
            operation: format!("{} of {shapes:?}", node.op),
        }
    }
}

/// Whether 8 bits hold the integers.
fn is_byte(quantizer: &Quantizer) -> bool {
    quantizer.high - quantizer.low <= 255
}

/// The range that an operation clamps to.
#[allow(clippy::cast_possible_truncation, reason = "floats are f32")]
fn clamp(op: &Op) -> Option<[f32; 2]> {
    match op {
        Op::Map(Map::Relu) => Some([0.0, f32::INFINITY]),
        Op::Map(Map::Clamp { low, high }) => Some([*low as f32, *high as f32]),
        Op::Map(Map::ClampMin(low)) => Some([*low as f32, f32::INFINITY]),
        Op::Map(Map::ClampMax(high)) => Some([f32::NEG_INFINITY, *high as f32]),
        _ => None,
    }
}
