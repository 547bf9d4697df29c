//! Training with a teacher.

use burn::tensor::{Tensor, TensorData};
use calcine_testkit::{Mlp, golden, values};
use calcine_train::{
    BatchIter, Classification, Data, Distillation, DistillationData, DistillationObjective,
    DistillationTarget, Driver, FitSettings, NoObserver, Objective, Outcome, RatePlan, Run, fit,
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
        let soft =
            Classification.divergence(student.clone(), teacher.clone(), distillation.temperature);
        let soft = soft.unwrap().div_scalar(count as f64);
        let objective = DistillationObjective::new(&Classification, distillation).unwrap();
        let target = DistillationTarget {
            target: labels,
            teacher: Some(teacher),
        };
        let loss = objective.loss(student.clone(), target);
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

/// A teacher whose outputs are the student's teaches nothing.
#[test]
fn equal_outputs_have_no_divergence() {
    let logits: Tensor<2> =
        Tensor::from_data(TensorData::new(values(40), [4, 10]), &training_device());
    let divergence = |teacher: Tensor<2>| {
        let divergence = Classification.divergence(logits.clone(), teacher, 3.0);
        read(divergence.unwrap())[0]
    };
    let (same, other) = (
        divergence(logits.clone()),
        divergence(logits.clone().flip([1])),
    );
    assert!(same.abs() < 1e-6 && other > 1e-3, "{same} {other}");
}

#[test]
fn the_teacher_is_asked_from_its_epoch_on_and_never_in_validation() {
    let data = MadeUp::for_mlp(3);
    let teacher = |input: Tensor<2>| input.slice([0..12, 0..3]);
    let taught = DistillationData::new(&data, teacher).starting(2);
    let asked = |batches: BatchIter<'_, _, DistillationTarget<_, Tensor<2>>>| -> Vec<bool> {
        batches
            .map(|batch| batch.target.teacher.is_some())
            .collect()
    };
    assert_eq!(asked(taught.epoch(1, 0)), [false; 3]);
    assert_eq!(asked(taught.epoch(2, 1)), [true; 2]);
    assert!(!asked(taught.validation()).contains(&true));
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
    let taught = DistillationData::new(&data, next);
    let objective = DistillationObjective::new(&Classification, teacher_alone).unwrap();
    let labels = top1(&data, &Classification);
    assert!(labels > 80.0, "labels: {labels}");
    let teacher = top1(&taught, &objective);
    assert!(teacher < 20.0, "teacher: {teacher}");
}

/// Validation accuracy after three epochs.
fn top1<O: Objective<Output = Tensor<2>>>(
    data: &dyn Data<Tensor<2>, O::Target>,
    objective: &O,
) -> f64 {
    let driver = Driver::new(40, Vec::new(), RatePlan::constant(0.1));
    let settings = FitSettings {
        epochs: 3,
        ..FitSettings::default()
    };
    let run = Run::new(mlp(0), driver, sgd());
    let outcome = fit(
        run,
        data,
        Mlp::forward,
        objective,
        &settings,
        &mut NoObserver,
    )
    .unwrap();
    let Outcome::Finished(run) = outcome else {
        panic!("nobody stopped it")
    };
    let last = run.history.epochs.last().unwrap();
    last.validation.as_ref().unwrap().value("top1")
}
