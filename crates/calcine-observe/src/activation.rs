use burn::tensor::Tensor;

/// The result of a node for one batch.
#[derive(Debug, Clone)]
pub struct Activation<'a> {
    /// The name of the place: that of the node, or of the weight for which it is observed.
    pub name: &'a str,
    /// The values, without gradients: `[samples, channels, positions]`.
    pub values: Tensor<3>,
}

/// The numbers of samples and values that a statistic is computed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SampleCounts {
    /// The number of samples: the length of the first axis.
    pub samples: u64,
    /// The number of values of each channel, over all samples.
    pub positions: u64,
}

impl Activation<'_> {
    /// The numbers of samples and values in this batch.
    #[must_use]
    pub fn sample_counts(&self) -> SampleCounts {
        let [samples, _, positions] = self.values.dims();
        SampleCounts {
            samples: samples as u64,
            positions: (samples * positions) as u64,
        }
    }

    /// The number of channels.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.values.dims()[1]
    }
}

impl SampleCounts {
    /// The sum of two counts.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            samples: self.samples + other.samples,
            positions: self.positions + other.positions,
        }
    }
}

/// The mean of each channel over samples and positions: `[channels]`.
pub(crate) fn channel_means(values: Tensor<3>) -> Tensor<1> {
    let channels = values.dims()[1];
    values.mean_dim(2).mean_dim(0).reshape([channels])
}
