use burn::tensor::{Int, Tensor, activation};

use crate::evaluate::cross_entropy;
use crate::{Data, Labelled};

/// How much a student listens to its labels, and how much to a teacher (Hinton et al., 2015).
///
/// ```text
/// L = student · CE(z, y) + teacher · T² · KL(softmax(t / T) ‖ softmax(z / T))
/// ```
///
/// for logits z of the student and t of the teacher, each term the mean over the batch. The weights need not
/// sum to one; T² keeps the gradient's size as T grows. The default is Distiller's: T = 1, both weights ½.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Distillation {
    /// T: how soft the teacher's answers are; above 0.
    pub temperature: f64,
    /// The weight of the labels.
    pub student: f64,
    /// The weight of the teacher.
    pub teacher: f64,
}

impl Default for Distillation {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            student: 0.5,
            teacher: 0.5,
        }
    }
}

impl Distillation {
    /// `KL(softmax(t / T) ‖ softmax(z / T))`, without the T². The device is not read.
    ///
    /// # Shapes
    ///
    /// `student`, `teacher`: logits `[n, classes]`; result: `[1]`. No gradient reaches the teacher.
    #[must_use]
    pub fn divergence(&self, student: Tensor<2>, teacher: Tensor<2>) -> Tensor<1> {
        let [n, _] = student.dims();
        let softened = |logits: Tensor<2>| logits.div_scalar(self.temperature);
        let student = activation::log_softmax(softened(student), 1);
        let teacher = activation::log_softmax(softened(teacher.detach()), 1);
        let divergence = teacher.clone().exp() * (teacher - student);
        divergence.sum().div_scalar(n as f64)
    }

    /// The whole loss. The device is not read.
    ///
    /// # Shapes
    ///
    /// `student`, `teacher`: logits `[n, classes]`; `labels`: `[n]`; result: `[1]`.
    #[must_use]
    pub fn loss(
        &self,
        student: Tensor<2>,
        teacher: Tensor<2>,
        labels: Tensor<1, Int>,
    ) -> Tensor<1> {
        let soft = self.divergence(student.clone(), teacher);
        let hard = cross_entropy(student, labels);
        let scale = self.teacher * self.temperature.powi(2);
        hard.mul_scalar(self.student) + soft.mul_scalar(scale)
    }
}

/// What a teacher says of a batch, and how much that counts.
#[derive(Debug, Clone)]
pub struct Lesson {
    /// The teacher's logits: `[n, classes]`, on the device of the batch.
    pub logits: Tensor<2>,
    /// What counts how much.
    pub distillation: Distillation,
}

/// The loss of a batch's logits: cross-entropy, or what its lesson makes of it.
pub(crate) fn loss(logits: Tensor<2>, labels: Tensor<1, Int>, lesson: Option<Lesson>) -> Tensor<1> {
    match lesson {
        Some(lesson) => lesson.distillation.loss(logits, lesson.logits, labels),
        None => cross_entropy(logits, labels),
    }
}

/// Data whose training batches come with a teacher's lesson; validation stays as it is.
///
/// # Examples
///
/// ```
/// use burn::nn::{Linear, LinearConfig};
/// use burn::tensor::{Device, Tensor};
/// use calcine_train::{Data, Distillation, Labelled, Taught};
///
/// struct Rows(Device);
///
/// impl Data<Tensor<2>> for Rows {
///     fn steps_per_epoch(&self) -> u64 {
///         1
///     }
///     fn epoch(&self, _: u64, _: u64) -> Box<dyn Iterator<Item = Labelled<Tensor<2>>> + '_> {
///         let input = Tensor::ones([3, 4], &self.0);
///         Box::new(std::iter::once(Labelled::new(input, Tensor::zeros([3], &self.0))))
///     }
///     fn validation(&self) -> Box<dyn Iterator<Item = Labelled<Tensor<2>>> + '_> {
///         Box::new(std::iter::empty())
///     }
/// }
///
/// let device = Device::flex();
/// let teacher: Linear = LinearConfig::new(4, 10).init(&device);
/// let data = Rows(device);
/// let taught = Taught::new(&data, Distillation::default(), |x| teacher.forward(x));
/// assert!(taught.epoch(0, 0).all(|batch| batch.lesson.is_some()));
/// ```
pub struct Taught<'a, X, F> {
    data: &'a dyn Data<X>,
    distillation: Distillation,
    start: u64,
    teach: F,
}

impl<'a, X, F: Fn(X) -> Tensor<2>> Taught<'a, X, F> {
    /// `teach` gives the teacher's logits `[n, classes]`; it should not track gradients.
    pub fn new(data: &'a dyn Data<X>, distillation: Distillation, teach: F) -> Self {
        Self {
            data,
            distillation,
            start: 0,
            teach,
        }
    }

    /// Without lessons before this epoch.
    #[must_use]
    pub fn starting(self, epoch: u64) -> Self {
        Self {
            start: epoch,
            ..self
        }
    }
}

impl<X: Clone, F: Fn(X) -> Tensor<2>> Data<X> for Taught<'_, X, F> {
    fn steps_per_epoch(&self) -> u64 {
        self.data.steps_per_epoch()
    }

    fn epoch(&self, epoch: u64, first_step: u64) -> Box<dyn Iterator<Item = Labelled<X>> + '_> {
        if epoch < self.start {
            return self.data.epoch(epoch, first_step);
        }
        let taught = |batch: Labelled<X>| Labelled {
            lesson: Some(Lesson {
                logits: (self.teach)(batch.input.clone()),
                distillation: self.distillation,
            }),
            ..batch
        };
        Box::new(self.data.epoch(epoch, first_step).map(taught))
    }

    fn validation(&self) -> Box<dyn Iterator<Item = Labelled<X>> + '_> {
        self.data.validation()
    }
}

impl<X, F> std::fmt::Debug for Taught<'_, X, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Taught")
            .field("distillation", &self.distillation)
            .finish_non_exhaustive()
    }
}
