//! Operations on integers in row-major order, and matrix products.

use calcine_format::{Quantizer, averaged_values};
use calcine_graph::{Arithmetic, Node, Op};
use calcine_kernels::{MatrixSums, packed_matrix_len};

use super::Compiler;
use super::layers::ratio;
use super::nodes::execution;
use crate::plain;
use crate::report::Execution;
use crate::step::{Matmul, Place, Whole, Work};

impl Compiler<'_> {
    /// Adds the steps of a node on integers in row-major order, with the results of the simulation; returns `None` if
    /// the node cannot be computed in integers.
    pub(super) fn whole_node(
        &mut self,
        index: usize,
        node: &Node,
        quantizer: Quantizer,
    ) -> Option<Execution> {
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
                return Some(Execution::Moved);
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
            return Some(execution(&node.op, self.shape(node.output).len()));
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
                    return Some(Execution::Integers);
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
        let execution = match vectorized {
            true => Execution::Integers,
            false => Execution::PlainIntegers,
        };
        self.plain_step(node.output, Some(quantizer), work, reads);
        Some(execution)
    }

    /// Adds the steps of a matrix product of row-major floats. With `rescale`, the factors are integers, and the sums
    /// are multiplied with the factor and rounded to the integers of the quantizer.
    pub(super) fn matmul(
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

    pub(super) fn shapes_of(&self, node: &Node) -> (Vec<Vec<usize>>, Vec<usize>) {
        let shapes = node.inputs.iter().map(|id| self.shape(*id).to_vec());
        (shapes.collect(), self.shape(node.output).to_vec())
    }
}

/// Integers up to this magnitude are exact in `f32`.
const EXACT_FLOATS: u64 = 1 << 24;

/// Whether sums up to this magnitude fit a 32-bit accumulator.
fn fits_accumulator(bound: Option<u64>) -> bool {
    bound.is_some_and(|bound| bound < 1 << 31)
}

/// The factor that converts the sum of `count` integers to the integer of their mean, if the sum fits an accumulator.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "sizes of windows; factors are f32"
)]
pub(super) fn mean_factor(from: Quantizer, count: usize, to: Quantizer) -> Option<f32> {
    let factor = f64::from(from.scale) / count as f64 / f64::from(to.scale);
    fits_accumulator(from.largest().checked_mul(count as u64)).then_some(factor as f32)
}
