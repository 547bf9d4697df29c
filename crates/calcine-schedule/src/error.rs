//! What can be wrong with a window, a curve, a learning-rate schedule or its saved state.

use thiserror::Error;

/// Why a [`Window`](crate::Window) cannot be made.
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
        /// The first moment asked for.
        start: u64,
        /// The moment the window was to end before.
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
        /// The moment the window ends before.
        end: u64,
        /// The distance asked for.
        every: u64,
    },
    /// An explicit list without moments.
    #[error("the list of moments is empty: give at least one")]
    NoMoments,
    /// An explicit list that does not ascend strictly.
    #[error(
        "moment {found} at index {index} of the list follows {previous}: moments must ascend, each \
         at most once"
    )]
    NotAscending {
        /// Index of the offending moment, from 0.
        index: usize,
        /// The moment before it.
        previous: u64,
        /// The offending moment.
        found: u64,
    },
    /// A window as read from data that is neither a range nor a list, or both.
    #[error("a window is either `start`, `end` and `every`, or a list `at`; found {found}")]
    Form {
        /// The keys that were found.
        found: String,
    },
}

/// Why a [`Curve`](crate::Curve) cannot be made.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum CurveError {
    /// A pruning ramp that does not rise within `[0, 1]`.
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
    /// A window without a bend: a list, or one that ends before it.
    #[error(
        "the ramp bends {offset} moments after its start, but its window is a list or only {length} \
         long: valid is a range of at least {offset}"
    )]
    NoBend {
        /// Moments from the start to the bend.
        offset: u64,
        /// Moments from the start to the end.
        length: u64,
    },
    /// A jump outside `(0, 1]`.
    #[error(
        "jump {index} is at progress {at}: valid are numbers above 0 and up to 1 (the value from 0 \
         on is the initial one)"
    )]
    JumpOutside {
        /// Index of the offending jump, from 0.
        index: usize,
        /// Its progress.
        at: f64,
    },
    /// Jumps that do not ascend strictly.
    #[error("jump {index} at progress {found} follows one at {previous}: jumps must ascend")]
    NotAscending {
        /// Index of the offending jump, from 0.
        index: usize,
        /// Progress of the jump before it.
        previous: f64,
        /// Progress of the offending jump.
        found: f64,
    },
}

/// Why a [`LearningRate`](crate::LearningRate) schedule cannot be made.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum RateError {
    /// A setting outside its valid numbers.
    #[error("{schedule} schedule: {setting} is {value}, but must be {valid}")]
    Setting {
        /// The schedule, as in a recipe: `step`, `cosine`.
        schedule: &'static str,
        /// The name of the setting.
        setting: &'static str,
        /// Its value.
        value: f64,
        /// The valid numbers, in words.
        valid: &'static str,
    },
    /// A milestone below the one before it.
    #[error(
        "{schedule} schedule: milestone {found} at index {index} follows {previous}: milestones must \
         ascend"
    )]
    NotAscending {
        /// The schedule, as in a recipe.
        schedule: &'static str,
        /// Index of the offending milestone, from 0.
        index: usize,
        /// The milestone before it.
        previous: u64,
        /// The offending milestone.
        found: u64,
    },
    /// As many gammas as milestones are needed.
    #[error(
        "{schedule} schedule: {milestones} milestones but {gammas} gammas: each milestone needs \
         exactly one gamma"
    )]
    Lengths {
        /// The schedule, as in a recipe.
        schedule: &'static str,
        /// Number of milestones.
        milestones: usize,
        /// Number of gammas.
        gammas: usize,
    },
}

/// Why a saved state does not fit the schedule it is restored into.
///
/// The schedule is left as it was.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum StateError {
    /// The state has the wrong number of values.
    #[error(
        "the saved state of the {schedule} schedule has {found} values where {expected} are valid; \
         was it saved by a schedule of the same kind?"
    )]
    Length {
        /// The schedule that was to be restored.
        schedule: &'static str,
        /// The valid numbers of values, in words.
        expected: &'static str,
        /// The number found.
        found: usize,
    },
    /// A value that the schedule cannot have saved.
    #[error(
        "value {index} of the saved state of the {schedule} schedule is {value}, but must be {valid}"
    )]
    Value {
        /// The schedule that was to be restored.
        schedule: &'static str,
        /// Index of the offending value, from 0.
        index: usize,
        /// The value.
        value: f64,
        /// The valid numbers, in words.
        valid: &'static str,
    },
}
