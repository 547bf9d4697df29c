//! Distiller's words for groups.

use std::ops::Range;

use calcine_fold::Granularity;

use crate::fields::Fields;
use crate::node::At;
use crate::notes::Notes;
use calcine_names::suggest;

/// What a linear layer's words mean, which depends on who reads them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// A ranking pruner.
    Ranking,
    /// A regularizer, or a threshold of groups.
    Regularizing,
}

const WORDS: [&str; 11] = [
    "Element",
    "2D",
    "3D",
    "Filters",
    "4D",
    "Channels",
    "Rows",
    "Cols",
    "Blocks",
    "Rows+Cols",
    "Channels+4D",
];

/// The granularities that a word means together: one, but of the sums of regularizers.
pub(crate) fn granularities(
    word: &At<String>,
    reader: Reader,
    notes: &Notes,
) -> Option<Vec<Granularity>> {
    use Reader::{Ranking, Regularizing};
    let At { value, span } = word;
    Some(match (value.as_str(), reader) {
        ("3D" | "Filters", _) => vec![Granularity::Filter],
        ("Channels", Ranking) => {
            let text = "`Channels` of a linear weight ranked its inputs: that is `fc_input` here, \
                        and `channel` does not bind to one";
            notes.warn(span, text);
            vec![Granularity::Channel]
        }
        ("Channels", Regularizing) => vec![Granularity::Channel],
        ("Rows", Ranking) => {
            let text = "`Rows` of a ranking pruner are the inputs of a linear layer: `fc_input`";
            notes.warn(span, text);
            vec![Granularity::FcInput]
        }
        ("2D", Regularizing) => vec![Granularity::Kernel],
        ("4D", Regularizing) => vec![Granularity::Layer],
        ("Rows" | "Cols" | "Rows+Cols", Regularizing) => {
            let text = "`Rows` of a regularizer or threshold are the outputs of a linear layer, \
                        `fc_output`, and `Cols` its inputs, `fc_input`";
            notes.warn(span, text);
            match value.as_str() {
                "Rows" => vec![Granularity::FcOutput],
                "Cols" => vec![Granularity::FcInput],
                _ => vec![Granularity::FcOutput, Granularity::FcInput],
            }
        }
        ("Channels+4D" | "4D+Channels", Regularizing) => {
            let text = "`Channels+4D` failed in Distiller; here both are penalized";
            notes.warn(span, text);
            vec![Granularity::Channel, Granularity::Layer]
        }
        _ => {
            let known = WORDS.contains(&value.as_str());
            let message = match (known, reader) {
                (true, Ranking) => {
                    format!(
                        "`{value}` cannot be ranked; valid are 3D, Filters, Channels, Rows, Blocks"
                    )
                }
                (true, Regularizing) => format!(
                    "`{value}` is no group of a regularizer or threshold; valid are 2D, 3D, Filters, \
                     4D, Channels, Rows, Cols, Rows+Cols"
                ),
                (false, _) => format!("unknown group `{value}`; {}", suggest(value, WORDS)),
            };
            notes.problem(span, message);
            return None;
        }
    })
}

/// `Blocks` with `kwargs: {block_shape: [rep, depth, height, width]}`.
pub(crate) fn block(
    word: &Range<usize>,
    kwargs: Option<Fields<'_>>,
    notes: &Notes,
) -> Option<Granularity> {
    let shape = kwargs.and_then(|kwargs| {
        let shape = kwargs.counts("block_shape");
        kwargs.close();
        shape
    });
    let Some(shape) = shape else {
        let message = "`Blocks` needs `kwargs: {block_shape: [rep, depth, 1, 1]}`";
        notes.problem(word, message);
        return None;
    };
    let sides: Vec<usize> = shape.value.iter().map(|side| *side as usize).collect();
    let [rep, depth, height, width] = sides[..] else {
        notes.problem(
            &shape.span,
            "`block_shape` has four sides: [rep, depth, 1, 1]",
        );
        return None;
    };
    if sides.contains(&0) {
        notes.problem(&shape.span, "the sides of `block_shape` are 1 or more");
        return None;
    }
    if rep > 1 && depth > 1 {
        let text = "a block of several filters and several channels is one here; Distiller took as \
                    many kernels that follow each other in memory";
        notes.warn(&shape.span, text);
    }
    if height > 1 || width > 1 {
        let text = "blocks within a kernel failed in Distiller; here they are blocks";
        notes.warn(&shape.span, text);
    }
    Some(Granularity::Block {
        rep,
        depth,
        height,
        width,
    })
}
