//! The samples of a data set, and a batch of them on the host.

use std::fmt;

use rand::rngs::ChaCha8Rng;

use crate::error::DataError;

/// Numbers of a batch on the host.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Floating-point numbers.
    Float(Vec<f32>),
    /// Integers: classes, tokens.
    Int(Vec<i32>),
}

impl Values {
    /// The number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Float(values) => values.len(),
            Self::Int(values) => values.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The values, if they are floating-point numbers.
    #[must_use]
    pub fn floats(&self) -> Option<&[f32]> {
        match self {
            Self::Float(values) => Some(values),
            Self::Int(_) => None,
        }
    }

    /// The values, if they are integers.
    #[must_use]
    pub fn ints(&self) -> Option<&[i32]> {
        match self {
            Self::Int(values) => Some(values),
            Self::Float(_) => None,
        }
    }
}

/// The shape and the type of one input, or of one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// The shape of one sample, without the axis of the batch; empty for a single number.
    pub shape: Vec<usize>,
    /// Whether the numbers are integers rather than floating-point numbers.
    pub is_int: bool,
}

impl Spec {
    /// Floating-point numbers of this shape.
    #[must_use]
    pub fn floats(shape: &[usize]) -> Self {
        let shape = shape.to_vec();
        Self {
            shape,
            is_int: false,
        }
    }

    /// Integers of this shape.
    #[must_use]
    pub fn ints(shape: &[usize]) -> Self {
        let shape = shape.to_vec();
        Self {
            shape,
            is_int: true,
        }
    }

    /// The number of values in one sample.
    #[must_use]
    pub fn size(&self) -> usize {
        self.shape.iter().product()
    }

    /// Zeros for `n` samples.
    pub(crate) fn zeros(&self, n: usize) -> Values {
        if self.is_int {
            Values::Int(vec![0; n * self.size()])
        } else {
            Values::Float(vec![0.0; n * self.size()])
        }
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_int { "integers" } else { "floats" };
        write!(f, "{kind} of shape {:?}", self.shape)
    }
}

/// The memory into which the values of one sample are written.
#[derive(Debug)]
pub enum Target<'a> {
    /// Floating-point numbers.
    Float(&'a mut [f32]),
    /// Integers.
    Int(&'a mut [i32]),
}

/// Samples that can be read one by one, from several threads.
pub trait Samples: fmt::Debug + Send + Sync {
    /// The number of samples.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Shape and type of one input.
    fn input(&self) -> Spec;

    /// Shape and type of one target.
    fn target(&self) -> Spec;

    /// Writes sample `index` to `input` and `target`, which have the sizes and types of [`input`](Self::input) and
    /// [`target`](Self::target).
    ///
    /// With `random`, the sample is for training and may be augmented with these random numbers. Without it, the sample
    /// must be the same each time.
    ///
    /// # Errors
    ///
    /// If the sample cannot be read.
    fn read(
        &self,
        index: usize,
        random: Option<&mut ChaCha8Rng>,
        input: Target<'_>,
        target: Target<'_>,
    ) -> Result<(), DataError>;

    /// The number of threads that read ahead, if reading a sample is expensive.
    fn workers(&self) -> usize {
        1
    }

    /// Whether the samples are sorted by class, so that the first ones are not representative.
    fn is_sorted_by_class(&self) -> bool {
        false
    }
}

/// A batch on the host, ready to be moved into tensors.
///
/// # Shapes
///
/// * `inputs`: `[n]` and the shape of an input
/// * `targets`: `[n]` and the shape of a target, which for a class is empty
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Batch {
    /// The inputs; images are normalised.
    pub(crate) inputs: Values,
    /// The targets.
    pub(crate) targets: Values,
    /// Number of samples.
    pub(crate) n: usize,
}

impl Batch {
    /// The samples at `indices`, augmented if there is anything to draw from.
    pub(crate) fn gather(
        samples: &dyn Samples,
        indices: &[u32],
        mut random: Option<&mut ChaCha8Rng>,
    ) -> Result<Self, DataError> {
        let n = indices.len();
        let (input, target) = (samples.input(), samples.target());
        let mut inputs = input.zeros(n);
        let mut targets = target.zeros(n);
        for (place, &index) in indices.iter().enumerate() {
            samples.read(
                index as usize,
                random.as_deref_mut(),
                part(&mut inputs, place, input.size()),
                part(&mut targets, place, target.size()),
            )?;
        }
        Ok(Self { inputs, targets, n })
    }
}

/// The numbers of one sample.
fn part(values: &mut Values, place: usize, size: usize) -> Target<'_> {
    let range = place * size..(place + 1) * size;
    match values {
        Values::Float(values) => Target::Float(&mut values[range]),
        Values::Int(values) => Target::Int(&mut values[range]),
    }
}
