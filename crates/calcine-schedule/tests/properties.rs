//! What holds for all windows, clocks, curves and schedules, against slow and obvious oracles.

use calcine_schedule::{
    Clock, Cosine, Cubic, Curve, Exponential, LearningRate, Linear, Steps, Window, rate,
};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// Seeded, and writing no files.
fn seeded(seed: u64) -> ProptestConfig {
    ProptestConfig {
        cases: 200,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(seed),
        ..ProptestConfig::default()
    }
}

/// `(start, end, every)` of a valid window.
fn ranges() -> impl Strategy<Value = (u64, u64, u64)> {
    (0..50_u64, 1..60_u64)
        .prop_flat_map(|(start, length)| (Just(start), Just(start + length), 1..=length))
}

/// A strictly ascending list, not empty.
fn lists() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::btree_set(0..80_u64, 1..12).prop_map(|set| set.into_iter().collect())
}

fn check_firings(window: &Window, expected: &[u64]) {
    assert_eq!(window.firings().collect::<Vec<_>>(), expected);
    assert_eq!(window.count(), expected.len() as u64);
    assert_eq!(
        window.firings().size_hint(),
        (expected.len(), Some(expected.len()))
    );
    assert_eq!(window.first(), expected[0]);
    assert_eq!(window.last(), expected[expected.len() - 1]);
    for t in 0..window.end() + 10 {
        assert_eq!(window.fires(t), expected.contains(&t), "{window} at {t}");
        assert_eq!(
            window.contains(t),
            expected[0] <= t && t < window.end(),
            "{window} at {t}"
        );
    }
}

fn check_progress(window: &Window) {
    let progress: Vec<f64> = (0..window.end() + 10).map(|t| window.progress(t)).collect();
    assert!(progress.is_sorted(), "{window}: {progress:?}");
    assert_eq!(window.progress(window.last()), 1.0);
    assert_eq!(window.progress(window.end() + 9), 1.0);
    if 1 < window.count() {
        assert_eq!(window.progress(window.first()), 0.0);
        assert!(window.progress(window.last() - 1) < 1.0);
    }
    let steps = (window.count() - 1).max(1) as f64;
    for (index, t) in window
        .firings()
        .enumerate()
        .take(window.count() as usize - 1)
    {
        approx::assert_relative_eq!(window.progress(t), index as f64 / steps, epsilon = 1e-15);
    }
}

proptest! {
    #![proptest_config(seeded(1))]

    #[test]
    fn ranges_fire_as_counted_by_hand((start, end, every) in ranges()) {
        let mut expected = Vec::new();
        let mut t = start;
        while t < end {
            expected.push(t);
            t += every;
        }
        let window = Window::new(start, end, every).unwrap();
        check_firings(&window, &expected);
        check_progress(&window);
    }

    #[test]
    fn lists_fire_as_listed(list in lists()) {
        let window = Window::list(list.clone()).unwrap();
        check_firings(&window, &list);
        check_progress(&window);
    }

    #[test]
    fn ranges_are_valid_exactly_if_they_fire_and_their_step_fits(
        start in 0..9_u64, end in 0..9_u64, every in 0..9_u64,
    ) {
        let valid = start < end && 0 < every && start + every <= end;
        assert_eq!(Window::new(start, end, every).is_ok(), valid);
    }

    #[test]
    fn clocks_agree_with_counting(steps_per_epoch in 1..12_u64, ticks in 0..100_u64) {
        let mut clock = Clock::new(steps_per_epoch);
        let (mut epoch, mut step) = (0, 0);
        for _ in 0..ticks {
            step += 1;
            let last = step == steps_per_epoch;
            if last {
                (epoch, step) = (epoch + 1, 0);
            }
            assert_eq!(clock.tick(), last);
        }
        assert_eq!(clock, Clock { epoch, step, steps_per_epoch });
        assert_eq!(clock, Clock::at_global_step(steps_per_epoch, ticks));
        assert_eq!(clock.global_step(), ticks);
        assert_eq!(clock.epochs().floor(), epoch as f64);
        approx::assert_relative_eq!(clock.epochs(), ticks as f64 / steps_per_epoch as f64);
    }
}

/// All ramps between two positive values, with the error allowed at progress 0.
fn ramps(initial: f64, last: f64) -> [(Box<dyn Curve>, f64); 5] {
    let half = Steps::new(initial, [(0.3, (initial + last) / 2.0), (1.0, last)]);
    let half = half.expect("the jumps ascend within (0, 1]");
    [
        (Box::new(Linear { initial, last }), 0.0),
        (Box::new(Cubic { initial, last }), 1e-15),
        (Box::new(Cosine { initial, last }), 0.0),
        (Box::new(Exponential { initial, last }), 0.0),
        (Box::new(half), 0.0),
    ]
}

proptest! {
    #![proptest_config(seeded(2))]

    #[test]
    fn ramps_are_monotone_and_exact_at_their_ends(
        initial in 1e-6..1.0_f64, last in 1e-6..1.0_f64, a in 0.0..=1.0_f64, b in 0.0..=1.0_f64,
    ) {
        for (ramp, slack) in ramps(initial, last) {
            assert!((ramp.value_at(0.0) - initial).abs() <= slack);
            assert_eq!(ramp.value_at(1.0), last);
            assert_eq!(ramp.value_at(-a), ramp.value_at(0.0));
            assert_eq!(ramp.value_at(1.0 + b), last);
            let (early, late) = (ramp.value_at(a.min(b)), ramp.value_at(a.max(b)));
            let rise = (late - early) * (last - initial).signum();
            assert!(-1e-15 <= rise, "{early} then {late}");
        }
    }

    #[test]
    fn schedules_of_steps_change_at_whole_epochs_only(
        epoch in 0..40_u64, within in 0.0..0.999_f64, milestones in lists(), gamma in 0.1..0.9_f64,
    ) {
        let gammas = milestones.iter().map(|_| gamma);
        let schedules: [Box<dyn LearningRate>; 4] = [
            Box::new(rate::Step::new(milestones.len() as u64, gamma).unwrap()),
            Box::new(rate::MultiStep::new(milestones.clone(), gamma).unwrap()),
            Box::new(rate::MultiStepMultiGamma::new(milestones.clone(), gammas).unwrap()),
            Box::new(rate::PerEpoch(rate::Exponential::new(gamma).unwrap())),
        ];
        let reached = milestones.iter().filter(|milestone| **milestone <= epoch).count();
        let powers = [epoch as usize / milestones.len(), reached, reached, epoch as usize];
        for (schedule, power) in schedules.iter().zip(powers) {
            let expected: f64 = (0..power).map(|_| gamma).product();
            let position = epoch as f64;
            approx::assert_relative_eq!(schedule.factor(position), expected, max_relative = 1e-12);
            assert_eq!(schedule.factor(position), schedule.factor(position + within));
        }
    }

    #[test]
    fn schedules_stay_within_the_base_rate_and_their_floor(
        epochs in -5.0..80.0_f64, length in 1.0..60.0_f64, share in 0.0..0.9_f64,
        floor in 0.0..1.0_f64, growth in 1.0..3.0_f64, power in 0.1..4.0_f64,
    ) {
        let cosine = rate::Cosine::new(length).unwrap();
        let cosine = cosine.with_warm_up(share * length).unwrap().with_floor(floor).unwrap();
        let restarts = rate::CosineRestarts::new(length).unwrap();
        let restarts = restarts.with_growth(growth).unwrap().with_floor(floor).unwrap();
        let cycle = rate::OneCycle::new(length).unwrap().with_warm_up(share).unwrap();
        let cycle = cycle.with_last_divisor(1.0 / floor.max(1e-3)).unwrap();
        let polynomial = rate::Polynomial::new(length, power).unwrap();
        let warm_up = rate::WarmUp::new(length).unwrap().with_initial(floor).unwrap();
        let lowest = floor.clamp(1e-3, 0.04) - 1e-15;
        let schedules: [(Box<dyn LearningRate>, f64); 5] = [
            (Box::new(cosine), floor),
            (Box::new(restarts), floor),
            (Box::new(cycle), lowest),
            (Box::new(polynomial), 0.0),
            (Box::new(warm_up), floor),
        ];
        for (index, (schedule, lowest)) in schedules.iter().enumerate() {
            let factor = schedule.factor(epochs);
            assert!(*lowest <= factor && factor <= 1.0, "schedule {index} at {epochs}: {factor}");
        }
    }

    #[test]
    fn a_plateau_agrees_with_reading_its_rule_aloud(
        metrics in prop::collection::vec(prop::sample::select(vec![0.1, 0.2, 0.3]), 0..30),
        patience in 0..4_u64, cooldown in 0..4_u64, saved_after in 0..30_usize,
    ) {
        let fresh = rate::Plateau::new(rate::Mode::Min).with_factor(0.5).unwrap();
        let fresh = fresh.with_patience(patience).with_cooldown(cooldown);
        let mut plateau = fresh.clone();
        let (mut best, mut bad, mut quiet_until, mut expected) = (f64::INFINITY, 0, 0, 1.0);
        for (epoch, metric) in metrics.into_iter().enumerate() {
            if epoch == saved_after {
                let state = plateau.state();
                plateau = fresh.clone();
                plateau.restore(&state).unwrap();
            }
            plateau.observe(metric);
            let good = metric < best;
            best = best.min(metric);
            bad = if good || epoch < quiet_until { 0 } else { bad + 1 };
            if patience < bad {
                expected /= 2.0;
                (bad, quiet_until) = (0, epoch + 1 + cooldown as usize);
            }
            assert_eq!(plateau.factor(epoch as f64), expected);
        }
    }
}
