//! Errors of windows, curves, learning-rate schedules and their saved states.

use thiserror::Error;

/// Why a [`Window`](crate::Window) cannot be created.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WindowError {
    /// The start is not below the end, so the window is empty.
    #[error(
        "window {start}..{end} is empty: the start ({start}) is inclusive and the end ({end}) \
         exclusive, so the end must be at least {least}",
        least = .start.saturating_add(1)
    )]
    Empty {
        /// The first moment.
        start: u64,
        /// The end, which is exclusive.
        end: u64,
    },
    /// The distance between firings is zero or longer than the window.
    #[error(
        "window {start}..{end} cannot fire every {every}: valid are 1 to {most}",
        most = .end - .start
    )]
    Every {
        /// The first moment of the window.
        start: u64,
        /// The end of the window, which is exclusive.
        end: u64,
        /// The requested distance.
        every: u64,
    },
    /// An explicit list is empty.
    #[error("the list of moments is empty: give at least one")]
    NoMoments,
    /// An explicit list is not strictly ascending.
    #[error(
        "moment {found} at index {index} of the list follows {previous}: moments must ascend, each \
         at most once"
    )]
    NotAscending {
        /// The index of the wrong moment, from 0.
        index: usize,
        /// The moment before it.
        previous: u64,
        /// The wrong moment.
        found: u64,
    },
    /// A deserialized window is neither a range nor a list, or both.
    #[error("a window is either `start`, `end` and `every`, or a list `at`; found {found}")]
    Form {
        /// The keys that are present.
        found: String,
    },
}

/// Why a [`Curve`](crate::Curve) cannot be created.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum CurveError {
    /// A pruning ramp does not rise within `[0, 1]`.
    #[error(
        "a ramp from {initial} to {last} does not rise within [0, 1]: valid are 0 <= initial < last \
         <= 1"
    )]
    NotRising {
        /// Value at progress 0.
        initial: f64,
        /// Value at progress 1.
        last: f64,
    },
    /// The window of a ramp with two slopes is a list, or ends before the bend.
    #[error(
        "the ramp bends {offset} moments after its start, but its window is a list or only {length} \
         long: valid is a range of at least {offset}"
    )]
    NoBend {
        /// The number of moments from the start to the bend.
        offset: u64,
        /// The number of moments from the start to the end.
        length: u64,
    },
    /// A jump is outside of `(0, 1]`.
    #[error(
        "jump {index} is at progress {at}: valid are numbers above 0 and up to 1 (the value from 0 \
         on is the initial one)"
    )]
    JumpOutside {
        /// The index of the wrong jump, from 0.
        index: usize,
        /// The progress of the jump.
        at: f64,
    },
    /// The jumps are not strictly ascending.
    #[error("jump {index} at progress {found} follows one at {previous}: jumps must ascend")]
    NotAscending {
        /// The index of the wrong jump, from 0.
        index: usize,
        /// The progress of the jump before it.
        previous: f64,
        /// The progress of the wrong jump.
        found: f64,
    },
}

/// Why a [`LearningRate`](crate::LearningRate) schedule cannot be created.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum RateError {
    /// A setting has an invalid value.
    #[error("{schedule} schedule: {setting} is {value}, but must be {valid}")]
    Setting {
        /// The name of the schedule in a recipe: `step`, `cosine`.
        schedule: &'static str,
        /// The name of the setting.
        setting: &'static str,
        /// Its value.
        value: f64,
        /// The valid numbers, in words.
        valid: &'static str,
    },
    /// A milestone is below the one before it.
    #[error(
        "{schedule} schedule: milestone {found} at index {index} follows {previous}: milestones must \
         ascend"
    )]
    NotAscending {
        /// The name of the schedule in a recipe.
        schedule: &'static str,
        /// The index of the wrong milestone, from 0.
        index: usize,
        /// The milestone before it.
        previous: u64,
        /// The wrong milestone.
        found: u64,
    },
    /// The numbers of gammas and milestones differ.
    #[error(
        "{schedule} schedule: {milestones} milestones but {gammas} gammas: each milestone needs \
         exactly one gamma"
    )]
    Lengths {
        /// The name of the schedule in a recipe.
        schedule: &'static str,
        /// The number of milestones.
        milestones: usize,
        /// The number of gammas.
        gammas: usize,
    },
}

/// Why a saved state does not belong to the schedule that should restore it.
///
/// The schedule is unchanged after this error.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum StateError {
    /// The state has a wrong number of values.
    #[error(
        "the saved state of the {schedule} schedule has {found} values where {expected} are valid; \
         was it saved by a schedule of the same kind?"
    )]
    Length {
        /// The schedule that should restore the state.
        schedule: &'static str,
        /// The valid numbers of values, in words.
        expected: &'static str,
        /// The number of values in the state.
        found: usize,
    },
    /// A value is one that the schedule cannot have saved.
    #[error(
        "value {index} of the saved state of the {schedule} schedule is {value}, but must be {valid}"
    )]
    Value {
        /// The schedule that should restore the state.
        schedule: &'static str,
        /// The index of the wrong value, from 0.
        index: usize,
        /// The value.
        value: f64,
        /// The valid numbers, in words.
        valid: &'static str,
    },
}
