//! What the compiler checks: scores and selections are objects that move between threads.

use burn::tensor::Tensor;
use calcine_criteria::{
    Candidate, Evidence, GlobalLevel, Level, Magnitude, Needs, Norm, Score, Select, Sensitivity,
    Threshold,
};
use calcine_testkit::device;

use crate::common::{bools, candidate, elements, floats, vector};

fn send<T: Send>(value: T) -> T {
    value
}

#[test]
fn scores_are_objects_that_can_be_sent() {
    let range = |evidence: &Evidence| evidence.rows().max_dim(1).reshape([2]);
    let scores: [Box<dyn Score + Send>; 3] =
        [Box::new(Magnitude), Box::new(Norm::L2), Box::new(range)];
    for score in scores {
        // A box is a score again, so it nests.
        let score: Box<dyn Score + Send> = Box::new(send(score));
        assert_eq!(score.needs(), Needs::Weight);
        let evidence = send(Evidence::new(elements(&[1.0, 2.0])));
        assert_eq!(floats(score.score(&evidence)), [1.0, 2.0]);
    }
}

#[test]
fn selections_are_objects_that_can_be_sent() {
    let selections: [Box<dyn Select + Send>; 3] = [
        Box::new(Threshold),
        Box::new(Level::default()),
        Box::new(GlobalLevel::default()),
    ];
    for select in selections {
        let select: Box<dyn Select + Send> = Box::new(send(select));
        let keep = select.keep(&[send(candidate(&[0.1, 2.0]))], 0.5).remove(0);
        assert_eq!(bools(keep), [false, true]);
    }
    let sensitivity: Box<dyn Select + Send> = Box::new(Sensitivity::FROZEN);
    let sigma = sensitivity
        .measure(&elements(&[1.0, 3.0]), &vector(&[1.0, 3.0]))
        .unwrap();
    approx::assert_relative_eq!(floats(sigma)[0], 2f32.sqrt(), max_relative = 1e-6);
}

#[test]
fn a_score_of_ones_own_may_need_a_gradient() {
    struct Taylor;
    impl Score for Taylor {
        fn needs(&self) -> Needs {
            Needs::Gradient
        }
        fn score(&self, evidence: &Evidence) -> Tensor<1> {
            let gradient = evidence
                .gradient
                .clone()
                .expect("this score needs the gradient");
            (evidence.rows() * gradient)
                .abs()
                .sum_dim(1)
                .reshape([evidence.units()])
        }
    }
    let evidence = Evidence::new(elements(&[1.0, -2.0]))
        .with_gradient(elements(&[3.0, 4.0]))
        .with_activity(vector(&[0.0, 1.0]));
    let boxed: Box<dyn Score + Send> = Box::new(Taylor);
    assert_eq!(boxed.needs(), Needs::Gradient);
    assert_eq!(floats(boxed.score(&evidence)), [3.0, 8.0]);
    assert!(evidence.activity.is_some());
}

#[test]
fn scores_of_a_model_in_training_need_no_care() {
    let weight = Tensor::<2>::from_data([[3.0], [-1.0]], &device().autodiff()).require_grad();
    let scores = Magnitude.score(&Evidence::new(weight));
    assert_eq!(
        bools(
            Level::default()
                .keep(&[Candidate::new(scores)], 0.5)
                .remove(0)
        ),
        [true, false]
    );
}
