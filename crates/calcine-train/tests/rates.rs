//! The learning rate over a run: windows in epochs and in steps.

use calcine_schedule::rate::{Cosine, Mode, Plateau, Step};
use calcine_schedule::{Clock, LearningRate, Window};
use calcine_train::{RateEntry, RatePlan, WindowUnit};

const STEPS: u64 = 4;

fn entry(
    schedule: impl LearningRate + Send + 'static,
    (start, end): (u64, u64),
    unit: WindowUnit,
) -> RateEntry {
    RateEntry {
        schedule: Box::new(schedule),
        window: Window::new(start, end, 1).unwrap(),
        unit,
    }
}

fn rates(plan: &RatePlan, steps: u64) -> Vec<f64> {
    (0..steps)
        .map(|step| plan.rate(&Clock::at_global_step(STEPS, step)))
        .collect()
}

#[test]
fn a_window_in_epochs_moves_at_epochs_and_one_in_steps_at_steps() {
    let ramp = |position: f64| 1.0 + position;
    let epochs = RatePlan::constant(0.5).with_schedule(entry(ramp, (1, 3), WindowUnit::Epochs));
    let expected = [[0.5; 4], [1.0; 4], [1.5; 4], [1.5; 4]].concat();
    assert_eq!(rates(&epochs, 16), expected);

    let steps = RatePlan::constant(0.5).with_schedule(entry(ramp, (6, 9), WindowUnit::Steps));
    let quarter = |q: f64| 0.5 * (1.0 + q / 4.0);
    let before = [0.5; 6];
    let inside = [quarter(6.0), quarter(7.0), quarter(8.0)];
    assert_eq!(
        rates(&steps, 12),
        [&before[..], &inside, &[quarter(8.0); 3]].concat()
    );
}

#[test]
fn of_windows_in_different_units_the_later_one_decides() {
    let plan = RatePlan::constant(1.0)
        .with_schedule(entry(|_: f64| 0.5, (1, 4), WindowUnit::Epochs))
        .with_schedule(entry(|_: f64| 0.25, (6, 7), WindowUnit::Steps))
        .with_schedule(entry(|_: f64| 0.125, (2, 3), WindowUnit::Epochs));
    let found = rates(&plan, 10);
    assert_eq!(
        found,
        [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125]
    );
}

#[test]
fn of_windows_that_begin_together_the_one_later_in_the_file_decides() {
    let plan = RatePlan::constant(1.0)
        .with_schedule(entry(|_: f64| 0.5, (4, 8), WindowUnit::Steps))
        .with_schedule(entry(|_: f64| 0.25, (1, 2), WindowUnit::Epochs));
    assert_eq!(rates(&plan, 6), [1.0, 1.0, 1.0, 1.0, 0.25, 0.25]);
}

#[test]
fn a_schedule_that_goes_by_the_metric_is_saved_and_restored() {
    let plan = || {
        let plateau = Plateau::new(Mode::Min)
            .with_factor(0.5)
            .unwrap()
            .with_patience(1);
        RatePlan::constant(1.0)
            .with_schedule(entry(Cosine::new(8.0).unwrap(), (0, 2), WindowUnit::Steps))
            .with_schedule(entry(plateau, (1, 9), WindowUnit::Epochs))
    };
    let mut through = plan();
    let mut broken = plan();
    for metric in [3.0, 2.0, 2.5, 2.4, 2.3, f64::NAN, 2.2] {
        through.observe(metric);
        broken.observe(metric);
        let mut taken_up = plan();
        taken_up.restore(&broken.state()).unwrap();
        broken = taken_up;
        assert_eq!(rates(&broken, 40), rates(&through, 40));
    }
    assert!(rates(&through, 40)[20] < 1.0);
}

#[test]
fn another_schedules_state_is_refused() {
    let plateau = Plateau::new(Mode::Min);
    let mut plan =
        RatePlan::constant(1.0).with_schedule(entry(plateau, (0, 9), WindowUnit::Epochs));
    let step = RatePlan::constant(1.0).with_schedule(entry(
        Step::new(3, 0.1).unwrap(),
        (0, 9),
        WindowUnit::Epochs,
    ));
    assert!(plan.restore(&step.state()).is_err());
}
