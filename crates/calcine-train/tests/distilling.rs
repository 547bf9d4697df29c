//! Training with a teacher.

use burn::tensor::{Tensor, TensorData};
use calcine_testkit::{Mlp, golden, values};
use calcine_train::{
    Data, Distillation, Driver, FitSettings, Labelled, NoObserver, Outcome, RatePlan, Run, Taught,
    fit,
};

use crate::golden::assert_close;
use crate::made_up::{MadeUp, mlp, read, sgd, training_device};

/// Distiller's losses and the gradients of its students.
#[test]
fn golden_distillation() {
    let file = golden::open("distillation");
    let cases = file.cases("kd_");
    let cases = cases
        .iter()
        .filter(|case| case["expect"]["overall_loss"].is_number());
    let mut compared = 0;
    for case in cases {
        let device = training_device();
        let (input, args, expect) = (&case["input"], &case["args"], &case["expect"]);
        let number = |key: &str| args[key].as_f64().unwrap();
        let distillation = Distillation {
            temperature: number("temperature"),
            student: number("student_weight"),
            teacher: number("distill_weight"),
        };
        let student = file
            .tensor::<2>(&input["student_logits"], &device)
            .require_grad();
        let teacher = file.tensor::<2>(&input["teacher_logits"], &device);
        let (_, labels) = file.values(&input["labels"]);
        let labels: Vec<i32> = labels.iter().map(|label| *label as i32).collect();
        let count = labels.len();
        let labels = Tensor::from_data(TensorData::new(labels, [count]), &device);
        let soft = distillation.divergence(student.clone(), teacher.clone());
        let loss = distillation.loss(student.clone(), teacher, labels);
        let gradients = loss.backward();
        let gradient = student.grad(&gradients).unwrap();
        let expected = |key: &str| vec![expect[key].as_f64().unwrap() as f32];
        let close = (1e-5, 1e-6);
        assert_close(&read(loss), &expected("overall_loss"), close, "loss");
        assert_close(
            &read(soft),
            &expected("distill_loss_component"),
            close,
            "divergence",
        );
        let (_, wanted) = file.values(&expect["grad_student_logits"]);
        assert_close(&read(gradient), &wanted, close, "gradient");
        compared += 1;
    }
    assert!(compared > 3, "{compared} cases");
}

/// A teacher that says what the student says teaches nothing.
#[test]
fn the_same_answers_diverge_by_nothing() {
    let logits: Tensor<2> =
        Tensor::from_data(TensorData::new(values(40), [4, 10]), &training_device());
    let distillation = Distillation {
        temperature: 3.0,
        ..Distillation::default()
    };
    let divergence = read(distillation.divergence(logits.clone(), logits.clone()));
    assert!(divergence[0].abs() < 1e-6, "{divergence:?}");
    let other = read(distillation.divergence(logits.clone(), logits.flip([1])));
    assert!(other[0] > 1e-3, "{other:?}");
}

#[test]
fn lessons_begin_with_their_epoch_and_validation_has_none() {
    let data = MadeUp::for_mlp(3);
    let teach = |input: Tensor<2>| input.slice([0..12, 0..3]);
    let taught = Taught::new(&data, Distillation::default(), teach).starting(2);
    let lessons = |batches: Box<dyn Iterator<Item = Labelled<Tensor<2>>> + '_>| -> Vec<bool> {
        batches.map(|batch| batch.lesson.is_some()).collect()
    };
    assert_eq!(lessons(taught.epoch(1, 0)), [false; 3]);
    assert_eq!(lessons(taught.epoch(2, 1)), [true; 2]);
    assert!(!lessons(taught.validation()).contains(&true));
}

/// Of a teacher that takes every class for the next one, a student learns nothing but that.
#[test]
fn a_student_learns_what_its_teacher_says() {
    let data = MadeUp::for_mlp(40);
    let next = |input: Tensor<2>| {
        let [n, _] = input.dims();
        let classes = input.slice([0..n, 0..3]).mul_scalar(4.0);
        let last = classes.clone().slice([0..n, 2..3]);
        Tensor::cat(vec![last, classes.slice([0..n, 0..2])], 1)
    };
    let teacher_alone = Distillation {
        student: 0.0,
        teacher: 1.0,
        temperature: 2.0,
    };
    let taught = Taught::new(&data, teacher_alone, next);
    let top1 = |data: &dyn Data<Tensor<2>>| {
        let driver = Driver::new(40, Vec::new(), RatePlan::constant(0.1));
        let settings = FitSettings {
            epochs: 3,
            ..FitSettings::default()
        };
        let run = Run::new(mlp(0), driver, sgd());
        let outcome = fit(run, data, Mlp::forward, &settings, &mut NoObserver).unwrap();
        let Outcome::Finished(run) = outcome else {
            panic!("nobody stopped it")
        };
        run.history.epochs.last().unwrap().validation.unwrap().top1
    };
    assert!(top1(&data) > 80.0, "labels");
    assert!(top1(&taught) < 20.0, "teacher");
}
