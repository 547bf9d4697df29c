//! Agreement with the original Distiller on recorded schedules.
//!
//! The vectors are in the directory `CALCINE_GOLDEN`, or else in `golden` of calcine-testkit, which this crate does
//! not use: it knows no tensors. All cases of a file are run, whatever their number.

use std::fs;
use std::path::PathBuf;

use approx::relative_eq;
use calcine_schedule::{
    Cubic, Curve, CurveError, LearningRate, RateError, TwoSlopes, Window, rate,
};
use serde_json::{Map, Value};

type Args = Map<String, Value>;

/// One recorded call.
struct Case {
    name: String,
    args: Args,
    expect: Args,
}

impl Case {
    fn expects_error(&self) -> bool {
        self.expect.contains_key("error")
    }
}

/// The cases of a file.
fn cases(file: &str) -> Vec<Case> {
    let directory = std::env::var_os("CALCINE_GOLDEN").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../calcine-testkit/golden"),
        PathBuf::from,
    );
    let path = directory.join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let list: Vec<Value> =
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let part = |case: &Value, key: &str| case[key].as_object().cloned().unwrap_or_default();
    let case = |case: &Value| Case {
        name: case["name"].as_str().unwrap_or("unnamed").to_owned(),
        args: part(case, "args"),
        expect: part(case, "expect"),
    };
    list.iter().map(case).collect()
}

/// Runs every case; `check` returns whether it knows the case. A file without a known case fails.
fn run(file: &str, check: fn(&Case) -> bool) {
    let cases = cases(file);
    let known = cases.iter().filter(|case| {
        let known = check(case);
        if !known {
            eprintln!("not about schedules: case {} of {file}", case.name);
        }
        known
    });
    assert_ne!(known.count(), 0, "{file} holds no known case");
}

fn number(args: &Args, key: &str) -> f64 {
    args[key]
        .as_f64()
        .unwrap_or_else(|| panic!("`{key}` is a number, not {}", args[key]))
}

fn numbers(value: &Value) -> Vec<f64> {
    let list = value
        .as_array()
        .unwrap_or_else(|| panic!("a list, not {value}"));
    list.iter()
        .map(|v| v.as_f64().unwrap_or_else(|| panic!("a number, not {v}")))
        .collect()
}

fn count(args: &Args, key: &str) -> u64 {
    args[key]
        .as_u64()
        .unwrap_or_else(|| panic!("`{key}` is a count, not {}", args[key]))
}

fn counts(value: &Value) -> Vec<u64> {
    let list = value
        .as_array()
        .unwrap_or_else(|| panic!("a list, not {value}"));
    list.iter()
        .map(|v| v.as_u64().unwrap_or_else(|| panic!("a count, not {v}")))
        .collect()
}

/// Equal to 1e-12 relative, the tolerance the golden vectors set for schedules.
fn assert_close(case: &Case, at: impl std::fmt::Display, ours: f64, theirs: f64) {
    let close = relative_eq!(ours, theirs, epsilon = 1e-300, max_relative = 1e-12);
    assert!(
        close,
        "{}, {at}: ours {ours:e}, theirs {theirs:e}",
        case.name
    );
}

/// The window of a policy's arguments, or why there is none.
///
/// With `serde` our own reading decides; without it, what the constructors cannot be called with is
/// no window either.
fn window(args: &Args) -> Result<Window, String> {
    #[cfg(feature = "serde")]
    {
        let ours = |key: &str| match key {
            "starting_epoch" => "start".to_owned(),
            "ending_epoch" => "end".to_owned(),
            "frequency" => "every".to_owned(),
            "epochs" => "at".to_owned(),
            other => other.to_owned(),
        };
        let form: Args = args
            .iter()
            .map(|(key, value)| (ours(key), in_order(value)))
            .collect();
        serde_json::from_value(Value::Object(form)).map_err(|e| e.to_string())
    }
    #[cfg(not(feature = "serde"))]
    {
        let get = |key: &str| args.get(key).and_then(Value::as_u64);
        let range = [get("starting_epoch"), get("ending_epoch"), get("frequency")];
        match (args.get("epochs"), range) {
            (Some(list), [None, None, None]) => {
                Window::list(counts(&in_order(list))).map_err(|e| e.to_string())
            }
            (None, [Some(start), Some(end), Some(every)]) => {
                Window::new(start, end, every).map_err(|e| e.to_string())
            }
            _ => Err("neither a range nor a list".to_owned()),
        }
    }
}

/// A list of epochs as ours must be given: ascending, each once. Distiller takes any order.
fn in_order(value: &Value) -> Value {
    if !value.is_array() {
        return value.clone();
    }
    let mut list = counts(value);
    list.sort_unstable();
    list.dedup();
    list.into()
}

#[test]
fn golden_agp_schedule() {
    run("agp_schedule.json", |case| {
        let Case { name, args, expect } = case;
        if !args.contains_key("initial_sparsity") {
            return false;
        }
        let (initial, last) = (
            number(args, "initial_sparsity"),
            number(args, "final_sparsity"),
        );
        if expect.contains_key("error_at_construction") {
            let error = Cubic::agp(initial, last).unwrap_err();
            assert_eq!(error, CurveError::NotRising { initial, last }, "{name}");
            return true;
        }
        let ramp = Cubic::agp(initial, last).unwrap_or_else(|e| panic!("{name}: {e}"));
        let (start, end) = (count(args, "starting_epoch"), count(args, "ending_epoch"));
        let window = Window::new(start, end, count(args, "frequency"));
        let window = window.unwrap_or_else(|e| panic!("{name}: {e}"));
        if expect.contains_key("error_at_step") {
            // Distiller divides by a span of zero. Ours fires once, and goes all the way.
            assert_eq!(window.count(), 1, "{name}");
            assert_eq!(
                ramp.value_at(window.progress(window.first())),
                last,
                "{name}"
            );
            return true;
        }
        let theirs = numbers(&expect["target_sparsity"]);
        assert_eq!(
            window.firings().collect::<Vec<_>>(),
            counts(&expect["epochs"]),
            "{name}"
        );
        assert_eq!(theirs.len() as u64, window.count(), "{name}");
        for (epoch, theirs) in window.firings().zip(theirs) {
            let ours = ramp.value_at(window.progress(epoch));
            assert_close(case, format_args!("epoch {epoch}"), ours, theirs);
        }
        true
    });
}

/// The schedule of a case, and the position from which ours differs on purpose.
type Schedule = (Box<dyn LearningRate>, f64);

fn schedule(args: &Args) -> Option<Result<Schedule, RateError>> {
    if args.contains_key("T_max") {
        let t_max = number(args, "T_max");
        let rate = rate::Polynomial::new(t_max, number(args, "power"));
        return Some(rate.map(|rate| (Box::new(rate) as Box<dyn LearningRate>, t_max)));
    }
    if args.contains_key("milestones") && args.contains_key("gammas") {
        let milestones = counts(&args["milestones"]);
        let rate = rate::MultiStepMultiGamma::new(milestones, numbers(&args["gammas"]));
        return Some(rate.map(|rate| (Box::new(rate) as Box<dyn LearningRate>, f64::INFINITY)));
    }
    None
}

/// One base rate or several, as the recorded rates list them.
fn base_rates(args: &Args) -> Vec<f64> {
    args.get("base_lrs")
        .map_or_else(|| vec![number(args, "base_lr")], numbers)
}

#[test]
fn golden_baidu_rnn_thresholds() {
    run("baidu_rnn_pruner.json", |case| {
        let Case { name, args, expect } = case;
        let number = |key: &str| args[key].as_f64().expect("a number");
        let whole = |key: &str| args[key].as_u64().expect("a whole number");
        let (start, end) = (whole("starting_epoch"), whole("ending_epoch"));
        let window = Window::new(start, end, whole("frequency")).expect("a window");
        let (q, slope) = (number("q"), number("ramp_slope_mult"));
        let ramp = TwoSlopes::new(q, whole("ramp_epoch_offset"), slope, &window).expect("a ramp");
        let epochs = expect["epochs"].as_array().expect("epochs").iter();
        let thresholds = expect["threshold"].as_array().expect("thresholds").iter();
        for (epoch, threshold) in epochs.zip(thresholds) {
            let epoch = epoch.as_u64().expect("an epoch");
            let found = ramp.value_at(window.progress(epoch));
            let expected = threshold.as_f64().expect("a threshold");
            assert!(
                relative_eq!(found, expected, max_relative = 1e-12),
                "{name}, epoch {epoch}: {found}, expected {expected}"
            );
        }
        true
    });
}

#[test]
fn golden_lr_schedules() {
    run("lr_schedules.json", |case| {
        let Some(made) = schedule(&case.args) else {
            return false;
        };
        if case.expects_error() {
            assert!(made.is_err(), "{}: an error was expected", case.name);
            return true;
        }
        let (rate, differs_from) = made.unwrap_or_else(|e| panic!("{}: {e}", case.name));
        let theirs = case.expect["lr_during_epoch"]
            .as_array()
            .expect("a list of rates");
        assert!(!theirs.is_empty(), "{}: no rates", case.name);
        let window = case.args.contains_key("starting_epoch").then(|| {
            let (args, name) = (&case.args, &case.name);
            let (start, end) = (count(args, "starting_epoch"), count(args, "ending_epoch"));
            Window::new(start, end, count(args, "frequency"))
                .unwrap_or_else(|e| panic!("{name}: {e}"))
        });
        for (epoch, theirs) in theirs.iter().enumerate() {
            let position = position_in(window.as_ref(), epoch as u64);
            let theirs = theirs
                .as_f64()
                .map_or_else(|| numbers(theirs), |one| vec![one]);
            let bases = base_rates(&case.args);
            assert_eq!(theirs.len(), bases.len(), "{}", case.name);
            for (base, theirs) in bases.into_iter().zip(theirs) {
                let ours = base * rate.factor(position);
                if position <= differs_from {
                    assert_close(case, format_args!("epoch {epoch}"), ours, theirs);
                } else {
                    assert_eq!(ours, 0.0, "{}, epoch {epoch}", case.name);
                }
            }
        }
        true
    });
}

/// Where Distiller has a schedule stand during `epoch` when a policy with this window drives it: at
/// the end of every epoch that fires it is moved to the next epoch, otherwise it stands still.
fn position_in(window: Option<&Window>, epoch: u64) -> f64 {
    let Some(window) = window else {
        return epoch as f64;
    };
    let moved = window
        .firings()
        .take_while(|fired| *fired < epoch)
        .last()
        .map_or(0, |t| t + 1);
    if window.every() == Some(1) {
        let closed_form = if epoch <= window.first() {
            0
        } else {
            epoch.min(window.end())
        };
        assert_eq!(moved, closed_form);
    }
    moved as f64
}

#[test]
fn golden_policy_windows() {
    run("policy_trace.json", |case| {
        let Some(policies) = case.args.get("policies").and_then(Value::as_array) else {
            let about_a_window = ["epochs", "starting_epoch", "ending_epoch", "frequency"]
                .iter()
                .any(|key| case.args.contains_key(*key));
            if case.expects_error() && about_a_window {
                let window = window(&case.args);
                assert!(window.is_err(), "{}: made {window:?}", case.name);
            }
            return case.expects_error() && about_a_window;
        };
        let epochs = count(&case.args, "epochs");
        for policy in policies {
            let name = policy[0].as_str().expect("a policy's name");
            let args = policy[1].as_object().expect("a policy's arguments");
            let window = window(args).unwrap_or_else(|e| panic!("{}, {name}: {e}", case.name));
            check_policy(case, name, &window, epochs);
        }
        true
    });
}

fn check_policy(case: &Case, name: &str, window: &Window, epochs: u64) {
    let metadata = &case.expect["metadata"][name];
    assert_eq!(
        Some(window.first()),
        metadata["starting_epoch"].as_u64(),
        "{}, {name}",
        case.name
    );
    assert_eq!(
        Some(window.end()),
        metadata["ending_epoch"].as_u64(),
        "{}, {name}",
        case.name
    );
    assert_eq!(
        window.every(),
        metadata["frequency"].as_u64(),
        "{}, {name}",
        case.name
    );

    let theirs = counts(&case.expect["epochs_of_policy"][name]);
    let listed: Vec<u64> = window.firings().take_while(|t| *t < epochs).collect();
    let asked: Vec<u64> = (0..epochs).filter(|t| window.fires(*t)).collect();
    assert_eq!(listed, theirs, "{}, {name}", case.name);
    assert_eq!(asked, theirs, "{}, {name}", case.name);
}
