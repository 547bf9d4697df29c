//! Operations on images, of 8-bit integers or of floats.

use std::sync::Arc;

use calcine_format::Quantizer;
use calcine_graph::{Arithmetic, Map, Node, Op, Pool, Reduction, Source, ValueId};

use super::layers::{narrowed, ratio, two_axes};
use super::whole::mean_factor;
use super::{Compiler, is_byte};
use crate::form::{CodeRange, Image, Layout, decode, zero_code};
use crate::plain::{self, Operand};
use crate::report::Execution;
use crate::step::{Combination, PoolOf, Windows, Work};

impl Compiler<'_> {
    /// The layout of a value that is stored as images of 8-bit integers.
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

    /// The layout of a node's result as images, with channels where its operands have them.
    fn output_image(&self, id: ValueId, rows: bool) -> Option<Image> {
        let image = Image::from_shape(self.shape(id), rows)?;
        Some(image.with_border(self.borders[id.0]))
    }

    /// Adds the steps of a node on images of 8-bit integers; returns `None` if the node cannot be computed on them.
    pub(super) fn code_node(
        &mut self,
        index: usize,
        node: &Node,
        quantizer: Quantizer,
    ) -> Option<Execution> {
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
                    return Some(Execution::Moved);
                }
                let range = CodeRange {
                    ends: [low, high],
                    ..range
                };
                let table = table(quantizer, range, |multiple| multiple);
                let work = Work::Table { table, from, to };
                self.codes_step(node.output, quantizer, to, work, vec![place]);
                return Some(Execution::Codes);
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
                    Some(Execution::Codes)
                }
                Op::Reshape if self.is_the_same_image(x, node.output, from) => {
                    self.same(node.output, x);
                    Some(Execution::Moved)
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
                Some(Execution::Codes)
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
                Some(Execution::Codes)
            }
            Op::Zip(Arithmetic::Multiply) => {
                let other = other?;
                let other_own = self.quantizer(other)?;
                let factor = own.scale * other_own.scale / quantizer.scale;
                let zeros = [own, other_own].map(zero_code);
                if let Some(function) = self.function_of(other, x) {
                    // The product of a number and a function of it is a function of it, too.
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
                    return Some(Execution::Table);
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
                Some(Execution::Codes)
            }
            Op::Map(_) | Op::Scalar(..) => {
                let function = self.function_table(&node.op, own, quantizer);
                let work = Work::Table {
                    table: function,
                    from,
                    to,
                };
                self.codes_step(node.output, quantizer, to, work, vec![place]);
                Some(Execution::Table)
            }
            op if !rows => {
                let pool = self.mean_windows(op, node)?;
                let count = pool.kernel[0] * pool.kernel[1];
                // Positions beyond the edge count as the zero point, which contributes nothing to a sum.
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
                Some(Execution::Codes)
            }
            _ => None,
        }
    }

    /// The first operand, and the second one if there is one. The operands of a sum or a product are exchanged if the
    /// first one is smaller, or is a function of the second one.
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

    /// The operation of the node `id`, if it is a function of the value `of` that is computed by a table.
    fn function_of(&self, id: ValueId, of: ValueId) -> Option<&'_ Op> {
        let Source::Node(index) = self.model.graph.value(id).source else {
            return None;
        };
        let node = &self.model.graph.nodes[index];
        let is_function = matches!(node.op, Op::Map(_) | Op::Scalar(..)) && node.inputs == [of];
        (is_function && self.executions[index] == Some(Execution::Table)).then_some(&node.op)
    }

    /// The operation of the node `id`, if it is a function of the value `of` whose result stays in float.
    fn gate_of(&self, id: ValueId, of: ValueId) -> Option<&'_ Op> {
        let Source::Node(index) = self.model.graph.value(id).source else {
            return None;
        };
        let node = &self.model.graph.nodes[index];
        let is_function = matches!(node.op, Op::Map(_)) && node.inputs == [of];
        (is_function && self.model.quantizer(id).is_none()).then_some(&node.op)
    }

    /// The table of a function: the stored result for each stored integer.
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

    /// Whether a reshape of images leaves every number in its place.
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

    /// The windows of an operation whose results are means of equally many numbers.
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

    /// Adds the steps of a node on images of floats; returns `None` if the node cannot be computed on them.
    pub(super) fn float_node(&mut self, node: &Node) -> Option<Execution> {
        let (x, other) = self.operands(node)?;
        let from = self.float_image(x)?;
        let rows = from.rows;
        let to = self.output_image(node.output, rows)?;
        let place = self.forms(x).first()?.1;
        let (work, reads) = match &node.op {
            Op::Reshape if self.is_the_same_image(x, node.output, from) => {
                self.same(node.output, x);
                return Some(Execution::Moved);
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
        Some(Execution::Floats)
    }
}

/// Whether an operand has the given shape, or has one number for each channel of each sample.
fn is_repeated(shape: &[usize], operand: &[usize], rows: bool) -> bool {
    let channels = operand.len() > 2
        && !rows
        && operand.len() == shape.len()
        && operand[..2] == shape[..2]
        && operand[2..].iter().all(|length| *length == 1);
    channels || shape == operand
}

/// The table of a function from multiples of the input's scale to multiples of the result's scale: the stored result
/// for each stored integer.
fn table(from: Quantizer, to: CodeRange, function: impl Fn(f32) -> f32) -> Arc<[u8; 256]> {
    let mut table = [0; 256];
    for (code, result) in (0..=255).zip(&mut table) {
        *result = to.encode(function(decode(code, zero_code(from))));
    }
    Arc::new(table)
}

/// The windows of a pool over one or two axes.
fn windows(pool: &Pool) -> Windows {
    Windows {
        kernel: two_axes(&pool.kernel, 1),
        stride: two_axes(&pool.stride, 1),
        dilation: two_axes(&pool.dilation, 1),
        padding: two_axes(&pool.padding, 0),
    }
}
