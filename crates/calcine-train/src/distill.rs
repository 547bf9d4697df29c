use burn::tensor::Tensor;
use calcine_metric::Metric;

use crate::{Batch, BatchIter, Data, DataFailure, MetricSums, Objective, Totals};

/// The weights and the temperature of distillation: how much a student learns from its targets, and how much from a
/// teacher (Hinton et al., 2015).
///
/// ```text
/// L = student · loss(z, y) + teacher · T² · divergence(z, t, T)
/// ```
///
/// z are the outputs of the student, t those of the teacher, and y the targets; each term is the mean over the batch.
/// The divergence is that of the [objective](Objective::divergence): for a classifier, `KL(softmax(t / T) ‖ softmax(z /
/// T))`. The weights need not add up to one; the factor T² keeps the size of the gradient independent of T. The default
/// is that of Distiller: T = 1, and both weights ½.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Distillation {
    /// The temperature T, above 0: the higher it is, the softer are the teacher's outputs.
    pub temperature: f64,
    /// The weight of the targets.
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

/// A target, together with the output of the teacher for the same input.
#[derive(Debug, Clone)]
pub struct DistillationTarget<T, O> {
    /// The target.
    pub target: T,
    /// The output of the teacher, on the device of the batch; `None` if only the target counts.
    pub teacher: Option<O>,
}

/// An objective whose loss includes the output of a teacher, as defined by [`Distillation`]. The metrics are those of
/// the inner objective.
#[derive(Debug, Clone)]
pub struct DistillationObjective<'a, O> {
    objective: &'a O,
    distillation: Distillation,
}

impl<'a, O: Objective> DistillationObjective<'a, O> {
    /// Adds a teacher to an objective.
    ///
    /// # Errors
    ///
    /// If the objective [does not support distillation](Objective::check_distillation), with the reason.
    pub fn new(objective: &'a O, distillation: Distillation) -> Result<Self, String> {
        objective.check_distillation(&distillation)?;
        Ok(Self {
            objective,
            distillation,
        })
    }
}

impl<O: Objective> Objective for DistillationObjective<'_, O> {
    type Output = O::Output;
    type Target = DistillationTarget<O::Target, O::Output>;

    fn metrics(&self) -> Vec<Metric> {
        self.objective.metrics()
    }

    fn count(&self, target: &Self::Target) -> usize {
        self.objective.count(&target.target)
    }

    fn loss(&self, output: O::Output, target: Self::Target) -> Tensor<1> {
        let Distillation {
            temperature,
            student,
            teacher,
        } = self.distillation;
        let n = self.count(&target);
        let soft = target
            .teacher
            .and_then(|answers| (self.objective).divergence(output.clone(), answers, temperature));
        let hard = self.objective.loss(output, target.target);
        match soft {
            Some(soft) => {
                let soft = soft.div_scalar(n as f64);
                hard.mul_scalar(student) + soft.mul_scalar(teacher * temperature.powi(2))
            }
            None => hard,
        }
    }

    fn sums(&self, output: O::Output, target: Self::Target) -> MetricSums {
        self.objective.sums(output, target.target)
    }

    fn values(&self, totals: &Totals) -> Vec<f64> {
        self.objective.values(totals)
    }

    fn losses(&self, output: O::Output, target: Self::Target) -> Option<Tensor<1>> {
        self.objective.losses(output, target.target)
    }
}

/// Data whose training batches include the outputs of a teacher; the other splits are unchanged.
///
/// # Examples
///
/// ```
/// use burn::nn::{Linear, LinearConfig};
/// use burn::tensor::{Device, Int, Tensor};
/// use calcine_train::{Batch, BatchIter, Data, DistillationData};
///
/// struct Rows(Device);
///
/// impl Data<Tensor<2>, Tensor<1, Int>> for Rows {
///     fn steps_per_epoch(&self) -> u64 {
///         1
///     }
///     fn epoch(&self, _: u64, _: u64) -> BatchIter<'_, Tensor<2>, Tensor<1, Int>> {
///         let input = Tensor::ones([3, 4], &self.0);
///         Box::new(std::iter::once(Batch::new(input, Tensor::zeros([3], &self.0))))
///     }
///     fn validation(&self) -> BatchIter<'_, Tensor<2>, Tensor<1, Int>> {
///         Box::new(std::iter::empty())
///     }
/// }
///
/// let device = Device::flex();
/// let teacher: Linear = LinearConfig::new(4, 10).init(&device);
/// let data = Rows(device);
/// let taught = DistillationData::new(&data, |x| teacher.forward(x));
/// assert!(taught.epoch(0, 0).all(|batch| batch.target.teacher.is_some()));
/// ```
pub struct DistillationData<'a, X: 'static, T: 'static, F> {
    data: &'a dyn Data<X, T>,
    start: u64,
    teacher: F,
}

impl<'a, X: 'static, T: 'static, F> DistillationData<'a, X, T, F> {
    /// Adds a teacher to data. `teacher` returns its output for an input, and should not track gradients.
    pub fn new<O>(data: &'a dyn Data<X, T>, teacher: F) -> Self
    where
        F: Fn(X) -> O,
    {
        Self {
            data,
            start: 0,
            teacher,
        }
    }

    /// Uses the teacher only from this epoch on.
    #[must_use]
    pub fn starting(self, epoch: u64) -> Self {
        Self {
            start: epoch,
            ..self
        }
    }
}

/// The same batches without outputs of the teacher.
fn untaught<'a, X: 'static, T: 'static, O: 'static>(
    batches: BatchIter<'a, X, T>,
) -> BatchIter<'a, X, DistillationTarget<T, O>> {
    Box::new(batches.map(|Batch { input, target }| {
        let teacher = None;
        Batch::new(input, DistillationTarget { target, teacher })
    }))
}

impl<X: Clone + 'static, T: 'static, O: 'static, F: Fn(X) -> O> Data<X, DistillationTarget<T, O>>
    for DistillationData<'_, X, T, F>
{
    fn steps_per_epoch(&self) -> u64 {
        self.data.steps_per_epoch()
    }

    fn epoch(&self, epoch: u64, first_step: u64) -> BatchIter<'_, X, DistillationTarget<T, O>> {
        let batches = self.data.epoch(epoch, first_step);
        if epoch < self.start {
            return untaught(batches);
        }
        Box::new(batches.map(|Batch { input, target }| {
            let teacher = Some((self.teacher)(input.clone()));
            Batch::new(input, DistillationTarget { target, teacher })
        }))
    }

    fn validation(&self) -> BatchIter<'_, X, DistillationTarget<T, O>> {
        untaught(self.data.validation())
    }

    fn test(&self) -> BatchIter<'_, X, DistillationTarget<T, O>> {
        untaught(self.data.test())
    }

    fn failure(&self) -> Option<DataFailure> {
        self.data.failure()
    }
}

impl<X: 'static, T: 'static, F> std::fmt::Debug for DistillationData<'_, X, T, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DistillationData")
            .field("start", &self.start)
            .finish_non_exhaustive()
    }
}
