use std::fmt;
use std::str::FromStr;

/// What one unit of a weight is: the smallest thing that is kept or dropped as a whole.
///
/// | grain | of | unit | units | members |
/// |---|---|---|---|---|
/// | `Element` | any weight | one scalar | all | 1 |
/// | `Kernel` | convolution | `W[o,i,:,:]` | O·I | K |
/// | `Filter` | convolution | `W[o,:,:,:]` | O | I·K |
/// | `Channel` | convolution | `W[:,i,:,:]` | I | O·K |
/// | `FcOutput` | linear | the weights into output `o` | O | I |
/// | `FcInput` | linear | the weights out of input `i` | I | O |
/// | `Block` | convolution, linear | `rep × depth × h × w` | … | product |
/// | `Layer` | any weight | the whole tensor | 1 | all |
///
/// `K` is the product of the kernel's axes. Distiller called these 2D (kernel), 3D (filter), 4D
/// (layer); its words *rows* and *columns* of a linear weight meant different axes in different
/// places, hence `fc_input` and `fc_output` here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Grain {
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
    /// The whole tensor.
    Layer,
}

impl Grain {
    /// The names that [`Grain::from_str`] reads, blocks apart.
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

impl fmt::Display for Grain {
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
        }
    }
}

/// A word that names no grain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is no grain; valid are {}, block(RxDxHxW)", Grain::NAMES.join(", "))]
pub struct UnknownGrain {
    found: String,
}

impl FromStr for Grain {
    type Err = UnknownGrain;

    fn from_str(word: &str) -> Result<Self, UnknownGrain> {
        Ok(match word {
            "element" => Self::Element,
            "kernel" => Self::Kernel,
            "filter" => Self::Filter,
            "channel" => Self::Channel,
            "fc_output" => Self::FcOutput,
            "fc_input" => Self::FcInput,
            "layer" => Self::Layer,
            _ => block(word).ok_or_else(|| UnknownGrain {
                found: word.to_owned(),
            })?,
        })
    }
}

/// Reads `block(1x8x1x1)`.
fn block(word: &str) -> Option<Grain> {
    let sides = word.strip_prefix("block(")?.strip_suffix(')')?;
    let sides = sides
        .split('x')
        .map(|n| n.trim().parse().ok())
        .collect::<Option<Vec<usize>>>()?;
    let [rep, depth, height, width] = sides.try_into().ok()?;
    Some(Grain::Block {
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
    fn every_grain_reads_back_what_it_displays() {
        let block = Grain::Block {
            rep: 2,
            depth: 4,
            height: 1,
            width: 3,
        };
        let named = Grain::NAMES.iter().map(|name| name.parse().unwrap());
        for grain in named.chain([block]) {
            assert_eq!(grain.to_string().parse(), Ok(grain));
        }
    }

    #[test]
    fn an_unknown_word_lists_the_valid_ones() {
        let error = "rows".parse::<Grain>().unwrap_err().to_string();
        assert!(
            error.contains("`rows`") && error.contains("fc_input"),
            "{error}"
        );
        assert!("block(2x2)".parse::<Grain>().is_err());
    }
}
