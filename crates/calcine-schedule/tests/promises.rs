//! Promises that hold if this file compiles: object safety, threads, composition.

use calcine_schedule::{
    Clock, Constant, Cosine, Cubic, Curve, CurveError, Exponential, Firings, LearningRate, Linear,
    RateError, StateError, Steps, TwoSlopes, Window, WindowError, rate,
};

fn curve_is_object_safe(_: &dyn Curve) {}

fn learning_rate_is_object_safe(_: &dyn LearningRate) {}

fn ordinary<T: Send + Sync + Clone + std::fmt::Debug + 'static>() {}

fn error<T: std::error::Error + Send + Sync + Clone + PartialEq + 'static>() {}

fn curve(_: impl Curve) {}

fn schedule(_: impl LearningRate) {}

#[test]
fn traits_are_object_safe() {
    curve_is_object_safe(&Constant(1.0));
    curve_is_object_safe(&|progress: f64| progress);
    learning_rate_is_object_safe(&rate::Constant(1.0));
    learning_rate_is_object_safe(&|epochs: f64| epochs);
}

#[test]
fn all_types_are_send_sync_and_clone() {
    ordinary::<Clock>();
    ordinary::<Window>();
    ordinary::<Firings<'static>>();
    ordinary::<(
        Constant,
        Linear,
        Cubic,
        Cosine,
        Exponential,
        Steps,
        TwoSlopes,
    )>();
    ordinary::<(
        rate::Constant,
        rate::Step,
        rate::MultiStep,
        rate::MultiStepMultiGamma,
    )>();
    ordinary::<(
        rate::Exponential,
        rate::Cosine,
        rate::CosineRestarts,
        rate::Polynomial,
    )>();
    ordinary::<(
        rate::OneCycle,
        rate::Plateau,
        rate::WarmUp,
        rate::PerEpoch<rate::Step>,
    )>();
    error::<WindowError>();
    error::<CurveError>();
    error::<RateError>();
    error::<StateError>();
}

#[test]
fn borrowed_and_boxed_trait_objects_compose() {
    let scale = 2.0;
    let local = |progress: f64| scale * progress;
    let boxed: Box<dyn Curve + Send + '_> = Box::new(local);
    let nested: Box<dyn Curve + '_> = Box::new(&*boxed);
    curve(&*nested);
    curve(nested);

    let mut plateau = rate::Plateau::new(rate::Mode::Max);
    let borrowed: &mut (dyn LearningRate + Send) = &mut plateau;
    schedule((borrowed, rate::PerEpoch(|epochs: f64| scale * epochs)));
    let borrowed: &mut (dyn LearningRate + Send) = &mut plateau;
    let boxed: Box<dyn LearningRate + Send + '_> = Box::new(borrowed);
    schedule(boxed);
}
