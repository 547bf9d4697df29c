//! Windows, clocks and curves as text, with the feature `serde`.

use std::fmt::Debug;

use calcine_schedule::{Clock, Constant, Cosine, Cubic, Exponential, Linear, Steps, Window};
use serde_json::{from_str, to_string};

fn check<T>(value: &T, text: &str)
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + Debug,
{
    assert_eq!(to_string(value).expect("plain data is written"), text);
    assert_eq!(
        &from_str::<T>(text).expect("what was written is read"),
        value
    );
}

fn refused<T: serde::de::DeserializeOwned + Debug>(text: &str, because: &str) {
    let message = from_str::<T>(text)
        .expect_err("is to be refused")
        .to_string();
    assert!(message.contains(because), "{text}: {message}");
}

#[test]
fn plain_data_survives_the_round_trip() {
    let (initial, last) = (0.05, 0.7);
    check(
        &Window::new(1, 9, 2).unwrap(),
        r#"{"start":1,"end":9,"every":2}"#,
    );
    check(&Window::list(vec![1, 4]).unwrap(), r#"{"at":[1,4]}"#);
    check(
        &Clock::at_global_step(10, 23),
        r#"{"epoch":2,"step":3,"steps_per_epoch":10}"#,
    );
    check(&Constant(0.5), "0.5");
    check(&Linear { initial, last }, r#"{"initial":0.05,"last":0.7}"#);
    check(&Cubic { initial, last }, r#"{"initial":0.05,"last":0.7}"#);
    check(&Cosine { initial, last }, r#"{"initial":0.05,"last":0.7}"#);
    check(
        &Exponential { initial, last },
        r#"{"initial":0.05,"last":0.7}"#,
    );
    let steps = Steps::new(0.1, [(0.5, 0.3)]).unwrap();
    check(&steps, r#"{"initial":0.1,"jumps":[[0.5,0.3]]}"#);
}

#[test]
fn what_a_constructor_refuses_is_not_read_either() {
    refused::<Window>(r#"{"start":3,"end":3,"every":1}"#, "must be at least 4");
    refused::<Window>(r#"{"at":[]}"#, "list of moments is empty");
    refused::<Window>(
        r#"{"at":[1],"start":0,"end":3}"#,
        "found `start`, `end`, `at`",
    );
    refused::<Window>(r#"{"start":0}"#, "found `start`");
    refused::<Window>("{}", "found none of them");
    refused::<Window>(
        r#"{"start":-1,"end":3,"every":1}"#,
        "invalid value: integer `-1`",
    );
    refused::<Window>(r#"{"start":0,"stop":3,"every":1}"#, "unknown field `stop`");
    refused::<Steps>(
        r#"{"initial":0.1,"jumps":[[1.5,0.3]]}"#,
        "jump 0 is at progress 1.5",
    );
    refused::<Cubic>(r#"{"initial":0.1,"final":0.3}"#, "unknown field `final`");
}
