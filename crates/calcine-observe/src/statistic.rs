use burn::tensor::Tensor;

use crate::activation::{Activation, SampleCounts};

/// A statistic of the results of nodes over batches.
///
/// It consists of three functions: the measurement of one batch, as vectors on the device; how the vectors of the
/// previous batches are combined with those of one more batch; and the final value on the host.
///
/// # Examples
///
/// A complete statistic: the share of values of each channel that are saturated.
///
/// ```
/// use burn::tensor::Tensor;
/// use calcine_observe::{Activation, SampleCounts, Statistic};
///
/// struct Saturated { above: f64 }
///
/// impl Statistic for Saturated {
///     type Value = Vec<f64>;
///
///     fn measure(&self, batch: &Activation) -> Vec<Tensor<1>> {
///         let saturated = batch.values.clone().greater_elem(self.above).float();
///         let channels = batch.channels();
///         vec![saturated.sum_dim(2).sum_dim(0).reshape([channels])]
///     }
///
///     fn value(&self, vectors: &[Vec<f64>], counts: SampleCounts) -> Vec<f64> {
///         vectors[0].iter().map(|count| count / counts.positions as f64).collect()
///     }
/// }
/// # use burn::tensor::Device;
/// # use calcine_observe::{Places, observe};
/// # use calcine_trace::trace;
/// # let x = Tensor::<2>::from_data([[0.0, 9.0], [7.0, 8.0]], &Device::flex());
/// # let network = trace(&burn::nn::Relu::new(), x.clone(), |m, x| m.forward(x)).unwrap();
/// # let observed = observe(&network, [x], &Places::activations(), &Saturated { above: 6.0 }).unwrap();
/// # assert_eq!(observed.get("relu").unwrap(), &[0.5, 1.0]);
/// ```
pub trait Statistic {
    /// The value of the statistic at one place.
    type Value;

    /// The measurement of one batch, on its device. Nothing may be read from the device.
    fn measure(&self, batch: &Activation<'_>) -> Vec<Tensor<1>>;

    /// Combines the vectors of all previous batches with those of one more batch; both come with their numbers of
    /// samples and values.
    ///
    /// By default, they are added element-wise.
    fn merge(
        &self,
        all: (Vec<Tensor<1>>, SampleCounts),
        one: (Vec<Tensor<1>>, SampleCounts),
    ) -> Vec<Tensor<1>> {
        all.0
            .into_iter()
            .zip(one.0)
            .map(|(all, one)| all + one)
            .collect()
    }

    /// The value for the combined vectors of all batches.
    fn value(&self, vectors: &[Vec<f64>], counts: SampleCounts) -> Self::Value;
}

impl<S: Statistic + ?Sized> Statistic for &S {
    type Value = S::Value;

    fn measure(&self, batch: &Activation<'_>) -> Vec<Tensor<1>> {
        (**self).measure(batch)
    }

    fn merge(
        &self,
        all: (Vec<Tensor<1>>, SampleCounts),
        one: (Vec<Tensor<1>>, SampleCounts),
    ) -> Vec<Tensor<1>> {
        (**self).merge(all, one)
    }

    fn value(&self, vectors: &[Vec<f64>], counts: SampleCounts) -> Self::Value {
        (**self).value(vectors, counts)
    }
}

impl<S: Statistic + ?Sized> Statistic for Box<S> {
    type Value = S::Value;

    fn measure(&self, batch: &Activation<'_>) -> Vec<Tensor<1>> {
        (**self).measure(batch)
    }

    fn merge(
        &self,
        all: (Vec<Tensor<1>>, SampleCounts),
        one: (Vec<Tensor<1>>, SampleCounts),
    ) -> Vec<Tensor<1>> {
        (**self).merge(all, one)
    }

    fn value(&self, vectors: &[Vec<f64>], counts: SampleCounts) -> Self::Value {
        (**self).value(vectors, counts)
    }
}

/// A [`Statistic`], or a tuple of up to six of them, whose value is the tuple of their values.
pub trait Statistics {
    /// The value of the statistics at one place.
    type Value;

    /// The parts of the statistics that run on the device.
    fn parts(&self) -> Vec<&dyn OnDevice>;

    /// The value, given the vectors of each part in order.
    fn value(
        &self,
        read: &mut std::vec::IntoIter<Vec<Vec<f64>>>,
        counts: SampleCounts,
    ) -> Self::Value;
}

/// The part of a [`Statistic`] that runs on the device.
pub trait OnDevice {
    /// See [`Statistic::measure`].
    fn measure(&self, batch: &Activation<'_>) -> Vec<Tensor<1>>;

    /// See [`Statistic::merge`].
    fn merge(
        &self,
        all: (Vec<Tensor<1>>, SampleCounts),
        one: (Vec<Tensor<1>>, SampleCounts),
    ) -> Vec<Tensor<1>>;
}

impl<S: Statistic> OnDevice for S {
    fn measure(&self, batch: &Activation<'_>) -> Vec<Tensor<1>> {
        Statistic::measure(self, batch)
    }

    fn merge(
        &self,
        all: (Vec<Tensor<1>>, SampleCounts),
        one: (Vec<Tensor<1>>, SampleCounts),
    ) -> Vec<Tensor<1>> {
        Statistic::merge(self, all, one)
    }
}

impl<S: Statistic> Statistics for S {
    type Value = S::Value;

    fn parts(&self) -> Vec<&dyn OnDevice> {
        vec![self]
    }

    fn value(
        &self,
        read: &mut std::vec::IntoIter<Vec<Vec<f64>>>,
        counts: SampleCounts,
    ) -> S::Value {
        let vectors = read.next().unwrap_or_default();
        Statistic::value(self, &vectors, counts)
    }
}

macro_rules! tuple {
    ($($name:ident),+) => {
        impl<$($name: Statistics),+> Statistics for ($($name,)+) {
            type Value = ($($name::Value,)+);

            #[allow(non_snake_case, reason = "the tuple's types name its fields")]
            fn parts(&self) -> Vec<&dyn OnDevice> {
                let ($($name,)+) = self;
                let mut parts = Vec::new();
                $(parts.extend($name.parts());)+
                parts
            }

            #[allow(non_snake_case, reason = "the tuple's types name its fields")]
            fn value(
                &self,
                read: &mut std::vec::IntoIter<Vec<Vec<f64>>>,
                counts: SampleCounts,
            ) -> Self::Value {
                let ($($name,)+) = self;
                ($($name.value(read, counts),)+)
            }
        }
    };
}
tuple!(A, B);
tuple!(A, B, C);
tuple!(A, B, C, D);
tuple!(A, B, C, D, E);
tuple!(A, B, C, D, E, F);
