use std::fmt;
use std::str::FromStr;

/// The granularity defines what a unit of a weight is: the part that is kept or dropped as a whole.
///
/// | granularity | layers | unit | number of units | members |
/// |---|---|---|---|---|
/// | `Element` | any weight | one scalar, in stored order | all | 1 |
/// | `Group` | convolution, linear | one scalar, inputs side by side | all | 1 |
/// | `Kernel` | convolution | `W[o,i,:,:]` | O·I/G | K |
/// | `Filter` | convolution | `W[o,:,:,:]` | O | I/G·K |
/// | `Channel` | convolution | `W[:,i,:,:]` | I | O/G·K |
/// | `FcOutput` | linear | the weights into output `o` | O | I |
/// | `FcInput` | linear | the weights out of input `i` | I | O |
/// | `Block` | convolution, linear | `rep × depth × h × w` | … | product |
/// | `Layer` | any weight | the whole tensor | 1 | all |
///
/// `K` is the product of the kernel's axes, `G` the groups of the convolution (1 for most; see
/// [`Fold::grouped`](crate::Fold::grouped)).
///
/// An embedding of shape `[entries, features]` is a linear layer whose inputs are one-hot: `FcInput` is
/// an entry (one row of the table), `FcOutput` a feature.
///
/// # Names
///
/// `element`, `kernel`, `filter`, `channel`, `fc_output`, `fc_input`, `layer`, their plurals, `group(M)`
/// and `block(RxDxHxW)`. Of Distiller's words, `Element`, `2D` (kernel), `3D` and `Filters` (filter),
/// `Channels` and `4D` (layer) are read too. `Rows` and `Cols` are not: a linear weight's rows are its
/// inputs in Distiller's rankers and its outputs in its regularizers and thresholds. Neither is `Channels`
/// of a linear weight, which ranks inputs: write `fc_input`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Granularity {
    /// One scalar.
    Element,
    /// One two-dimensional kernel of a convolution.
    Kernel,
    /// One filter (output) of a convolution.
    Filter,
    /// One input channel of a convolution.
    Channel,
    /// One output of a linear layer.
    FcOutput,
    /// One input of a linear layer.
    FcInput,
    /// `rep` filters × `depth` channels × `height` × `width` of the kernel.
    Block {
        /// Consecutive outputs in a block.
        rep: usize,
        /// Consecutive inputs in a block.
        depth: usize,
        /// Rows of the kernel in a block.
        height: usize,
        /// Columns of the kernel in a block.
        width: usize,
    },
    /// One scalar, for N:M sparsity: units are numbered so that `of` = M consecutive units are M consecutive inputs of one output at
    /// one position of the kernel.
    ///
    /// Units are numbered along outputs, then positions of the kernel, then inputs.
    Group {
        /// The number of consecutive inputs in a group; it must divide the number of inputs of a filter.
        of: usize,
    },
    /// The whole tensor.
    Layer,
}

impl Granularity {
    /// The names of the granularities without numbers, as they are displayed.
    pub const NAMES: [&'static str; 7] = [
        "element",
        "kernel",
        "filter",
        "channel",
        "fc_output",
        "fc_input",
        "layer",
    ];
}

impl fmt::Display for Granularity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Element => f.write_str("element"),
            Self::Kernel => f.write_str("kernel"),
            Self::Filter => f.write_str("filter"),
            Self::Channel => f.write_str("channel"),
            Self::FcOutput => f.write_str("fc_output"),
            Self::FcInput => f.write_str("fc_input"),
            Self::Layer => f.write_str("layer"),
            Self::Block {
                rep,
                depth,
                height,
                width,
            } => {
                write!(f, "block({rep}x{depth}x{height}x{width})")
            }
            Self::Group { of } => write!(f, "group({of})"),
        }
    }
}

/// The name of a granularity is unknown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown granularity `{found}`: expected {}, group(M) or block(RxDxHxW){}",
    Granularity::NAMES.join(", "),
    hint(found)
)]
pub struct UnknownGranularity {
    found: String,
}

/// A hint for names that mean several granularities in Distiller.
fn hint(found: &str) -> &'static str {
    match found {
        "Rows" | "rows" => {
            "; Distiller's rows of a linear weight are fc_input in rankers and fc_output in regularizers"
        }
        "Cols" | "cols" | "Columns" | "columns" => {
            "; Distiller's columns of a linear weight are fc_input"
        }
        "Blocks" | "blocks" | "block" => "; a block needs its four sides, as in block(1x8x1x1)",
        _ => "",
    }
}

impl FromStr for Granularity {
    type Err = UnknownGranularity;

    fn from_str(word: &str) -> Result<Self, UnknownGranularity> {
        Ok(match word {
            "element" | "elements" | "Element" => Self::Element,
            "kernel" | "kernels" | "2D" => Self::Kernel,
            "filter" | "filters" | "Filters" | "3D" => Self::Filter,
            "channel" | "channels" | "Channels" => Self::Channel,
            "fc_output" | "fc_outputs" => Self::FcOutput,
            "fc_input" | "fc_inputs" => Self::FcInput,
            "layer" | "layers" | "4D" => Self::Layer,
            _ => group(word)
                .or_else(|| block(word))
                .ok_or_else(|| UnknownGranularity {
                    found: word.to_owned(),
                })?,
        })
    }
}

/// Reads `group(4)`.
fn group(word: &str) -> Option<Granularity> {
    let of = word.strip_prefix("group(")?.strip_suffix(')')?;
    let of = of.trim().parse().ok()?;
    Some(Granularity::Group { of })
}

/// Reads `block(1x8x1x1)`.
fn block(word: &str) -> Option<Granularity> {
    let sides = word.strip_prefix("block(")?.strip_suffix(')')?;
    let sides = sides
        .split('x')
        .map(|n| n.trim().parse().ok())
        .collect::<Option<Vec<usize>>>()?;
    let [rep, depth, height, width] = sides.try_into().ok()?;
    Some(Granularity::Block {
        rep,
        depth,
        height,
        width,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_granularity_reads_back_what_it_displays() {
        let block = Granularity::Block {
            rep: 2,
            depth: 4,
            height: 1,
            width: 3,
        };
        let named = Granularity::NAMES.iter().map(|name| name.parse().unwrap());
        for granularity in named.chain([block, Granularity::Group { of: 4 }]) {
            assert_eq!(granularity.to_string().parse(), Ok(granularity));
        }
        assert_eq!("group(4)".parse(), Ok(Granularity::Group { of: 4 }));
    }

    #[test]
    fn plurals_and_distillers_words_are_read() {
        for name in Granularity::NAMES {
            assert_eq!(
                format!("{name}s").parse::<Granularity>(),
                name.parse(),
                "the plural of {name}"
            );
        }
        let distiller = [
            ("Element", Granularity::Element),
            ("2D", Granularity::Kernel),
            ("3D", Granularity::Filter),
            ("Filters", Granularity::Filter),
            ("Channels", Granularity::Channel),
            ("4D", Granularity::Layer),
        ];
        for (word, granularity) in distiller {
            assert_eq!(word.parse(), Ok(granularity), "{word}");
        }
    }

    #[test]
    fn an_unknown_word_lists_the_valid_ones() {
        let error = "fliter".parse::<Granularity>().unwrap_err().to_string();
        for part in ["`fliter`", "fc_input", "group(M)", "block(RxDxHxW)"] {
            assert!(error.contains(part), "{error}");
        }
        for word in [
            "block(2x2)",
            "group(x)",
            "group",
            "group()",
            "group(-1)",
            "",
        ] {
            assert!(word.parse::<Granularity>().is_err(), "{word}");
        }
    }

    #[test]
    fn a_word_with_two_meanings_says_what_to_write() {
        let said = |word: &str| word.parse::<Granularity>().unwrap_err().to_string();
        assert!(said("Rows").ends_with("fc_input in rankers and fc_output in regularizers"));
        assert!(said("Cols").ends_with("are fc_input"));
        assert!(said("Blocks").ends_with("as in block(1x8x1x1)"));
    }
}
