use std::collections::HashMap;
use std::str::FromStr;

use burn::module::{Module, ParamId};

/// What Burn's layers in a module were configured with, as far as their derived `Debug` text proves it.
///
/// Burn shows a visitor parameters and nothing else: not the groups of a convolution, not a norm's
/// epsilon. But every module is `Debug`, Burn's layers derive it, and a parameter prints its id:
/// `Conv2d { weight: Param: 2h0… - …, groups: 4, … }`. Tensors print no values, so nothing is read.
///
/// Text is no API: a field is believed only where the parameter is printed as the first field of a struct of
/// the type that the visitor was told. Anything else, such as a module with a `Debug` of its own, tells
/// nothing, and so does a layer that is printed twice with different values.
pub(crate) struct Settings {
    text: String,
    /// Where in the text each parameter's id begins and ends, each time that it is printed.
    places: HashMap<String, Vec<(usize, usize)>>,
}

/// How Burn introduces a parameter.
const PARAMETER: &str = "Param: ";

/// A layer whose settings are asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owner<'a> {
    /// The type of the layer: `Conv2d`.
    pub(crate) layer: &'a str,
    /// The first field of that type, which is a parameter: `weight`.
    pub(crate) field: &'a str,
    /// The id of that parameter.
    pub(crate) id: ParamId,
}

impl Settings {
    pub(crate) fn of<M: Module>(module: &M) -> Self {
        let text = format!("{module:?}");
        let mut places: HashMap<String, Vec<(usize, usize)>> = HashMap::new();
        for (at, _) in text.match_indices(PARAMETER) {
            let start = at + PARAMETER.len();
            let length = text[start..].find(' ').unwrap_or(text.len() - start);
            let end = start + length;
            let id = text[start..end].to_owned();
            places.entry(id).or_default().push((at, end));
        }
        Self { text, places }
    }

    /// The value of a field of this layer; `None` where the text does not prove it.
    pub(crate) fn get<T: FromStr + PartialEq>(&self, owner: Owner<'_>, field: &str) -> Option<T> {
        let opening = format!("{} {{ {}: ", owner.layer, owner.field);
        let places = self.places.get(&owner.id.to_string())?;
        let told = places.iter().filter_map(|&(start, end)| {
            let before = self.text[..start].strip_suffix(&opening)?;
            // `MyConv2d { weight: ` ends like `Conv2d { weight: `.
            let whole = !before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
            whole.then(|| field_of(&self.text[end..], field)).flatten()
        });
        let told: Vec<T> = told.collect();
        let agree = told.windows(2).all(|two| two[0] == two[1]);
        told.into_iter().next().filter(|_| agree)
    }
}

/// The value of a field in the rest of a struct's text.
fn field_of<T: FromStr>(text: &str, field: &str) -> Option<T> {
    let value = |written: &str| {
        let value = written.trim().strip_prefix(field)?.strip_prefix(": ")?;
        value.parse().ok()
    };
    let mut depth = 0_usize;
    let mut start = 0;
    for (at, character) in text.char_indices() {
        match character {
            '{' | '[' | '(' => depth += 1,
            '}' | ']' | ')' if depth > 0 => depth -= 1,
            '}' | ']' | ')' => return value(&text[start..at]),
            ',' if depth == 0 => {
                if let Some(value) = value(&text[start..at]) {
                    return Some(value);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::module::Param;
    use burn::nn::{BatchNorm, BatchNormConfig};
    use burn::tensor::Tensor;

    fn norm(features: usize) -> BatchNorm {
        BatchNormConfig::new(features)
            .with_epsilon(0.25)
            .init(&calcine_testkit::device())
    }

    fn owner(id: ParamId) -> Owner<'static> {
        Owner {
            layer: "BatchNorm",
            field: "gamma",
            id,
        }
    }

    #[test]
    fn a_field_is_found_by_a_parameter_of_its_layer() {
        let norms = vec![norm(2), norm(2)];
        let settings = Settings::of(&norms);
        let first = owner(norms[1].gamma.id);
        assert_eq!(settings.get(first, "epsilon"), Some(0.25));
        assert_eq!(settings.get::<f64>(first, "eps"), None);
        assert_eq!(settings.get::<f64>(owner(ParamId::new()), "epsilon"), None);
    }

    /// A parameter that a module prints as it likes.
    #[derive(Module)]
    struct Own {
        gamma: Param<Tensor<1>>,
        #[module(skip)]
        how: String,
    }

    impl std::fmt::Debug for Own {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            let id = self.gamma.id.to_string();
            f.write_str(&self.how.replace("ID", &id))
        }
    }

    #[test]
    fn text_that_proves_nothing_tells_nothing() {
        let rows = [
            (
                "BatchNorm { gamma: Param: ID - float, epsilon: 0.5 }",
                Some(0.5),
            ),
            (
                "Some(BatchNorm { gamma: Param: ID - float, epsilon: 0.5 })",
                Some(0.5),
            ),
            ("Own { gamma: Param: ID - float, epsilon: 0.5 }", None),
            (
                "MyBatchNorm { gamma: Param: ID - float, epsilon: 0.5 }",
                None,
            ),
            ("BatchNorm { scale: Param: ID - float, epsilon: 0.5 }", None),
            ("Own { norm: Param: ID - float }, epsilon: 0.5", None),
            ("BatchNorm { gamma: Param: ID }, epsilon: 0.5", None),
            (
                "[Own(Param: ID - float), BatchNorm { gamma: Param: ID - float, epsilon: 0.5 }]",
                Some(0.5),
            ),
            (
                "[BatchNorm { gamma: Param: ID -, epsilon: 0.5 }, BatchNorm { gamma: Param: ID -, epsilon: 0.1 }]",
                None,
            ),
            ("Own", None),
        ];
        for (how, expected) in rows {
            let gamma = norm(2).gamma;
            let id = gamma.id;
            let how = how.to_owned();
            let settings = Settings::of(&Own { gamma, how });
            assert_eq!(
                settings.get(owner(id), "epsilon"),
                expected,
                "{}",
                settings.text
            );
        }
    }

    /// Else an inventory would read the running statistics from the device.
    #[test]
    fn tensors_print_no_values() {
        let (small, large) = (Settings::of(&norm(1)), Settings::of(&norm(10_000)));
        assert!(large.text.len() < small.text.len() + 20, "{}", large.text);
    }
}
