use burn::tensor::Tensor;

/// What a node gives for one batch.
#[derive(Debug, Clone)]
pub struct Activation<'a> {
    /// The place's name.
    pub name: &'a str,
    /// `[samples, channels, positions]`, without gradients.
    pub values: Tensor<3>,
}

/// How much a statistic has seen of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SampleCounts {
    /// Samples: the length of the first axis.
    pub samples: u64,
    /// Values of each channel, of all samples together.
    pub positions: u64,
}

impl Activation<'_> {
    /// How much this batch is.
    #[must_use]
    pub fn sample_counts(&self) -> SampleCounts {
        let [samples, _, positions] = self.values.dims();
        SampleCounts {
            samples: samples as u64,
            positions: (samples * positions) as u64,
        }
    }

    /// How many channels there are.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.values.dims()[1]
    }
}

impl SampleCounts {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            samples: self.samples + other.samples,
            positions: self.positions + other.positions,
        }
    }
}

/// The mean over samples and positions: `[channels]`.
pub(crate) fn channel_means(values: Tensor<3>) -> Tensor<1> {
    let channels = values.dims()[1];
    values.mean_dim(2).mean_dim(0).reshape([channels])
}
