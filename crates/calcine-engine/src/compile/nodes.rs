//! Everything that is no layer.

use std::sync::Arc;

use calcine_format::{Quantizer, averaged_values, taken_over};
use calcine_graph::{Arithmetic, Map, Node, Op, Pool, Reduction, Source, ValueId};
use calcine_kernels::{MatrixSums, packed_matrix_len};

use super::fusion::Sums;
use super::layers::{narrowed, ratio, two_axes};
use super::{Compiler, is_byte};
use crate::EngineError;
use crate::form::{CodeRange, Image, Layout, decode, zero_code};
use crate::plain::{self, Operand};
use crate::report::How;
use crate::step::{Combination, Matmul, Place, PoolOf, Whole, Windows, Work};

impl Compiler<'_> {
    /// A node.
    pub(super) fn node(&mut self, index: usize) -> Result<(), EngineError> {
        let graph = &self.model.graph;
        let node = &graph.nodes[index];
        if let Some(chain) = self.chains.get(&index) {
            return self.chain(*chain);
        }
        if self.chained[index] {
            return Ok(());
        }
        if self.folded.contains_key(&node.output.0) {
            self.how[index] = Some(How::Constant);
            return Ok(());
        }
        let is_layer = |at| self.model.layers.contains_key(&at);
        if taken_over(graph, &self.uses, index, is_layer) {
            self.same(node.output, node.inputs[0]);
            self.how[index] = Some(How::Moved);
            return Ok(());
        }
        if self.sums_of(index) == Some(Sums::Plain) {
            return self.plain_layer(index);
        }
        self.quantize_inputs(node);
        let quantizer = self.model.quantizer(node.output);
        let images = match quantizer {
            Some(quantizer) => self.code_node(index, node, quantizer),
            None => self.float_node(node),
        };
        if let Some(how) = images {
            self.how[index] = Some(how);
            return Ok(());
        }
        if let Some(quantizer) = quantizer
            && let Some(how) = self.whole_node(index, node, quantizer)
        {
            self.how[index] = Some(how);
            return Ok(());
        }
        self.plain_node(index, node)
    }

    /// Puts inputs of the network on their quantizers before the first node reads them.
    fn quantize_inputs(&mut self, node: &Node) {
        for id in &node.inputs {
            let is_input = self.model.graph.value(*id).source == calcine_graph::Source::Input;
            if is_input && self.quantizer(*id).is_none() && self.model.quantizer(*id).is_some() {
                let place = self.plain(*id);
                if let Some(own) = self.model.quantizer(*id) {
                    self.forms.remove(&id.0);
                    self.quantize_plain(*id, own, place);
                }
            }
        }
    }

    /// The images of 8-bit integers in which a value is stored, if there are any.
    fn code_image(&self, id: ValueId) -> Option<Image> {
        let (form, _) = self.forms(id).first()?;
        match form.layout {
            Layout::Codes(image) => Some(image),
            Layout::Plain | Layout::Floats(_) => None,
        }
    }

    fn float_image(&self, id: ValueId) -> Option<Image> {
        let (form, _) = self.forms(id).first()?;
        match form.layout {
            Layout::Floats(image) if form.quantizer.is_none() => Some(image),
            _ => None,
        }
    }

    /// Images of a value of the graph, as its operands have them.
    fn output_image(&self, id: ValueId, rows: bool) -> Option<Image> {
        let image = Image::from_shape(self.shape(id), rows)?;
        Some(image.with_border(self.borders[id.0]))
    }

    /// A node of 8-bit integers in images; nothing if it is none.
    fn code_node(&mut self, index: usize, node: &Node, quantizer: Quantizer) -> Option<How> {
        if !is_byte(&quantizer) {
            return None;
        }
        let (x, other) = self.operands(node)?;
        let from = self.code_image(x)?;
        let own = self.quantizer(x)?;
        let rows = from.rows;
        let to = self.output_image(node.output, rows)?.of_codes();
        let place = self.forms(x).first()?.1;
        let range = CodeRange::new(quantizer);
        if self.uses.keeps_quantizer(index, &node.op) && own == quantizer {
            if let Some(clamp) = self.integer_clamp(index, quantizer) {
                let [low, high] = narrowed(quantizer.centred(), Some(clamp));
                if [low, high] == quantizer.centred() {
                    self.same(node.output, x);
                    return Some(How::Moved);
                }
                let range = CodeRange {
                    ends: [low, high],
                    ..range
                };
                let table = table(quantizer, range, |multiple| multiple);
                let work = Work::Table { table, from, to };
                self.codes_step(node.output, quantizer, to, work, vec![place]);
                return Some(How::Codes);
            }
            return match &node.op {
                Op::MaxPool(pool) if !rows => {
                    let work = Work::Pool {
                        pool: windows(pool),
                        from,
                        to,
                        of: PoolOf::MaxCodes,
                    };
                    self.codes_step(node.output, quantizer, to, work, vec![place]);
                    Some(How::Codes)
                }
                Op::Reshape if self.is_the_same_image(x, node.output, from) => {
                    self.same(node.output, x);
                    Some(How::Moved)
                }
                _ => None,
            };
        }
        match &node.op {
            Op::Zip(Arithmetic::Add) => {
                let other = other?;
                if self.shape(x) != self.shape(other) {
                    return None;
                }
                let other_own = self.quantizer(other)?;
                let (other_place, other_image) = self.codes(other, rows)?;
                let work = Work::AddCodes {
                    from: [from, other_image],
                    to,
                    zeros: [own, other_own].map(zero_code),
                    factors: [own, other_own].map(|own| ratio(own.scale, quantizer)),
                    range,
                };
                self.codes_step(node.output, quantizer, to, work, vec![place, other_place]);
                Some(How::Codes)
            }
            Op::Concat(1) if !rows => {
                let mut images = Vec::new();
                let mut reads = Vec::new();
                for id in &node.inputs {
                    let own = self.quantizer(*id)?;
                    let (place, image) = self.codes(*id, rows)?;
                    let factor = ratio(own.scale, quantizer);
                    images.push((image, table(own, range, |multiple| multiple * factor)));
                    reads.push(place);
                }
                let work = Work::ConcatCodes { from: images, to };
                self.codes_step(node.output, quantizer, to, work, reads);
                Some(How::Codes)
            }
            Op::Zip(Arithmetic::Multiply) => {
                let other = other?;
                let other_own = self.quantizer(other)?;
                let factor = own.scale * other_own.scale / quantizer.scale;
                let zeros = [own, other_own].map(zero_code);
                if let Some(function) = self.function_of(other, x) {
                    // The product of a number with its function is a function, too.
                    let gates = self.function_table(function, own, other_own);
                    let gates: Vec<f32> =
                        gates.iter().map(|gate| decode(*gate, zeros[1])).collect();
                    let table = table(own, range, |multiple| {
                        #[allow(
                            clippy::cast_possible_truncation,
                            clippy::cast_sign_loss,
                            reason = "a stored integer"
                        )]
                        let code = (multiple as i32 + zeros[0]) as usize;
                        multiple * gates[code] * factor
                    });
                    let work = Work::Table { table, from, to };
                    self.codes_step(node.output, quantizer, to, work, vec![place]);
                    return Some(How::Table);
                }
                let both = [x, other].map(|id| self.shape(id).to_vec());
                if both[0] != self.shape(node.output) || !is_repeated(&both[0], &both[1], rows) {
                    return None;
                }
                let (other_place, other_image) = self.codes(other, rows)?;
                let work = Work::MultiplyCodes {
                    from: [from, other_image],
                    to,
                    zeros,
                    factor,
                    range,
                };
                self.codes_step(node.output, quantizer, to, work, vec![place, other_place]);
                Some(How::Codes)
            }
            Op::Map(_) | Op::Scalar(..) => {
                let function = self.function_table(&node.op, own, quantizer);
                let work = Work::Table {
                    table: function,
                    from,
                    to,
                };
                self.codes_step(node.output, quantizer, to, work, vec![place]);
                Some(How::Table)
            }
            op if !rows => {
                let pool = self.mean_windows(op, node)?;
                let count = pool.kernel[0] * pool.kernel[1];
                // Positions beyond the edge count as zero points, which contribute nothing to a sum.
                let factor = mean_factor(own, count, quantizer)?;
                let work = Work::Pool {
                    pool,
                    from,
                    to,
                    of: PoolOf::MeanCodes {
                        zero: zero_code(own),
                        factor,
                        range,
                    },
                };
                self.codes_step(node.output, quantizer, to, work, vec![place]);
                Some(How::Codes)
            }
            _ => None,
        }
    }

    /// The first operand, and the second if there is one. Those of a sum or a product are exchanged if the first is smaller, or a function
    /// of the second.
    fn operands(&self, node: &Node) -> Option<(ValueId, Option<ValueId>)> {
        let (first, second) = (*node.inputs.first()?, node.inputs.get(1).copied());
        let commutes = matches!(node.op, Op::Zip(Arithmetic::Add | Arithmetic::Multiply));
        Some(match second {
            Some(second)
                if commutes
                    && (self.shape(first) != self.shape(node.output)
                        || self.gate_of(first, second).is_some()
                        || self.function_of(first, second).is_some()) =>
            {
                (second, Some(first))
            }
            _ => (first, second),
        })
    }

    /// The function of a value that another one is, if it is computed by a table.
    fn function_of(&self, id: ValueId, of: ValueId) -> Option<&'_ Op> {
        let Source::Node(index) = self.model.graph.value(id).source else {
            return None;
        };
        let node = &self.model.graph.nodes[index];
        let is_function = matches!(node.op, Op::Map(_) | Op::Scalar(..)) && node.inputs == [of];
        (is_function && self.how[index] == Some(How::Table)).then_some(&node.op)
    }

    /// The function of a value in float that another one is.
    fn gate_of(&self, id: ValueId, of: ValueId) -> Option<&'_ Op> {
        let Source::Node(index) = self.model.graph.value(id).source else {
            return None;
        };
        let node = &self.model.graph.nodes[index];
        let is_function = matches!(node.op, Op::Map(_)) && node.inputs == [of];
        (is_function && self.model.quantizer(id).is_none()).then_some(&node.op)
    }

    /// The stored integer of a function for each stored integer.
    fn function_table(&self, op: &Op, from: Quantizer, to: Quantizer) -> Arc<[u8; 256]> {
        table(from, CodeRange::new(to), |multiple| {
            let number = [multiple * from.scale];
            let operand = Operand {
                numbers: &number,
                shape: &[1],
            };
            let mut result = [0.0];
            plain::evaluate(self.isa, op, &[operand], &mut result, &[1], 1);
            result[0] / to.scale
        })
    }

    /// Whether a reshape of images leaves every number where it is.
    fn is_the_same_image(&self, from: ValueId, to: ValueId, image: Image) -> bool {
        let (Some(new), false) = (Image::from_shape(self.shape(to), image.rows), image.rows) else {
            return false;
        };
        let old = image.plane;
        let new = new.plane;
        old.is_borderless()
            && self.borders[to.0] == [[0; 2]; 2]
            && self.shape(from)[0] == self.shape(to)[0]
            && (old.height, old.width, old.channels) == (new.height, new.width, new.channels)
    }

    /// The windows of equally many numbers that an operation makes means of.
    fn mean_windows(&self, op: &Op, node: &Node) -> Option<Windows> {
        let (from, to) = (self.shape(node.inputs[0]), self.shape(node.output));
        let image = Image::from_shape(from, false)?.plane;
        let point = Windows {
            kernel: [1; 2],
            stride: [1; 2],
            dilation: [1; 2],
            padding: [0; 2],
        };
        match op {
            Op::Reduce(Reduction::Mean, axis) if *axis >= 2 => {
                let mut windows = point;
                let own = if from.len() == 3 { 1 } else { axis - 2 };
                let length = [image.height, image.width][own];
                windows.kernel[own] = length;
                windows.stride[own] = length;
                Some(windows)
            }
            Op::AveragePool {
                pool,
                count_padding,
            } => {
                let whole = *count_padding || pool.padding.iter().all(|padding| *padding == 0);
                (whole && !pool.ceil).then(|| windows(pool))
            }
            Op::AdaptiveAveragePool => {
                let out = Image::from_shape(to, false)?.plane;
                let equal = image.height.is_multiple_of(out.height)
                    && image.width.is_multiple_of(out.width);
                let kernel = [
                    image.height / out.height.max(1),
                    image.width / out.width.max(1),
                ];
                equal.then_some(Windows {
                    kernel,
                    stride: kernel,
                    ..point
                })
            }
            _ => None,
        }
    }

    /// A node of floats in images; nothing if it is none.
    fn float_node(&mut self, node: &Node) -> Option<How> {
        let (x, other) = self.operands(node)?;
        let from = self.float_image(x)?;
        let rows = from.rows;
        let to = self.output_image(node.output, rows)?;
        let place = self.forms(x).first()?.1;
        let (work, reads) = match &node.op {
            Op::Reshape if self.is_the_same_image(x, node.output, from) => {
                self.same(node.output, x);
                return Some(How::Moved);
            }
            Op::Zip(arithmetic) => {
                let other = other?;
                let operation = match arithmetic {
                    Arithmetic::Add => Combination::Add,
                    Arithmetic::Subtract => Combination::Subtract,
                    Arithmetic::Multiply => Combination::Multiply,
                    Arithmetic::Divide => Combination::Divide,
                    _ => return None,
                };
                if let (Combination::Multiply, Some(op)) = (operation, self.gate_of(other, x)) {
                    let op = op.clone();
                    let gate = true;
                    (Work::MapFloats { op, gate, from, to }, vec![place])
                } else {
                    let both = [x, other].map(|id| self.shape(id).to_vec());
                    if both[0] != self.shape(node.output)
                        || !is_repeated(&both[0], &both[1], rows)
                        || self.tensor(other).is_some()
                    {
                        return None;
                    }
                    let (other_place, image) = self.floats(other, rows)?;
                    let work = Work::CombineFloats {
                        operation,
                        from: [from, image],
                        to,
                    };
                    (work, vec![place, other_place])
                }
            }
            Op::Map(map) if *map != Map::Not => {
                let op = node.op.clone();
                let gate = false;
                (Work::MapFloats { op, gate, from, to }, vec![place])
            }
            Op::Scalar(..) => {
                let op = node.op.clone();
                let gate = false;
                (Work::MapFloats { op, gate, from, to }, vec![place])
            }
            Op::Concat(1) if !rows => {
                let operands = node.inputs.iter().map(|id| self.floats(*id, rows));
                let operands: Option<Vec<_>> = operands.collect();
                let (reads, from) = operands?.into_iter().unzip();
                (Work::ConcatFloats { from, to }, reads)
            }
            Op::MaxPool(pool) if !rows => {
                let pool = windows(pool);
                let of = PoolOf::MaxFloats;
                (Work::Pool { pool, from, to, of }, vec![place])
            }
            Op::AveragePool {
                pool,
                count_padding,
            } if !rows && !pool.ceil => {
                let pool = windows(pool);
                let of = PoolOf::MeanFloats {
                    count_padding: *count_padding,
                };
                (Work::Pool { pool, from, to, of }, vec![place])
            }
            op if !rows => {
                let pool = self.mean_windows(op, node)?;
                let of = PoolOf::MeanFloats {
                    count_padding: false,
                };
                (Work::Pool { pool, from, to, of }, vec![place])
            }
            _ => return None,
        };
        self.floats_step(node.output, to, work, reads);
        Some(How::Floats)
    }

    /// A node of whole numbers in row-major order, as the simulation has it; nothing if whole numbers do not suffice.
    fn whole_node(&mut self, index: usize, node: &Node, quantizer: Quantizer) -> Option<How> {
        let owns: Option<Vec<Quantizer>> =
            node.inputs.iter().map(|id| self.quantizer(*id)).collect();
        let ends = quantizer.centred();
        if self.uses.keeps_quantizer(index, &node.op) {
            let first = node.inputs.first().and_then(|id| self.quantizer(*id));
            if first != Some(quantizer) || !plain::is_supported(&node.op) {
                return None;
            }
            if node.op == Op::Reshape {
                let place = self.plain(node.inputs[0]);
                self.record_plain(node.output, Some(quantizer), place);
                return Some(How::Moved);
            }
            let mut reads = vec![self.plain(node.inputs[0])];
            reads.extend(node.inputs[1..].iter().map(|id| self.real(*id)));
            let (shapes, shape) = self.shapes_of(node);
            let work = match (
                self.uses.clamps[index],
                self.integer_clamp(index, quantizer),
            ) {
                (true, Some(clamp)) => Work::Whole {
                    whole: Whole::Clamp(clamp),
                    shapes,
                    shape,
                },
                _ => Work::Plain {
                    op: node.op.clone(),
                    shapes,
                    shape,
                    batch: self.batch,
                },
            };
            self.plain_step(node.output, Some(quantizer), work, reads);
            return Some(how(&node.op, self.shape(node.output).len()));
        }
        let whole = match (&node.op, owns.as_deref()) {
            (Op::Zip(Arithmetic::Add), Some(&[a, b])) => Whole::Add {
                factors: [a, b].map(|own| ratio(own.scale, quantizer)),
                ends,
            },
            (Op::Zip(Arithmetic::Multiply) | Op::Matmul, Some(&[a, b])) => {
                let is_matmul = node.op == Op::Matmul;
                let last = self.shape(node.inputs[0]).last().copied().unwrap_or(1);
                let count = if is_matmul { last as u64 } else { 1 };
                let bound = a.largest().checked_mul(b.largest());
                if !fits_accumulator(bound.and_then(|bound| bound.checked_mul(count))) {
                    return None;
                }
                let factor = a.scale * b.scale / quantizer.scale;
                let part = EXACT_FLOATS / bound.unwrap_or(1).max(1);
                if is_matmul && part >= 8 {
                    let sums = MatrixSums::Whole {
                        part: usize::try_from(part).unwrap_or(usize::MAX),
                    };
                    let operands = [node.inputs[0], node.inputs[1]].map(|id| self.plain(id));
                    self.matmul(node, operands, sums, Some((quantizer, factor)));
                    return Some(How::Integers);
                }
                match is_matmul {
                    true => Whole::Matmul { factor, ends },
                    false => Whole::Multiply { factor, ends },
                }
            }
            (Op::Concat(axis), Some(owns)) => Whole::Concat {
                axis: *axis,
                factors: owns.iter().map(|own| ratio(own.scale, quantizer)).collect(),
                ends,
            },
            (op, _) => {
                let first = node.inputs.first().and_then(|id| self.quantizer(*id));
                let (own, id) = (first?, node.inputs.first()?);
                let count = averaged_values(op, self.shape(*id), self.shape(node.output))?;
                let factor = mean_factor(own, count, quantizer)?;
                Whole::Mean {
                    op: op.clone(),
                    count,
                    factor,
                    ends,
                }
            }
        };
        let reads = node.inputs.iter().map(|id| self.plain(*id)).collect();
        let (shapes, shape) = self.shapes_of(node);
        let vectorized = !matches!(whole, Whole::Matmul { .. } | Whole::Mean { .. });
        let work = Work::Whole {
            whole,
            shapes,
            shape,
        };
        let how = match vectorized {
            true => How::Integers,
            false => How::PlainIntegers,
        };
        self.plain_step(node.output, Some(quantizer), work, reads);
        Some(how)
    }

    /// A product of matrices in row-major floats: of whole numbers, for a quantizer and with the factor to its integers, or of floats.
    fn matmul(
        &mut self,
        node: &Node,
        [a, b]: [Place; 2],
        sums: MatrixSums,
        rescale: Option<(Quantizer, f32)>,
    ) {
        let [a_shape, b_shape] = [0, 1].map(|at: usize| self.shape(node.inputs[at]).to_vec());
        let shape = self.shape(node.output).to_vec();
        let last = shape.len() - 2;
        let [rows, columns] = [shape[last], shape[last + 1]];
        let inner = a_shape.last().copied().unwrap_or(1);
        let matrices: usize = b_shape[..b_shape.len() - 2].iter().product();
        let bytes = 4 * matrices * packed_matrix_len(inner, columns);
        let packed = self.step(
            node.output,
            Work::PackMatrices([inner, columns]),
            vec![b],
            bytes,
            None,
        );
        let matmul = Matmul {
            sizes: [rows, inner, columns],
            pairs: plain::matrix_pairs(&a_shape, &b_shape, &shape),
            sums,
            rescale: rescale.map(|(quantizer, factor)| (factor, quantizer.centred())),
        };
        let quantizer = rescale.map(|(quantizer, _)| quantizer);
        self.plain_step(
            node.output,
            quantizer,
            Work::Matmul(matmul),
            vec![a, packed],
        );
    }

    fn shapes_of(&self, node: &Node) -> (Vec<Vec<usize>>, Vec<usize>) {
        let shapes = node.inputs.iter().map(|id| self.shape(*id).to_vec());
        (shapes.collect(), self.shape(node.output).to_vec())
    }

    /// A node in float, in row-major order.
    fn plain_node(&mut self, index: usize, node: &Node) -> Result<(), EngineError> {
        if !plain::is_supported(&node.op) {
            return Err(self.unsupported(node));
        }
        self.how[index] = Some(how(&node.op, self.shape(node.output).len()));
        if node.op == Op::Reshape {
            let place = self.real(node.inputs[0]);
            self.record_plain(node.output, None, place);
            self.quantize(node.output);
            return Ok(());
        }
        if node.op == Op::Matmul && node.inputs.iter().all(|id| self.shape(*id).len() > 1) {
            let operands = [node.inputs[0], node.inputs[1]].map(|id| self.real(id));
            self.matmul(node, operands, MatrixSums::Floats, None);
            self.quantize(node.output);
            return Ok(());
        }
        let (mut shapes, shape) = self.shapes_of(node);
        let mut reads = Vec::new();
        for (at, id) in node.inputs.iter().enumerate() {
            let weights = self.model.layers.get(&index);
            match weights.filter(|_| at == 0 && node.op == Op::Embedding) {
                Some(weights) => {
                    self.constants.push(weights.floats());
                    reads.push(crate::step::Place::Constant(self.constants.len() - 1));
                    shapes[0] = weights.shape.clone();
                }
                None => reads.push(self.real(*id)),
            }
        }
        let work = Work::Plain {
            op: node.op.clone(),
            shapes,
            shape,
            batch: self.batch,
        };
        self.plain_step(node.output, None, work, reads);
        self.quantize(node.output);
        Ok(())
    }
}

/// Whether an operand has the shape of images, or one number for each channel of each sample.
fn is_repeated(shape: &[usize], operand: &[usize], rows: bool) -> bool {
    let channels = operand.len() > 2
        && !rows
        && operand.len() == shape.len()
        && operand[..2] == shape[..2]
        && operand[2..].iter().all(|length| *length == 1);
    channels || shape == operand
}

/// How an operation on row-major floats is computed.
fn how(op: &Op, rank: usize) -> How {
    match op {
        Op::Softmax(axis) | Op::LogSoftmax(axis) if axis + 1 == rank => How::Floats,
        Op::Reshape => How::Moved,
        Op::Expand
        | Op::Permute(_)
        | Op::Slice(_)
        | Op::Flip(_)
        | Op::Repeat { .. }
        | Op::Concat(_)
        | Op::Embedding
        | Op::Cast => How::Copied,
        Op::Map(_)
        | Op::Zip(_)
        | Op::Scalar(..)
        | Op::Compare(_)
        | Op::CompareScalar(..)
        | Op::LayerNorm { .. }
        | Op::BatchNorm { .. }
        | Op::Reduce(..)
        | Op::ReduceAll(_)
        | Op::Matmul => How::Floats,
        _ => How::PlainFloats,
    }
}

/// The result for each stored integer of a quantizer: a function from multiples of its scale to multiples of the result's.
fn table(from: Quantizer, to: CodeRange, function: impl Fn(f32) -> f32) -> Arc<[u8; 256]> {
    let mut table = [0; 256];
    for (code, result) in (0..=255).zip(&mut table) {
        *result = to.encode(function(decode(code, zero_code(from))));
    }
    Arc::new(table)
}

/// Whole numbers up to this magnitude are floats.
const EXACT_FLOATS: u64 = 1 << 24;

/// Whether sums of this magnitude at most fit an accumulator of 32 bits.
fn fits_accumulator(bound: Option<u64>) -> bool {
    bound.is_some_and(|bound| bound < 1 << 31)
}

/// The factor from the sum of so many integers to the integers of their mean, if the sum fits an accumulator.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "sizes of windows; factors are f32"
)]
fn mean_factor(from: Quantizer, count: usize, to: Quantizer) -> Option<f32> {
    let factor = f64::from(from.scale) / count as f64 / f64::from(to.scale);
    fits_accumulator(from.largest().checked_mul(count as u64)).then_some(factor as f32)
}

/// Windows over one or two axes.
fn windows(pool: &Pool) -> Windows {
    Windows {
        kernel: two_axes(&pool.kernel, 1),
        stride: two_axes(&pool.stride, 1),
        dilation: two_axes(&pool.dilation, 1),
        padding: two_axes(&pool.padding, 0),
    }
}
