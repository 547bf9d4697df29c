//! Computes convolutions, pools and interpolation with Burn's own operations.

use burn::tensor::module;
use burn::tensor::ops::{
    AvgPoolOptions, ConvOptions, ConvTransposeOptions, InterpolateMode, MaxPoolOptions,
};
use calcine_graph::{Convolution, Interpolation, Pool};

use super::exactly;
use crate::tensor::AnyTensor;

pub(super) fn convolution(
    x: AnyTensor,
    weight: AnyTensor,
    bias: Option<AnyTensor>,
    options: &Convolution,
) -> AnyTensor {
    fn sized<const N: usize>(options: &Convolution) -> ConvOptions<N> {
        let padding: Vec<(usize, usize)> = options.padding.iter().map(|&[a, b]| (a, b)).collect();
        ConvOptions::new_with_padding(
            exactly(&options.stride),
            padding
                .try_into()
                .expect("an element for each spatial axis"),
            exactly(&options.dilation),
            options.groups,
        )
    }
    #[cfg(feature = "flex")]
    if let Some(y) = crate::kernels::convolution(&x, &weight, bias.as_ref(), options) {
        return y;
    }
    let bias = bias.map(AnyTensor::of);
    match x.rank() {
        3 => module::conv1d(x.of(), weight.of(), bias, sized::<1>(options)).into(),
        4 => module::conv2d(x.of(), weight.of(), bias, sized::<2>(options)).into(),
        _ => module::conv3d(x.of(), weight.of(), bias, sized::<3>(options)).into(),
    }
}

pub(super) fn transposed(
    x: AnyTensor,
    weight: AnyTensor,
    bias: Option<AnyTensor>,
    options: &Convolution,
    output_padding: &[usize],
) -> AnyTensor {
    fn sized<const N: usize>(
        options: &Convolution,
        output_padding: &[usize],
    ) -> ConvTransposeOptions<N> {
        let padding: Vec<usize> = options.padding.iter().map(|&[before, _]| before).collect();
        ConvTransposeOptions::new(
            exactly(&options.stride),
            exactly(&padding),
            exactly(output_padding),
            exactly(&options.dilation),
            options.groups,
        )
    }
    let bias = bias.map(AnyTensor::of);
    let out = output_padding;
    match x.rank() {
        3 => module::conv_transpose1d(x.of(), weight.of(), bias, sized(options, out)).into(),
        4 => module::conv_transpose2d(x.of(), weight.of(), bias, sized(options, out)).into(),
        _ => module::conv_transpose3d(x.of(), weight.of(), bias, sized(options, out)).into(),
    }
}

pub(super) fn max_pool(x: AnyTensor, pool: &Pool) -> AnyTensor {
    fn sized<const N: usize>(pool: &Pool) -> MaxPoolOptions<N> {
        let mut options = MaxPoolOptions::new(exactly(&pool.kernel));
        options.stride = exactly(&pool.stride);
        options.padding = exactly::<N>(&pool.padding).map(|padding| (padding, padding));
        options.dilation = exactly(&pool.dilation);
        options.ceil_mode = pool.ceil;
        options
    }
    match x.rank() {
        3 => module::max_pool1d(x.of(), sized(pool)).into(),
        _ => module::max_pool2d(x.of(), sized(pool)).into(),
    }
}

pub(super) fn average_pool(x: AnyTensor, pool: &Pool, count_padding: bool) -> AnyTensor {
    fn sized<const N: usize>(pool: &Pool, count_padding: bool) -> AvgPoolOptions<N> {
        let mut options = AvgPoolOptions::new(exactly(&pool.kernel));
        options.stride = exactly(&pool.stride);
        options.padding = exactly::<N>(&pool.padding).map(|padding| (padding, padding));
        options.count_include_pad = count_padding;
        options.ceil_mode = pool.ceil;
        options
    }
    match x.rank() {
        3 => module::avg_pool1d(x.of(), sized(pool, count_padding)).into(),
        _ => module::avg_pool2d(x.of(), sized(pool, count_padding)).into(),
    }
}

pub(super) fn adaptive_pool(x: AnyTensor, shape: &[usize]) -> AnyTensor {
    match x.rank() {
        3 => module::adaptive_avg_pool1d(x.of(), shape[2]).into(),
        4 => module::adaptive_avg_pool2d(x.of(), exactly(&shape[2..])).into(),
        _ => module::adaptive_avg_pool3d(x.of(), exactly(&shape[2..])).into(),
    }
}

pub(super) fn interpolation(mode: Interpolation) -> InterpolateMode {
    match mode {
        Interpolation::Nearest => InterpolateMode::Nearest,
        Interpolation::NearestExact => InterpolateMode::NearestExact,
        Interpolation::Bilinear => InterpolateMode::Bilinear,
        Interpolation::Bicubic => InterpolateMode::Bicubic,
        Interpolation::Lanczos3 => InterpolateMode::Lanczos3,
    }
}
