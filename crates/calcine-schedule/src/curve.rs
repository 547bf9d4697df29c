//! Curves, which map the progress of a window to a value.

mod constant;
mod cosine;
mod cubic;
mod exponential;
mod linear;
mod steps;
mod two_slopes;

pub use constant::Constant;
pub use cosine::Cosine;
pub use cubic::Cubic;
pub use exponential::Exponential;
pub use linear::Linear;
pub use steps::Steps;
pub use two_slopes::TwoSlopes;

/// A value as a function of progress.
///
/// Progress is between 0 and 1; [`Window::progress`](crate::Window::progress) computes it. The caller decides what the
/// value means: a sparsity, a penalty, a temperature, a probability.
///
/// The curves of this crate treat progress outside of `[0, 1]` as the nearest end. Implementations should do the same,
/// and should always return the same value for the same progress.
///
/// # Implementations
///
/// Closures and functions `Fn(f64) -> f64` are curves; declare the type of the parameter, as in `|progress: f64|
/// progress * progress`. References to and boxes of `dyn Curve` (also with `+ Send` and `+ Send + Sync`) and references
/// to the curves of this crate are curves, too.
///
/// Pass a reference to another type as `&c as &dyn Curve`: Rust does not allow an implementation for all closures
/// together with one for all references, because a reference to a closure is both.
///
/// # Examples
///
/// ```
/// use calcine_schedule::{Curve, Linear};
///
/// struct Reversed<C>(C);
///
/// impl<C: Curve> Curve for Reversed<C> {
///     fn value_at(&self, progress: f64) -> f64 {
///         self.0.value_at(1.0 - progress)
///     }
/// }
///
/// let curves: Vec<Box<dyn Curve>> = vec![
///     Box::new(Linear { initial: 0.0, last: 8.0 }),
///     Box::new(Reversed(Linear { initial: 0.0, last: 8.0 })),
///     Box::new(|progress: f64| 8.0 * progress.sqrt()),
/// ];
/// let values: Vec<f64> = curves.iter().map(|curve| curve.value_at(0.25)).collect();
/// assert_eq!(values, [2.0, 6.0, 4.0]);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a curve",
    note = "a closure is a curve if its parameter has a type: `|progress: f64| ...`",
    note = "a reference to your own curve is passed as `&curve as &dyn Curve`"
)]
pub trait Curve {
    /// The value at `progress`, a number in `[0, 1]`.
    fn value_at(&self, progress: f64) -> f64;
}

impl<F: Fn(f64) -> f64> Curve for F {
    fn value_at(&self, progress: f64) -> f64 {
        self(progress)
    }
}

macro_rules! forward {
    ($($pointer:ty),* $(,)?) => {$(
        impl Curve for $pointer {
            fn value_at(&self, progress: f64) -> f64 {
                (**self).value_at(progress)
            }
        }
    )*};
}

forward!(
    Box<dyn Curve + '_>,
    Box<dyn Curve + Send + '_>,
    Box<dyn Curve + Send + Sync + '_>,
    &(dyn Curve + '_),
    &(dyn Curve + Send + '_),
    &(dyn Curve + Send + Sync + '_),
    &Constant,
    &Linear,
    &Cubic,
    &Cosine,
    &Exponential,
    &Steps,
    &TwoSlopes,
);

/// `last + (initial - last) * remaining`, where `remaining` falls from 1 to 0. The result is exact at both ends and
/// never outside of them because of rounding.
fn blend(initial: f64, last: f64, remaining: f64) -> f64 {
    if 1.0 <= remaining {
        return initial;
    }
    between(initial, last, last + (initial - last) * remaining)
}

/// `value`, limited to the range between the ends.
fn between(initial: f64, last: f64, value: f64) -> f64 {
    value.max(initial.min(last)).min(initial.max(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Owns its curve, as a policy would.
    struct Policy<C> {
        curve: C,
    }

    impl<C: Curve> Policy<C> {
        fn middle(&self) -> f64 {
            self.curve.value_at(0.5)
        }
    }

    #[test]
    fn closures_functions_references_and_boxes_are_curves() {
        let line = Linear {
            initial: 0.0,
            last: 2.0,
        };
        let shared: Box<dyn Curve + Send + Sync> = Box::new(line);
        let boxed: Box<dyn Curve> = Box::new(&line);
        assert_eq!(Policy { curve: &line }.middle(), 1.0);
        assert_eq!(
            Policy {
                curve: &shared as &dyn Curve
            }
            .middle(),
            1.0
        );
        assert_eq!(Policy { curve: &*shared }.middle(), 1.0);
        assert_eq!(Policy { curve: shared }.middle(), 1.0);
        assert_eq!(Policy { curve: &*boxed }.middle(), 1.0);
        assert_eq!(Policy { curve: boxed }.middle(), 1.0);
        assert_eq!(Policy { curve: f64::sin }.middle(), 0.5_f64.sin());
        let scale = 4.0;
        let closure = |progress: f64| scale * progress;
        assert_eq!(Policy { curve: &closure }.middle(), 2.0);
        assert_eq!(Policy { curve: closure }.middle(), 2.0);
    }

    #[test]
    fn blending_is_exact_at_both_ends() {
        for (initial, last) in [
            (0.05, 0.8),
            (0.1, 0.6),
            (1e-3, 1e9),
            (-0.3, 0.7),
            (0.4, 0.4),
        ] {
            assert_eq!(blend(initial, last, 1.0), initial);
            assert_eq!(blend(initial, last, 0.0), last);
        }
    }
}
