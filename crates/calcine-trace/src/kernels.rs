//! Computes training operations on flex devices with Calcine's kernels, differentiable like Burn's own. Operations that
//! are not recorded on the autodiff tape are computed by Burn, so that networks in evaluation mode give the same bits
//! as their models.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, NodeGuard, Ops, OpsKind};
use burn::backend::autodiff::{Autodiff, NodeId};
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Backend, Dispatch, DispatchTensor, DispatchTensorKind, Flex, TensorMetadata, backend_extension,
};
use burn::nn::BatchNorm;
use burn::tensor::{DType, Tensor, TensorData};
use calcine_graph::Convolution as Options;
use calcine_kernels::{
    BatchNorm as Norm, Convolution, Filters, Images, Isa, Order, Statistics, Window,
};

use crate::tensor::{AnyTensor, with_rank};

/// A tensor of the flex backend.
type Flexible = FloatTensor<Flex>;

/// Convolves images or sequences, if the operands are 32-bit floats on a flex device, one of them is on the autodiff
/// tape, and the CPU has the vector instructions that the kernels use.
pub(crate) fn convolution(
    x: &AnyTensor,
    weight: &AnyTensor,
    bias: Option<&AnyTensor>,
    options: &Options,
) -> Option<AnyTensor> {
    let convolution = planned(&x.shape(), &weight.shape(), options)?;
    let [x, weight] = [x, weight].map(|tensor| tensor.clone().into_dispatch());
    let bias = bias.map(|bias| bias.clone().into_dispatch());
    let all = [Some(&x), Some(&weight), bias.as_ref()];
    if !are_trained_on_flex(all.into_iter().flatten()) {
        return None;
    }
    let rank = x.shape().num_dims();
    let y = match bias {
        Some(bias) => <Dispatch as Convolve>::convolve_with_bias(x, weight, bias, convolution),
        None => <Dispatch as Convolve>::convolve(x, weight, convolution),
    };
    Some(with_rank!(rank, D => Tensor::<D>::from_dispatch(y).into()))
}

/// The instruction set of the kernels for tensors like this one, if there are any.
pub(crate) fn of_training(tensor: AnyTensor) -> Option<String> {
    let isa = Isa::best();
    let tensor = tensor.autodiff().into_dispatch();
    (isa != Isa::Portable && are_trained_on_flex([&tensor])).then(|| isa.to_string())
}

/// Whether the tensors are 32-bit floats on a flex device, and at least one is on the autodiff tape.
fn are_trained_on_flex<'a>(tensors: impl IntoIterator<Item = &'a DispatchTensor>) -> bool {
    let on_flex = |kind: &DispatchTensorKind| matches!(kind, DispatchTensorKind::Flex(_));
    let mut is_taped = false;
    let mut all = tensors.into_iter();
    let fit = all.all(|tensor| {
        tensor.dtype() == DType::F32
            && match &tensor.kind {
                DispatchTensorKind::Autodiff(inner) => {
                    is_taped = true;
                    on_flex(inner)
                }
                kind => on_flex(kind),
            }
    });
    fit && is_taped
}

/// A convolution with this number of axes, and the shape of its results.
#[derive(Debug, Clone, Copy)]
struct Planned {
    convolution: Convolution,
    rank: usize,
    filters: Filters,
    input: [usize; 2],
    output: [usize; 2],
}

/// Selects the kernel for these shapes; sequences are images with one row.
fn planned(x: &[usize], weight: &[usize], options: &Options) -> Option<Planned> {
    let isa = Isa::best();
    let rank = x.len();
    if isa == Isa::Portable || !(3..=4).contains(&rank) {
        return None;
    }
    let of_axes = |all: &[usize], none: usize| match *all {
        [row, column] => [row, column],
        [column] => [none, column],
        _ => unreachable!("images and sequences"),
    };
    let padding: Vec<usize> = options.padding.iter().map(|ends| ends[0]).collect();
    let window = Window {
        kernel: of_axes(&weight[2..], 1),
        stride: of_axes(&options.stride, 1),
        dilation: of_axes(&options.dilation, 1),
        padding: of_axes(&padding, 0),
    };
    let behind: Vec<usize> = options.padding.iter().map(|ends| ends[1]).collect();
    let behind = of_axes(&behind, 0);
    let input = of_axes(&x[2..], 1);
    let mut output = [0; 2];
    for axis in 0..2 {
        let reach = (window.kernel[axis] - 1) * window.dilation[axis] + 1;
        let whole = input[axis] + window.padding[axis] + behind[axis];
        output[axis] = whole.checked_sub(reach)? / window.stride[axis] + 1;
    }
    let filters = Filters {
        inputs: x[1],
        outputs: weight[0],
        groups: options.groups,
        window,
    };
    let is_empty = x.contains(&0) || weight.contains(&0);
    // For shapes that do not fit, Burn reports the problem.
    let fits = options.groups > 0
        && x[1] == weight[1] * options.groups
        && weight[0].is_multiple_of(options.groups);
    (fits && !is_empty).then(|| Planned {
        convolution: Convolution::new(isa, filters, input, output),
        rank,
        filters,
        input,
        output,
    })
}

impl Planned {
    /// The shape of images with this number of channels, as input or output.
    fn shape(&self, samples: usize, channels: usize, size: [usize; 2]) -> Vec<usize> {
        let mut shape = vec![samples, channels];
        shape.extend(&size[4 - self.rank..]);
        shape
    }

    fn forward(&self, x: &Flexible, weight: &Flexible, bias: Option<&Flexible>) -> Flexible {
        let samples = x.shape()[0];
        let shape = self.shape(samples, self.filters.outputs, self.output);
        let (x, weight) = (x.to_contiguous(), weight.to_contiguous());
        let bias = bias.map(|bias| bias.to_contiguous());
        let bias = bias.as_ref().map(numbers);
        let y =
            (self.convolution).forward(images(&x), numbers(&weight), bias, Order::ChannelsFirst);
        tensor(y, shape)
    }
}

fn tensor(numbers: Vec<f32>, shape: Vec<usize>) -> Flexible {
    Flexible::from_data(TensorData::new(numbers, shape))
}

/// The elements of a contiguous tensor.
fn numbers(tensor: &Flexible) -> &[f32] {
    let numbers = tensor.as_slice::<f32>();
    numbers.expect("32-bit floats without gaps")
}

fn images(tensor: &Flexible) -> Images<'_> {
    Images {
        numbers: numbers(tensor),
        order: Order::ChannelsFirst,
    }
}

/// Convolutions on the backends for which Calcine has kernels.
#[backend_extension(Autodiff, Flex)]
trait Convolve: Backend {
    fn convolve(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        planned: Planned,
    ) -> FloatTensor<Self>;

    fn convolve_with_bias(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        planned: Planned,
    ) -> FloatTensor<Self>;
}

impl Convolve for Flex {
    fn convolve(x: Flexible, weight: Flexible, planned: Planned) -> Flexible {
        planned.forward(&x, &weight, None)
    }

    fn convolve_with_bias(
        x: Flexible,
        weight: Flexible,
        bias: Flexible,
        planned: Planned,
    ) -> Flexible {
        planned.forward(&x, &weight, Some(&bias))
    }
}

impl<C: CheckpointStrategy> Convolve for Autodiff<Flex, C> {
    fn convolve(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        planned: Planned,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), weight.node()];
        taped::<C, 2>(nodes, x, weight, None, planned)
    }

    fn convolve_with_bias(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        planned: Planned,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), weight.node(), bias.node()];
        taped::<C, 3>(nodes, x, weight, Some(bias), planned)
    }
}

/// A convolution that is recorded on the tape; its operands are stored for the gradients like in Burn.
fn taped<C: CheckpointStrategy, const N: usize>(
    nodes: [NodeGuard; N],
    x: FloatTensor<Autodiff<Flex, C>>,
    weight: FloatTensor<Autodiff<Flex, C>>,
    bias: Option<FloatTensor<Autodiff<Flex, C>>>,
    planned: Planned,
) -> FloatTensor<Autodiff<Flex, C>> {
    let bias = bias.map(|bias| bias.into_primitive());
    let prepared = Convolved.prepare::<C>(nodes).compute_bound().stateful();
    let compute = || planned.forward(x.primitive(), weight.primitive(), bias.as_ref());
    match prepared {
        OpsKind::Tracked(mut prepared) => {
            let kept = [prepared.checkpoint(&x), prepared.checkpoint(&weight)];
            let y = compute();
            prepared.finish((kept, planned), y)
        }
        OpsKind::UnTracked(prepared) => prepared.finish(compute()),
    }
}

/// The gradients of a convolution's input, weight, and bias if it has one.
#[derive(Debug)]
struct Convolved;

impl<const N: usize> Backward<Flex, N> for Convolved {
    type State = ([NodeId; 2], Planned);

    fn backward(
        self,
        ops: Ops<Self::State, N>,
        grads: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let dy = grads.consume::<Flex>(&ops.node).to_contiguous();
        let (kept, planned) = ops.state;
        let [x, weight] = kept.map(|id| checkpointer.retrieve_node_output::<Flexible>(id));
        let (x, weight) = (x.to_contiguous(), weight.to_contiguous());
        let (convolution, filters) = (&planned.convolution, planned.filters);
        for (operand, node) in ops.parents.into_iter().enumerate() {
            let Some(node) = node else { continue };
            let gradient = match operand {
                0 => {
                    let shape = planned.shape(x.shape()[0], filters.inputs, planned.input);
                    let (dy, first) = (images(&dy), Order::ChannelsFirst);
                    tensor(
                        convolution.input_gradient(dy, numbers(&weight), first),
                        shape,
                    )
                }
                1 => {
                    let dw = convolution.weight_gradient(images(&x), images(&dy));
                    tensor(dw, weight.shape().to_vec())
                }
                _ => vector(convolution.bias_gradient(images(&dy))),
            };
            grads.register::<Flex>(node.id, gradient);
        }
    }
}

/// Computes a batch norm in training, `y = clamp(norm(x) + shift + other)`, like Burn's own layer: with the statistics
/// of the batch, which update the running statistics. The shift has one number per channel. `None` if Burn must compute
/// it: in evaluation mode, and on devices other than flex.
pub(crate) fn norm(
    norm: &BatchNorm,
    x: &AnyTensor,
    shift: Option<&Tensor<1>>,
    other: Option<&AnyTensor>,
    ends: Option<[f64; 2]>,
) -> Option<AnyTensor> {
    if !norm.training.is_enabled() || !x.device().is_autodiff() {
        return None;
    }
    let isa = Isa::best();
    let shape = x.shape();
    let [samples, channels, places @ ..] = &shape[..] else {
        return None;
    };
    let area: usize = places.iter().product();
    let fits = *channels == norm.gamma.val().dims()[0] && samples * channels * area > 0;
    if isa == Isa::Portable || area < 2 || !fits {
        return None;
    }
    #[allow(clippy::cast_possible_truncation, reason = "as Burn adds it to f32")]
    let planned = Norm {
        isa,
        channels: *channels,
        area,
        epsilon: norm.epsilon as f32,
        ends: ends.map(|ends| ends.map(|end| end as f32)),
    };
    let dispatched = |tensor: &AnyTensor| tensor.clone().into_dispatch();
    let beta = match shift {
        Some(shift) => norm.beta.val() + shift.clone(),
        None => norm.beta.val(),
    };
    let [gamma, beta] = [norm.gamma.val(), beta].map(Tensor::into_dispatch);
    let (x, other) = (dispatched(x), other.map(dispatched));
    if !are_trained_on_flex([&gamma, &beta, &x].into_iter().chain(&other)) {
        return None;
    }
    let (y, mean, variance) = match other {
        Some(other) => <Dispatch as Normalize>::normalize_and_add(x, gamma, beta, other, planned),
        None => <Dispatch as Normalize>::normalize(x, gamma, beta, planned),
    };
    let moved = |running: Tensor<1>, own: DispatchTensor| {
        let own = Tensor::<1>::from_dispatch(own).detach();
        let kept = running.to_device(&own.device());
        let kept = kept.mul_scalar(1.0 - norm.momentum);
        kept.add(own.mul_scalar(norm.momentum)).detach()
    };
    let mean = moved(norm.running_mean.value_sync(), mean);
    norm.running_mean.update(mean);
    let variance = moved(norm.running_var.value_sync(), variance);
    norm.running_var.update(variance);
    Some(with_rank!(shape.len(), D => Tensor::<D>::from_dispatch(y).into()))
}

/// The result of a batch norm, and the statistics of the batch.
fn normalized(
    norm: Norm,
    x: &Flexible,
    [gamma, beta]: [&Flexible; 2],
    other: Option<&Flexible>,
) -> (Flexible, Statistics) {
    let shape = x.shape().to_vec();
    let [x, gamma, beta] = [x, gamma, beta].map(Flexible::to_contiguous);
    let other = other.map(Flexible::to_contiguous);
    let parameters = [numbers(&gamma), numbers(&beta)];
    let other = other.as_ref().map(numbers);
    let (y, statistics) = norm.forward(numbers(&x), parameters, other);
    (tensor(y, shape), statistics)
}

fn vector(numbers: Vec<f32>) -> Flexible {
    let shape = vec![numbers.len()];
    tensor(numbers, shape)
}

/// Batch norms in training on the backends for which Calcine has kernels: results, and the mean and the variance of the
/// batch.
#[backend_extension(Autodiff, Flex)]
trait Normalize: Backend {
    fn normalize(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        norm: Norm,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    fn normalize_and_add(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        other: FloatTensor<Self>,
        norm: Norm,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

impl Normalize for Flex {
    fn normalize(
        x: Flexible,
        gamma: Flexible,
        beta: Flexible,
        norm: Norm,
    ) -> (Flexible, Flexible, Flexible) {
        let (y, own) = normalized(norm, &x, [&gamma, &beta], None);
        (y, vector(own.mean), vector(own.variance))
    }

    fn normalize_and_add(
        x: Flexible,
        gamma: Flexible,
        beta: Flexible,
        other: Flexible,
        norm: Norm,
    ) -> (Flexible, Flexible, Flexible) {
        let (y, own) = normalized(norm, &x, [&gamma, &beta], Some(&other));
        (y, vector(own.mean), vector(own.variance))
    }
}

/// A float tensor of flex with autodiff.
type Taped<C> = FloatTensor<Autodiff<Flex, C>>;

impl<C: CheckpointStrategy> Normalize for Autodiff<Flex, C> {
    fn normalize(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        norm: Norm,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let nodes = [x.node(), gamma.node(), beta.node()];
        taped_norm::<C, 3>(nodes, [x, gamma, beta], None, norm)
    }

    fn normalize_and_add(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        other: FloatTensor<Self>,
        norm: Norm,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let nodes = [x.node(), gamma.node(), beta.node(), other.node()];
        taped_norm::<C, 4>(nodes, [x, gamma, beta], Some(other), norm)
    }
}

/// A batch norm that is recorded on the tape. Its input and scales are stored like in Burn, and so is its result if it
/// defines where gradients pass.
fn taped_norm<C: CheckpointStrategy, const N: usize>(
    nodes: [NodeGuard; N],
    [x, gamma, beta]: [Taped<C>; 3],
    other: Option<Taped<C>>,
    norm: Norm,
) -> (Taped<C>, Taped<C>, Taped<C>) {
    let other = other.map(|other| other.into_primitive());
    let prepared = Normalized.prepare::<C>(nodes).compute_bound().stateful();
    let parameters = [gamma.primitive(), beta.primitive()];
    let (y, own) = normalized(norm, x.primitive(), parameters, other.as_ref());
    let [mean, variance] =
        [&own.mean, &own.variance].map(|own| Taped::<C>::new(vector(own.clone())));
    let y = match prepared {
        OpsKind::Tracked(mut prepared) => {
            let kept = [prepared.checkpoint(&x), prepared.checkpoint(&gamma)];
            let result = norm.ends.map(|_| y.clone());
            prepared.finish((kept, result, own, norm), y)
        }
        OpsKind::UnTracked(prepared) => prepared.finish(y),
    };
    (y, mean, variance)
}

/// The gradients of the input, the scales and the shifts of a batch norm, and of the tensor that is added, if there is
/// one.
#[derive(Debug)]
struct Normalized;

impl<const N: usize> Backward<Flex, N> for Normalized {
    type State = ([NodeId; 2], Option<Flexible>, Statistics, Norm);

    fn backward(
        self,
        ops: Ops<Self::State, N>,
        grads: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        // If nothing else uses this gradient, it is overwritten in place.
        let mut dy = grads.consume::<Flex>(&ops.node).to_contiguous();
        let (kept, y, statistics, norm) = ops.state;
        let [x, gamma] = kept.map(|id| checkpointer.retrieve_node_output::<Flexible>(id));
        let (x, gamma) = (x.to_contiguous(), gamma.to_contiguous());
        let shape = x.shape().to_vec();
        let adds = ops.parents.get(3).is_some_and(Option::is_some);
        let ([dgamma, dbeta], dx) = norm.backward(
            numbers(&x),
            numbers(y.as_ref().unwrap_or(&x)),
            &statistics,
            numbers(&gamma),
            dy.storage_mut::<f32>(),
            adds,
        );
        let dx = dx.map(|dx| tensor(dx, shape));
        let mut dx = Some(dx.unwrap_or_else(|| dy.clone()));
        let mut of_parameters = [Some(dgamma), Some(dbeta)];
        for (operand, node) in ops.parents.into_iter().enumerate() {
            let Some(node) = node else { continue };
            let gradient = match operand {
                0 => dx.take(),
                1 | 2 => of_parameters[operand - 1].take().map(vector),
                _ => Some(dy.clone()),
            };
            if let Some(gradient) = gradient {
                grads.register::<Flex>(node.id, gradient);
            }
        }
    }
}
