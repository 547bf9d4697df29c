//! Every operation that is traced, as a pass over a batch: one table for tracing and for thinning.

use burn::module::{Module, Param};
use burn::tensor::ops::{
    AttentionModuleOptions, AvgPoolOptions, ConvOptions, ConvTransposeOptions, InterpolateMode,
    InterpolateOptions, MaxPoolOptions, PadMode,
};
use burn::tensor::{Bool, Device, IndexingUpdateOp, Int, Slice, Tensor, activation, module};
use calcine_testkit::numbers;
use calcine_trace::AnyTensor;

/// Parameters for operations that want some.
#[derive(Module, Debug)]
pub(crate) struct Bank {
    rank1: Param<Tensor<1>>,
    rank2: Param<Tensor<2>>,
    rank3: Param<Tensor<3>>,
    rank4: Param<Tensor<4>>,
    rank5: Param<Tensor<5>>,
    other4: Param<Tensor<4>>,
}

impl Bank {
    pub(crate) fn new() -> Self {
        let param = |tensor| Param::from_tensor(tensor);
        Self {
            rank1: param(numbers([4])),
            rank2: Param::from_tensor(numbers([5, 3])),
            rank3: Param::from_tensor(numbers([6, 4, 3])),
            rank4: Param::from_tensor(numbers([6, 2, 3, 2])),
            rank5: Param::from_tensor(numbers([6, 2, 1, 3, 2])),
            other4: Param::from_tensor(numbers([4, 3, 2, 3])),
        }
    }

    fn four(&self) -> Tensor<1> {
        self.rank1.val()
    }

    fn positive(&self) -> Tensor<1> {
        self.rank1.val().abs() + 0.5
    }
}

type Rows = Vec<(&'static str, fn(&Bank, Tensor<4>) -> Vec<AnyTensor>)>;

/// A row: the batch is of images with four channels, six rows and five columns.
macro_rules! rows {
    ($($name:literal: |$bank:pat_param, $x:ident| $body:expr;)*) => {
        vec![$(($name, |$bank: &Bank, $x: Tensor<4>| -> Vec<AnyTensor> { vec![$body.into()] })),*]
    };
}

fn signal(x: Tensor<4>) -> Tensor<3> {
    x.flatten(2, 3)
}

fn volume(x: Tensor<4>) -> Tensor<5> {
    let [batch, ..] = x.dims();
    x.reshape([batch, 4, 1, 6, 5])
}

fn row(x: Tensor<4>) -> Tensor<2> {
    x.flatten(1, 3)
}

fn words(x: Tensor<4>) -> Tensor<2, Int> {
    (row(x) * 3.0).int().abs()
}

fn heads(x: Tensor<4>, from: usize) -> Tensor<4> {
    x.slice_dim(3, from..from + 3)
}

fn ten(device: &Device) -> Tensor<1, Int> {
    Tensor::from_ints([3, 0, 0, 2], device)
}

fn windows() -> Rows {
    rows! {
        "conv1d": |b, x| module::conv1d(signal(x), b.rank3.val(), None, ConvOptions::new([2], [3], [2], 1));
        "conv1d grouped": |b, x| module::conv1d(signal(x), b.rank3.val().slice_dim(1, 0..2), None, ConvOptions::new([1], [0], [1], 2));
        "conv2d": |b, x| module::conv2d(x, b.rank4.val(), None, ConvOptions::new([2, 1], [1, 2], [1, 2], 2));
        "conv2d uneven": |b, x| module::conv2d(x, b.rank4.val(), None, ConvOptions::new_with_padding([1, 2], [(0, 2), (1, 0)], [2, 1], 2));
        "depthwise": |b, x| module::conv2d(x, b.other4.val().slice_dim(1, 0..1), Some(b.four()), ConvOptions::new([1, 1], [0, 0], [1, 1], 4));
        "conv3d": |b, x| module::conv3d(volume(x), b.rank5.val(), None, ConvOptions::new([1, 2, 1], [0, 1, 1], [1, 1, 2], 2));
        "transposed 1d": |b, x| module::conv_transpose1d(signal(x), b.rank3.val().slice_dim(0, 0..4), Some(b.four()), ConvTransposeOptions::new([2], [1], [1], [1], 1));
        "transposed 2d": |b, x| module::conv_transpose2d(x, b.other4.val(), None, ConvTransposeOptions::new([2, 3], [1, 0], [1, 2], [1, 1], 2));
        "transposed 2d dilated": |b, x| module::conv_transpose2d(x, b.other4.val(), None, ConvTransposeOptions::new([1, 2], [0, 1], [0, 1], [2, 3], 1));
        "transposed 3d": |b, x| module::conv_transpose3d(volume(x), b.rank5.val().slice_dim(0, 0..4), None, ConvTransposeOptions::new([1, 2, 1], [0, 0, 1], [0, 1, 0], [1, 1, 2], 1));
        "max pool 1d": |_, x| module::max_pool1d(signal(x), MaxPoolOptions::new([3]));
        "max pool 2d": |_, x| { let mut o = MaxPoolOptions::new([3, 2]); o.stride = [2, 3]; o.padding = [(1, 1), (0, 0)]; o.dilation = [1, 2]; module::max_pool2d(x, o) };
        "max pool, last window over the edge": |_, x| { let mut o = MaxPoolOptions::new([2, 2]); o.stride = [3, 2]; o.padding = [(1, 1), (1, 1)]; o.ceil_mode = true; module::max_pool2d(x, o) };
        "average pool 1d": |_, x| { let mut o = AvgPoolOptions::new([4]); o.padding = [(2, 2)]; o.count_include_pad = true; module::avg_pool1d(signal(x), o) };
        "average pool 2d": |_, x| { let mut o = AvgPoolOptions::new([3, 2]); o.stride = [2, 1]; o.padding = [(1, 1), (1, 1)]; o.count_include_pad = false; module::avg_pool2d(x, o) };
        "average pool, last window over the edge": |_, x| { let mut o = AvgPoolOptions::new([2, 2]); o.stride = [3, 2]; o.padding = [(1, 1), (1, 1)]; o.count_include_pad = true; o.ceil_mode = true; module::avg_pool2d(x, o) };
        "adaptive pool 1d": |_, x| module::adaptive_avg_pool1d(signal(x), 7);
        "adaptive pool 2d": |_, x| module::adaptive_avg_pool2d(x, [4, 2]);
        "adaptive pool 3d": |_, x| module::adaptive_avg_pool3d(volume(x), [1, 4, 2]);
        "nearest": |_, x| module::interpolate(x, InterpolateOptions::new(InterpolateMode::Nearest).with_output_size([9, 4]));
        "bilinear": |_, x| module::interpolate(x, InterpolateOptions::new(InterpolateMode::Bilinear).with_output_size([9, 4]).with_align_corners(false));
        "bilinear with corners": |_, x| module::interpolate(x, InterpolateOptions::new(InterpolateMode::Bilinear).with_output_size([9, 4]).with_align_corners(true));
        "bicubic": |_, x| module::interpolate(x, InterpolateOptions::new(InterpolateMode::Bicubic).with_output_size([11, 7]).with_align_corners(false));
        "lanczos": |_, x| module::interpolate(x, InterpolateOptions::new(InterpolateMode::Lanczos3).with_output_size([11, 7]).with_align_corners(true));
        "padded with a number": |_, x| x.pad([(1, 2), (0, 3)], PadMode::Constant(-1.5));
        "mirrored": |_, x| x.pad([(2, 1), (4, 0)], PadMode::Reflect);
        "border repeated": |_, x| x.pad([(2, 1), (4, 7)], PadMode::Edge);
        "integers padded": |_, x| words(x).pad([(0, 0), (1, 2)], PadMode::Constant(7.0));
    }
}

fn layers() -> Rows {
    rows! {
        "linear of rank 1": |b, x| module::linear::<1>(x.slice_dim(0, 0..1).slice_dim(1, 0..1).slice_dim(2, 0..1).reshape([5]), b.rank2.val(), None);
        "linear of rank 4": |b, x| module::linear::<4>(x, b.rank2.val(), Some(b.four().slice(0..3)));
        "linear of rank 3": |b, x| module::linear::<3>(signal(x).reshape([0, -1, 5]), b.rank2.val(), None);
        "linear with a computed weight": |b, x| module::linear::<4>(x, b.rank2.val() * 2.0, None);
        "transposed weight": |b, x| row(x).slice_dim(1, 0..3).matmul(b.rank2.val().transpose());
        "transposed weight of rank 4": |b, x| x.slice_dim(3, 0..3).matmul(b.rank2.val().transpose().unsqueeze());
        "weight before": |b, x| b.rank2.val().transpose().unsqueeze::<4>().matmul(x.swap_dims(2, 3));
        "product of two": |_, x| x.clone().matmul(x.swap_dims(2, 3));
        "product with one for all": |b, x| x.matmul(b.rank2.val().unsqueeze());
        "embedding": |b, x| module::embedding(b.rank2.val(), words(x));
        "batch norm": |b, x| module::batch_norm::<4>(x, b.four(), b.four() * 2.0, b.four() - 0.5, b.positive(), 1e-3);
        "batch norm of rank 2": |b, x| module::batch_norm::<2>(row(x).slice_dim(1, 0..4), b.four(), b.four(), b.four(), b.positive(), 1e-3);
        "layer norm": |b, x| module::layer_norm::<4>(x.slice_dim(3, 0..4), b.four(), Some(b.four()), 1e-4);
        "layer norm without shift": |b, x| module::layer_norm::<3>(signal(x).slice_dim(2, 2..6), b.four(), None, 1e-4);
        "attention": |_, x| module::attention(heads(x.clone(), 0), heads(x.clone(), 1), heads(x, 2), None, None, AttentionModuleOptions::default());
        "attention, scaled and causal": |_, x| module::attention(heads(x.clone(), 0), heads(x.clone(), 1), heads(x, 2), None, None, AttentionModuleOptions { scale: Some(0.3), softcap: Some(2.0), is_causal: true });
        "attention, masked": |_, x| {
            let [batch, ..] = x.dims();
            let mask = Tensor::<2, Bool>::tril_mask([6, 6], 0, &x.device()).unsqueeze::<4>().expand([batch, 4, 6, 6]);
            module::attention(heads(x.clone(), 0), heads(x.clone(), 1), heads(x, 2), Some(mask), None, AttentionModuleOptions::default())
        };
        "attention, biased": |_, x| {
            let bias = x.clone().slice_dim(3, 0..1).expand([-1, 4, 6, 6]);
            module::attention(heads(x.clone(), 0), heads(x.clone(), 1), heads(x, 2), None, Some(bias), AttentionModuleOptions::default())
        };
        "prelu": |b, x| activation::prelu(x, b.four());
        "prelu with one slope": |b, x| activation::prelu(x, b.four().slice(2..3));
        "prelu of rank 2": |b, x| activation::prelu(row(x).slice_dim(1, 0..4), b.four());
        "prelu of rank 5": |b, x| activation::prelu(volume(x), b.four());
    }
}

fn functions() -> Rows {
    rows! {
        "relu": |_, x| activation::relu(x);
        "relu6": |_, x| activation::relu6(x * 9.0);
        "hardtanh": |_, x| activation::hardtanh(x, -0.25, 0.5);
        "tanhshrink": |_, x| activation::tanhshrink(x);
        "leaky relu": |_, x| activation::leaky_relu(x, 0.07);
        "leaky relu with a negative slope": |_, x| activation::leaky_relu(x, -0.5);
        "gelu": |_, x| activation::gelu(x);
        "approximate gelu": |_, x| activation::gelu_approximate(x);
        "softplus": |_, x| activation::softplus(x, 2.0);
        "quiet softmax": |_, x| activation::quiet_softmax(x, 1);
        "sigmoid": |_, x| activation::sigmoid(x);
        "log sigmoid": |_, x| activation::log_sigmoid(x);
        "hard sigmoid": |_, x| activation::hard_sigmoid(x, 0.3, 0.4);
        "hard swish": |_, x| activation::hard_swish(x * 4.0);
        "silu": |_, x| activation::silu(x);
        "mish": |_, x| activation::mish(x);
        "elu": |_, x| activation::elu(x, 1.5);
        "celu": |_, x| activation::celu(x, 1.5);
        "selu": |_, x| activation::selu(x);
        "thresholded relu": |_, x| activation::thresholded_relu(x, 0.5);
        "threshold": |_, x| activation::threshold(x, 0.1, -0.3);
        "glu": |_, x| activation::glu(x, 1);
        "softsign": |_, x| activation::softsign(x);
        "hard shrink": |_, x| activation::hard_shrink(x, 0.5);
        "soft shrink": |_, x| activation::soft_shrink(x, 0.5);
        "shrink": |_, x| activation::shrink(x, 0.5, 0.1);
        "softmax": |_, x| activation::softmax(x, 2);
        "softmin": |_, x| activation::softmin(x, 2);
        "log softmax": |_, x| activation::log_softmax(x, 3);
        "tanh": |_, x| x.tanh();
        "abs": |_, x| x.abs();
        "negated": |_, x| x.neg();
        "sign": |_, x| x.sign();
        "exp": |_, x| x.exp();
        "log": |_, x| x.abs().log();
        "log1p": |_, x| x.abs().log1p();
        "sqrt": |_, x| x.abs().sqrt();
        "reciprocal": |_, x| (x + 3.0).recip();
        "erf": |_, x| x.erf();
        "sin": |_, x| x.sin();
        "cos": |_, x| x.cos();
        "tan": |_, x| x.tan();
        "sinh": |_, x| x.sinh();
        "cosh": |_, x| x.cosh();
        "asin": |_, x| x.asin();
        "acos": |_, x| x.acos();
        "atan": |_, x| x.atan();
        "asinh": |_, x| x.asinh();
        "acosh": |_, x| (x + 2.5).acosh();
        "atanh": |_, x| (x * 0.9).atanh();
        "floor": |_, x| (x * 3.0).floor();
        "ceil": |_, x| (x * 3.0).ceil();
        "round": |_, x| (x * 3.0).round();
        "trunc": |_, x| (x * 3.0).trunc();
        "clamp": |_, x| x.clamp(-0.3, 0.2);
        "clamp below": |_, x| x.clamp_min(-0.3);
        "clamp above": |_, x| x.clamp_max(0.2);
        "square": |_, x| x.square();
        "to a power": |_, x| x.abs().powf_scalar(1.3);
        "to a whole power": |_, x| x.powi_scalar(3);
        "to a negative power": |_, x| (x + 2.0).powi_scalar(-2);
        "scalars": |_, x| ((x + 1.5) * -0.3 - 0.25) / 0.7;
        "remainder of a number": |_, x| (x * 5.0).remainder_scalar(1.3);
        "is nan": |_, x| (x - 0.1).log().is_nan().float();
    }
}

fn pairs() -> Rows {
    rows! {
        "add": |b, x| x + b.four().reshape([1, 4, 1, 1]);
        "add before": |b, x| b.four().reshape([1, 4, 1, 1]) + x;
        "subtract": |b, x| b.four().reshape([1, 4, 1, 1]) - x;
        "multiply": |_, x| x.clone() * x.slice_dim(2, 0..1);
        "divide": |b, x| x / b.positive().reshape([1, 4, 1, 1]);
        "remainder": |b, x| x.remainder(b.positive().reshape([1, 4, 1, 1]));
        "power": |b, x| x.abs().powf(b.positive().reshape([1, 4, 1, 1]).expand([1, 4, 6, 5]).repeat_dim(0, 1));
        "angle": |_, x| x.clone().slice_dim(1, 0..2).atan2(x.slice_dim(1, 2..4));
        "hypotenuse": |_, x| x.clone().slice_dim(1, 0..2).hypot(x.slice_dim(1, 2..4));
        "larger": |_, x| x.clone().greater(x.flip([2])).float();
        "larger or equal": |_, x| x.clone().greater_equal(x.flip([2])).float();
        "smaller": |_, x| x.clone().lower(x.flip([2])).int();
        "smaller or equal": |_, x| x.clone().lower_equal(x.flip([2])).int();
        "equal": |_, x| words(x.clone()).equal(words(x.flip([2])));
        "not equal": |_, x| words(x.clone()).not_equal(words(x.flip([2])));
        "compared with a number": |_, x| x.clone().greater_scalar(0.1).bool_and(x.clone().lower_scalar(0.7)).bool_or(x.lower_equal_scalar(-0.5));
        "booleans": |_, x| x.clone().greater_equal_scalar(0.1).bool_not().bool_xor(x.lower_scalar(0.5));
        "equal to a number": |_, x| words(x.clone()).equal_scalar(1).bool_or(words(x).not_equal_scalar(2));
        "equal booleans": |_, x| x.clone().greater_scalar(0.0).equal(x.greater_scalar(0.3));
        "unequal booleans": |_, x| x.clone().greater_scalar(0.0).not_equal(x.greater_scalar(0.3));
        "where": |_, x| x.clone().mask_where(x.clone().greater_scalar(0.0), x.flip([3]));
        "masked": |_, x| x.clone().mask_fill(x.greater_scalar(0.0), f32::NEG_INFINITY);
        "masked integers": |_, x| words(x.clone()).mask_fill(row(x).greater_scalar(0.0), 9);
        "integers": |_, x| { let i = words(x); ((i.clone() + 3) * 2 - i.clone()) / 3 + i.clone().abs().neg().sign() + i.remainder_scalar(2) };
        "two integers": |_, x| { let i = words(x); (i.clone() * i.clone().flip([1]) - i.clone()) / (i.clone() + 1) + i.clamp(1, 2) };
        "integers bounded": |_, x| words(x.clone()).clamp_min(1) + words(x).clamp_max(1);
        "integers compared": |_, x| words(x.clone()).greater_scalar(1).bool_or(words(x.clone()).lower(words(x.flip([1]))));
    }
}

fn reductions() -> Rows {
    rows! {
        "mean along": |_, x| x.mean_dim(1);
        "sum along": |_, x| x.sum_dim(3);
        "product along": |_, x| x.prod_dim(2);
        "largest along": |_, x| x.max_dim(1);
        "smallest along": |_, x| x.min_dim(2);
        "largest magnitude along": |_, x| x.max_abs_dim(2);
        "index of the largest": |_, x| x.argmax(3);
        "index of the smallest": |_, x| x.argmin(3);
        "largest and its index": |_, x| { let (most, at) = x.max_dim_with_indices(1); most + at.float() };
        "smallest and its index": |_, x| { let (least, at) = x.min_dim_with_indices(2); least + at.float() };
        "sums along": |_, x| x.sum_dims(&[1, 3]);
        "sum of integers": |_, x| words(x).sum_dim(1);
        "largest integer": |_, x| { let i = words(x); i.clone().max_dim(1) + i.min_dim(1) };
        "index of the smallest integer": |_, x| words(x).argmin(1);
        "running sums": |_, x| x.cumsum(2);
        "running sums of integers": |_, x| words(x).cumsum(1);
        "all summed": |_, x| x.slice_dim(0, 0..1).sum();
        "all averaged": |_, x| x.slice_dim(0, 0..1).mean();
        "all multiplied": |_, x| x.slice_dim(0, 0..1).slice_dim(1, 0..1).slice_dim(2, 0..1).prod();
        "largest of all": |_, x| x.clone().max() + x.clone().min() + x.max_abs();
        "variance": |_, x| x.var(2);
    }
}

fn arrangements() -> Rows {
    rows! {
        "reshaped": |_, x| { let [batch, ..] = x.dims(); x.reshape([batch * 2, 2, 30]) };
        "batch and channels merged": |_, x| x.flatten::<3>(0, 1);
        "permuted": |_, x| x.permute([0, 3, 1, 2]);
        "batch last": |_, x| x.permute([3, 1, 2, 0]);
        "swapped": |_, x| x.swap_dims(1, 3);
        "flipped": |_, x| x.flip([1, 3]);
        "expanded": |_, x| x.slice_dim(1, 0..1).expand([-1, 7, -1, -1]);
        "repeated": |_, x| x.repeat_dim(1, 3);
        "repeated once": |_, x| x.slice_dim(2, 1..2).repeat_dim(2, 4);
        "beside each other": |_, x| Tensor::cat(vec![x.clone(), x.clone() * 2.0, x.slice_dim(1, 1..2)], 1);
        "stacked": |_, x| Tensor::stack::<5>(vec![x.clone(), x * 2.0], 2);
        "integers beside each other": |_, x| Tensor::cat(vec![words(x.clone()), words(x)], 1);
        "cut": |_, x| x.slice([0..1, 1..3, 2..6, 0..5]);
        "cut from the end": |_, x| x.slice_dim(2, -3..-1);
        "every other": |_, x| x.slice_dim(2, Slice::new(0, None, 2));
        "every other backwards": |_, x| x.slice_dim(2, Slice::new(1, None, -2));
        "in parts": |_, x| { let parts = x.split(2, 2); parts[2].clone() - parts[0].clone() };
        "shifted": |_, x| x.roll_dim(2, 3);
        "chosen": |_, x| { let places = ten(&x.device()); x.select(1, places) };
        "chosen integers": |_, x| { let places = ten(&x.device()); words(x).select(1, places) };
        "gathered along one axis at once": |_, x| { let at = Tensor::<2, Int>::from_ints([[0], [0]], &x.device()); x.slice_dim(0, 0..1).gather_nd::<2, 4>(at) };
        "gathered along several axes": |_, x| { let at = Tensor::<2, Int>::from_ints([[0, 1, 2], [0, 3, 5], [0, 0, 0]], &x.device()); x.gather_nd::<2, 2>(at) };
        "integers gathered along all axes": |_, x| { let at = Tensor::<3, Int>::from_ints([[[0, 1], [0, 7]], [[0, 29], [0, 3]]], &x.device()); words(x).gather_nd::<3, 2>(at) };
        "gathered": |_, x| { let places = x.clone().argmax(3); x.gather(3, places.repeat_dim(3, 2)) };
        "sorted": |_, x| x.sort(2);
        "sorted downwards": |_, x| x.sort_descending(3);
        "sorted with their places": |_, x| { let (sorted, at) = x.sort_with_indices(1); sorted + at.float() };
        "places of the sorted": |_, x| x.argsort_descending(2);
        "integers sorted": |_, x| words(x).sort(1);
        "the batch sorted": |_, x| x.sort(0);
        "the largest few": |_, x| x.topk(2, 1);
        "the largest few with their places": |_, x| { let (most, at) = x.topk_with_indices(3, 3); most + at.float() };
        "places of the largest few": |_, x| x.argtopk(4, 2);
        "put along an axis": |_, x| { let at = x.clone().slice_dim(3, 0..2).argsort(2); x.clone().slice_dim(3, 2..4).scatter(2, at, x.slice_dim(3, 0..2) * 3.0, IndexingUpdateOp::Assign) };
        "added along an axis": |_, x| { let at = x.clone().argmax(3); let most = x.clone().max_dim(3); x.scatter(3, at.repeat_dim(3, 2), most.repeat_dim(3, 2), IndexingUpdateOp::Add) };
        "integers added along an axis": |_, x| { let i = words(x); let at = i.clone().argmax(1); i.clone().scatter(1, at, i.max_dim(1), IndexingUpdateOp::Add) };
        "put at positions": |_, x| { let at = Tensor::<2, Int>::from_ints([[0, 1], [0, 3]], &x.device()); let values = x.clone().slice_dim(0, 0..1).slice_dim(1, 0..2).squeeze_dim::<3>(0) * 2.0; x.scatter_nd(at, values, IndexingUpdateOp::Assign) };
        "largest at positions of all axes": |_, x| { let at = Tensor::<2, Int>::from_ints([[0, 1, 2, 3], [0, 3, 5, 0]], &x.device()); let values = x.clone().slice([0..1, 0..1, 0..1, 0..2]).reshape([2]); x.scatter_nd(at, values, IndexingUpdateOp::Max) };
        "smallest of slices": |_, x| { let at = Tensor::<3, Int>::from_ints([[[0, 1], [0, 2]]], &x.device()); let values = x.clone().slice([0..1, 0..2]); x.scatter_nd(at, values, IndexingUpdateOp::Min) };
        "multiplied at positions": |_, x| { let at = Tensor::<2, Int>::from_ints([[0, 2]], &x.device()); let values = x.clone().slice([0..1, 0..1]).squeeze_dim::<3>(0); x.scatter_nd(at, values, IndexingUpdateOp::Mul) };
        "added to the selected": |_, x| { let at = Tensor::<1, Int>::from_ints([2, 0], &x.device()); let values = x.clone().slice_dim(2, 0..2); x.select_assign(2, at, values, IndexingUpdateOp::Add) };
        "added to the selected of the first axis": |_, x| { let at = Tensor::<1, Int>::from_ints([0], &x.device()); let values = x.clone().slice_dim(0, 0..1); x.select_assign(0, at, values, IndexingUpdateOp::Add) };
        "assigned": |_, x| { let part = x.clone().slice_dim(2, 0..2) * 3.0; x.slice_assign([Slice::full(), Slice::full(), Slice::from(3..5), Slice::full()], part) };
        "assigned at the beginning": |_, x| { let part = x.clone().slice_dim(1, 2..3); x.slice_assign([Slice::full(), Slice::from(0..1), Slice::full(), Slice::full()], part) };
        "assigned within": |_, x| { let part = x.clone().slice_dim(1, 0..2).slice_dim(3, 1..3) * 2.0; x.slice_assign([Slice::full(), Slice::from(1..3), Slice::full(), Slice::from(2..4)], part) };
        "assigned as a whole": |_, x| { let part = x.clone() * 2.0; x.slice_assign([Slice::full(), Slice::full(), Slice::full(), Slice::full()], part) };
        "to integers and back": |_, x| (x * 4.0).int().float();
        "a grid of numbers": |_, x| { let at = Tensor::<1, Int>::arange(0..5, &x.device()).float(); x + at.reshape([1, 1, 1, 5]) };
        "zeros, ones and sevens": |_, x| { let d = &x.device(); x + Tensor::<4>::zeros([1, 4, 1, 1], d) + Tensor::<4>::ones([1, 1, 6, 1], d) * Tensor::<4>::full([1, 1, 1, 5], 7.0, d) };
        "as many zeros as the batch": |_, x| { let [batch, ..] = x.dims(); Tensor::cat(vec![Tensor::<4>::zeros([batch, 1, 6, 5], &x.device()), x], 1) };
        "a mask": |_, x| { let mask = Tensor::<2, Bool>::tril_mask([6, 5], 0, &x.device()); x.mask_fill(mask.unsqueeze(), 0.5) };
        "an einsum": |b, x| signal(x).slice_dim(2, 0..3).matmul(b.rank2.val().permute([1, 0]).reshape([1, 3, 5]));
    }
}

/// All rows.
pub(crate) fn rows() -> impl Iterator<Item = Named> {
    let rows = [
        windows(),
        layers(),
        functions(),
        pairs(),
        reductions(),
        arrangements(),
    ];
    let rows = rows.into_iter().flatten();
    rows.map(|(name, forward)| Named { name, forward })
}

/// A row: what it is called, and a pass over a batch.
pub(crate) struct Named {
    name: &'static str,
    pub(crate) forward: fn(&Bank, Tensor<4>) -> Vec<AnyTensor>,
}

impl std::fmt::Debug for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}
