//! Fake-quantization on Burn's flex devices in one pass over the numbers, forward and backward.
//!
//! Burn executes one operation at a time, so that fake-quantization composed of its operations passes over memory five to ten times.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::autodiff::{Autodiff, NodeId};
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Backend, Dispatch, DispatchTensor, DispatchTensorKind, Flex, TensorMetadata, backend_extension,
};
use burn::tensor::{DType, Tensor, TensorData};
use calcine_kernels::Isa;
use calcine_kernels::fake::{
    self, Learned, Side, clip, map, map_in_place, nearest, stop, sum_where, symmetric_rows, within,
};

use crate::one_pass::{Rounding, Scales};

/// A tensor of the flex backend.
type Flexible = FloatTensor<Flex>;

/// A float tensor of flex with autodiff.
type Taped<C> = FloatTensor<Autodiff<Flex, C>>;

/// Fake-quantizes numbers whose gradient passes straight through; `None` for tensors that are not 32-bit floats on a flex device.
pub(crate) fn round<const D: usize>(x: &Tensor<D>, rounding: Rounding) -> Option<Tensor<D>> {
    let x = x.clone().into_dispatch();
    is_on_flex(&x).then(|| Tensor::from_dispatch(<Dispatch as FakeQuantize>::round(x, rounding)))
}

/// PACT: numbers clipped between 0 and `alpha`, and rounded to multiples of `alpha / levels`.
pub(crate) fn pact<const D: usize>(
    x: &Tensor<D>,
    alpha: &Tensor<1>,
    levels: f32,
) -> Option<Tensor<D>> {
    let [x, alpha] = [x.clone().into_dispatch(), alpha.clone().into_dispatch()];
    (is_on_flex(&x) && is_on_flex(&alpha))
        .then(|| Tensor::from_dispatch(<Dispatch as FakeQuantize>::pact(x, alpha, levels)))
}

/// The smallest and the largest number, `[2]`, detached.
pub(crate) fn range<const D: usize>(x: &Tensor<D>) -> Option<Tensor<1>> {
    let x = x.clone().into_dispatch();
    is_on_flex(&x).then(|| Tensor::from_dispatch(<Dispatch as Range>::range(x)))
}

/// The weights of `DoReFa`.
pub(crate) fn dorefa<const D: usize>(
    x: &Tensor<D>,
    levels: f32,
    nothing: f32,
) -> Option<Tensor<D>> {
    let x = x.clone().into_dispatch();
    is_on_flex(&x)
        .then(|| Tensor::from_dispatch(<Dispatch as FakeQuantize>::dorefa(x, levels, nothing)))
}

/// LSQ: numbers on multiples of learned scales.
pub(crate) fn learned<const D: usize>(
    x: &Tensor<D>,
    scales: &Tensor<1>,
    options: Scales,
) -> Option<Tensor<D>> {
    let [x, scales] = [x.clone().into_dispatch(), scales.clone().into_dispatch()];
    (is_on_flex(&x) && is_on_flex(&scales))
        .then(|| Tensor::from_dispatch(<Dispatch as FakeQuantize>::learned(x, scales, options)))
}

/// Whether it is a tensor of 32-bit floats on a flex device.
fn is_on_flex(tensor: &DispatchTensor) -> bool {
    let kind = match &tensor.kind {
        DispatchTensorKind::Autodiff(inner) => inner,
        kind => kind,
    };
    tensor.dtype() == DType::F32 && matches!(kind, DispatchTensorKind::Flex(_))
}

/// Ranges on the backends that have kernels of Calcine.
#[backend_extension(Autodiff, Flex)]
trait Range: Backend {
    fn range(x: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl Range for Flex {
    fn range(x: Flexible) -> Flexible {
        let ends = fake::range(Isa::best(), numbers(&x.to_contiguous()));
        Flexible::from_data(TensorData::new(ends.to_vec(), [2]))
    }
}

impl<C: CheckpointStrategy> Range for Autodiff<Flex, C> {
    fn range(x: Taped<C>) -> Taped<C> {
        Taped::<C>::new(<Flex as Range>::range(x.into_primitive()))
    }
}

/// Fake-quantization on the backends that have kernels of Calcine.
#[backend_extension(Autodiff, Flex)]
trait FakeQuantize: Backend {
    fn round(x: FloatTensor<Self>, rounding: Rounding) -> FloatTensor<Self>;

    fn pact(x: FloatTensor<Self>, alpha: FloatTensor<Self>, levels: f32) -> FloatTensor<Self>;

    fn dorefa(x: FloatTensor<Self>, levels: f32, nothing: f32) -> FloatTensor<Self>;

    fn learned(
        x: FloatTensor<Self>,
        scales: FloatTensor<Self>,
        options: Scales,
    ) -> FloatTensor<Self>;
}

impl FakeQuantize for Flex {
    fn round(x: Flexible, rounding: Rounding) -> Flexible {
        match rounding {
            Rounding::Values { scale, ends, .. } | Rounding::Quotients { scale, ends } => {
                replaced(x, |x| nearest(x / scale, ends) * scale)
            }
            Rounding::Levels { levels, ends } => replaced(x, |x| level(x, levels, ends)),
            Rounding::Rows { length, top } => {
                let x = x.to_contiguous();
                let values = symmetric_rows(Isa::best(), numbers(&x), length, top);
                tensor(values, &x)
            }
        }
    }

    fn pact(x: Flexible, alpha: Flexible, levels: f32) -> Flexible {
        let alpha = number(&alpha);
        replaced(x, |x| clipped_at(x, alpha, levels).0)
    }

    fn dorefa(x: Flexible, levels: f32, nothing: f32) -> Flexible {
        let values = Normalized::new(&x, nothing).values(levels);
        tensor(values, &x)
    }

    fn learned(x: Flexible, scales: Flexible, options: Scales) -> Flexible {
        let (x, scales) = (x.to_contiguous(), scales.to_contiguous());
        tensor(options.of(&scales).forward(numbers(&x)), &x)
    }
}

impl Scales {
    fn of<'a>(&self, scales: &'a Flexible) -> Learned<'a> {
        Learned {
            isa: Isa::best(),
            scales: numbers(scales),
            inner: self.inner,
            ends: self.ends,
        }
    }
}

/// The nearest multiple of `1 / levels` within whole numbers.
#[inline(always)]
fn level(x: f32, levels: f32, ends: [f32; 2]) -> f32 {
    nearest(within(x, ends) * levels, ends.map(|end| end * levels)) / levels
}

/// The nearest multiple of `alpha / levels` between 0 and `alpha`, and where the number lies; a number of `alpha` counts as above.
#[inline(always)]
fn clipped_at(x: f32, alpha: f32, levels: f32) -> (f32, Side) {
    let side = if x < 0.0 {
        Side::Below
    } else if x >= alpha {
        Side::Above
    } else {
        Side::Inside
    };
    let scale = alpha / levels;
    let value = nearest(within(x, [0.0, alpha]) / scale, [0.0, levels]) * scale;
    (value, side)
}

/// The values of a function, in place if nothing else has the numbers.
fn replaced(mut x: Flexible, function: impl Fn(f32) -> f32 + Sync) -> Flexible {
    let isa = Isa::best();
    if x.is_unique() && x.layout().is_dense_unique_storage() {
        map_in_place(isa, x.storage_mut::<f32>(), function);
        return x;
    }
    let x = x.to_contiguous();
    tensor(map(isa, numbers(&x), function), &x)
}

/// A tensor of these numbers, with the shape of another.
fn tensor(numbers: Vec<f32>, like: &Flexible) -> Flexible {
    Flexible::from_data(TensorData::new(numbers, like.shape()))
}

/// The numbers of a tensor without gaps.
fn numbers(tensor: &Flexible) -> &[f32] {
    let numbers = tensor.as_slice::<f32>();
    numbers.expect("32-bit floats without gaps")
}

/// The only number of a tensor.
fn number(tensor: &Flexible) -> f32 {
    numbers(&tensor.to_contiguous())[0]
}

impl<C: CheckpointStrategy> FakeQuantize for Autodiff<Flex, C> {
    fn round(x: Taped<C>, rounding: Rounding) -> Taped<C> {
        match Rounded.prepare::<C>([x.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let (y, sides) = rounding.clip(x.into_primitive());
                prepared.finish(sides, y)
            }
            OpsKind::UnTracked(prepared) => {
                prepared.finish(<Flex as FakeQuantize>::round(x.into_primitive(), rounding))
            }
        }
    }

    fn pact(x: Taped<C>, alpha: Taped<C>, levels: f32) -> Taped<C> {
        let nodes = [x.node(), alpha.node()];
        let (x, alpha) = (x.into_primitive(), alpha.into_primitive());
        match Clipped.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let (x, alpha) = (x.to_contiguous(), number(&alpha));
                let function = |x| clipped_at(x, alpha, levels);
                let (values, sides) = clip(Isa::best(), numbers(&x), function);
                prepared.finish(sides, tensor(values, &x))
            }
            OpsKind::UnTracked(prepared) => {
                prepared.finish(<Flex as FakeQuantize>::pact(x, alpha, levels))
            }
        }
    }

    fn dorefa(x: Taped<C>, levels: f32, nothing: f32) -> Taped<C> {
        match NormalizedTanh
            .prepare::<C>([x.node()])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prepared) => {
                let x = x.into_primitive();
                let normalized = Normalized::new(&x, nothing);
                let y = tensor(normalized.values(levels), &x);
                prepared.finish(normalized, y)
            }
            OpsKind::UnTracked(prepared) => {
                let x = x.into_primitive();
                prepared.finish(<Flex as FakeQuantize>::dorefa(x, levels, nothing))
            }
        }
    }

    fn learned(x: Taped<C>, scales: Taped<C>, options: Scales) -> Taped<C> {
        let nodes = [x.node(), scales.node()];
        let compute = || {
            let (x, scales) = (x.primitive().clone(), scales.primitive().clone());
            <Flex as FakeQuantize>::learned(x, scales, options)
        };
        match LearnedScales.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(mut prepared) => {
                let y = compute();
                let kept = [prepared.checkpoint(&x), prepared.checkpoint(&scales)];
                prepared.finish((kept, options), y)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(compute()),
        }
    }
}

/// Hyperbolic tangents, and the divisor that brings them between −½ and ½.
#[derive(Debug, Clone)]
struct Normalized {
    tangents: Vec<f32>,
    divisor: f32,
    /// The position of the largest magnitude, of which the divisor is twice the value.
    largest: Option<usize>,
}

impl Normalized {
    fn new(x: &Flexible, nothing: f32) -> Self {
        let tangents = map(Isa::best(), numbers(&x.to_contiguous()), f32::tanh);
        let mut largest = (0, 0.0_f32);
        for (at, t) in tangents.iter().enumerate() {
            // A NaN makes all values NaN.
            if t.abs() > largest.1 || t.is_nan() {
                largest = (at, t.abs());
            }
            if t.is_nan() {
                break;
            }
        }
        let (at, magnitude) = largest;
        let is_nothing = magnitude * 2.0 < nothing;
        Self {
            tangents,
            divisor: if is_nothing { 1.0 } else { magnitude * 2.0 },
            largest: (!is_nothing).then_some(at),
        }
    }

    /// The values between −1 and 1, at levels of this number.
    fn values(&self, levels: f32) -> Vec<f32> {
        let (divisor, ends) = (self.divisor, [0.0, levels]);
        map(Isa::best(), &self.tangents, |t| {
            nearest((t / divisor + 0.5) * levels, ends) / levels * 2.0 - 1.0
        })
    }

    /// Replaces the gradients of values by those of the numbers.
    fn backward(&self, gradients: &mut [f32]) {
        let divisor = self.divisor;
        let mut of_divisor = 0.0_f64;
        for (gradient, t) in gradients.iter_mut().zip(&self.tangents) {
            of_divisor -= f64::from(*gradient * 2.0 * *t);
            *gradient = *gradient * 2.0 / divisor * (1.0 - t * t);
        }
        if let Some(at) = self.largest {
            let t = self.tangents[at];
            let divisor = f64::from(divisor);
            #[allow(clippy::cast_possible_truncation, reason = "gradients are f32")]
            let of_magnitude = (of_divisor / (divisor * divisor) * 2.0) as f32;
            gradients[at] += of_magnitude * t.signum() * (1.0 - t * t);
        }
    }
}

/// The gradient of [`Normalized`] values, whose rounding counts as the identity.
#[derive(Debug)]
struct NormalizedTanh;

impl Backward<Flex, 1> for NormalizedTanh {
    type State = Normalized;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let mut dx = grads.consume::<Flex>(&ops.node).to_contiguous();
        let [Some(parent)] = ops.parents else { return };
        ops.state.backward(dx.storage_mut::<f32>());
        grads.register::<Flex>(parent.id, dx);
    }
}

impl Rounding {
    /// The fake-quantized numbers, and where they were clipped if some were.
    fn clip(self, x: Flexible) -> (Flexible, Option<Vec<u8>>) {
        if let Self::Rows { .. } = self {
            return (<Flex as FakeQuantize>::round(x, self), None);
        }
        let x = x.to_contiguous();
        let (isa, of) = (Isa::best(), numbers(&x));
        let (values, sides) = match self {
            Self::Values {
                scale,
                ends,
                bounds,
            } => clip(isa, of, |x| {
                (nearest(x / scale, ends) * scale, Side::of(x, bounds))
            }),
            Self::Quotients { scale, ends } => clip(isa, of, |x| {
                let quotient = x / scale;
                (nearest(quotient, ends) * scale, Side::of(quotient, ends))
            }),
            Self::Levels { levels, ends } => {
                clip(isa, of, |x| (level(x, levels, ends), Side::of(x, ends)))
            }
            Self::Rows { .. } => unreachable!("rows are not clipped"),
        };
        (tensor(values, &x), sides)
    }
}

/// The gradient passes where numbers were not clipped.
#[derive(Debug)]
struct Rounded;

impl Backward<Flex, 1> for Rounded {
    type State = Option<Vec<u8>>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<Flex>(&ops.node);
        let [Some(parent)] = ops.parents else { return };
        grads.register::<Flex>(parent.id, stopped(dy, ops.state.as_deref()));
    }
}

/// The gradients of numbers that were not clipped, and zero for the others.
fn stopped(dy: Flexible, sides: Option<&[u8]>) -> Flexible {
    let Some(sides) = sides else { return dy };
    let mut dx = dy.to_contiguous();
    // If nothing else has the gradient, its numbers are overwritten.
    drop(dy);
    stop(Isa::best(), dx.storage_mut::<f32>(), sides);
    dx
}

/// The gradient of the numbers, as of [`Rounded`], and that of their upper bound: the sum of the gradients above it.
#[derive(Debug)]
struct Clipped;

impl Backward<Flex, 2> for Clipped {
    type State = Option<Vec<u8>>;

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<Flex>(&ops.node).to_contiguous();
        let [x, alpha] = ops.parents;
        let sides = ops.state.as_deref();
        if let Some(alpha) = alpha {
            let sum = sides.map_or(0.0, |sides| {
                sum_where(Isa::best(), numbers(&dy), sides, Side::Above)
            });
            grads.register::<Flex>(alpha.id, vector(&[sum]));
        }
        if let Some(x) = x {
            grads.register::<Flex>(x.id, stopped(dy, sides));
        }
    }
}

/// The gradients of LSQ.
#[derive(Debug)]
struct LearnedScales;

impl Backward<Flex, 2> for LearnedScales {
    type State = ([NodeId; 2], Scales);

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        grads: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let mut dx = grads.consume::<Flex>(&ops.node).to_contiguous();
        let (kept, options) = ops.state;
        let kept = kept.map(|id| checkpointer.retrieve_node_output::<Flexible>(id));
        let [x, scales] = kept.map(|tensor| tensor.to_contiguous());
        let sums = (options.of(&scales)).backward(numbers(&x), dx.storage_mut::<f32>());
        let [of_x, of_scales] = ops.parents;
        if let Some(node) = of_x {
            grads.register::<Flex>(node.id, dx);
        }
        if let Some(node) = of_scales {
            let sums: Vec<f64> = sums.iter().map(|sum| sum * options.factor).collect();
            grads.register::<Flex>(node.id, vector(&sums));
        }
    }
}

/// A vector of gradients.
#[allow(clippy::cast_possible_truncation, reason = "gradients are f32")]
fn vector(numbers: &[f64]) -> Flexible {
    let numbers: Vec<f32> = numbers.iter().map(|number| *number as f32).collect();
    let length = numbers.len();
    Flexible::from_data(TensorData::new(numbers, [length]))
}
