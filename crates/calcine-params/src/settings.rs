use std::collections::HashMap;
use std::str::FromStr;

use burn::module::{Module, ParamId};

/// What the layers of a module were configured with, as far as their `Debug` text tells.
///
/// Burn shows a visitor parameters and nothing else: not the groups of a convolution, not a norm's
/// epsilon. But every module is `Debug`, Burn's layers derive it, and a parameter prints its id:
/// `Conv2d { weight: Param: 2h0… - …, groups: 4, … }`. Tensors print no values, so nothing is read. A layer
/// that does not derive `Debug` tells nothing.
pub(crate) struct Settings {
    text: String,
    /// Where in the text each parameter's id ends.
    after: HashMap<String, usize>,
}

/// How Burn introduces a parameter.
const PARAMETER: &str = "Param: ";

impl Settings {
    pub(crate) fn of<M: Module>(module: &M) -> Self {
        let text = format!("{module:?}");
        let mut after = HashMap::new();
        for (at, _) in text.match_indices(PARAMETER) {
            let start = at + PARAMETER.len();
            let length = text[start..].find(' ').unwrap_or(text.len() - start);
            let end = start + length;
            after.entry(text[start..end].to_owned()).or_insert(end);
        }
        Self { text, after }
    }

    /// The value of `field` in the layer that owns this parameter, where the field comes later than the
    /// parameter.
    pub(crate) fn get<T: FromStr>(&self, owner_of: ParamId, field: &str) -> Option<T> {
        let text = &self.text[*self.after.get(&owner_of.to_string())?..];
        let value = |written: &str| {
            written
                .trim()
                .strip_prefix(field)?
                .strip_prefix(": ")?
                .parse()
                .ok()
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::nn::{BatchNorm, BatchNormConfig};

    fn norm(features: usize) -> BatchNorm {
        BatchNormConfig::new(features)
            .with_epsilon(0.25)
            .init(&calcine_testkit::device())
    }

    #[test]
    fn a_field_is_found_by_a_parameter_of_its_layer() {
        let norms = vec![norm(2), norm(2)];
        let settings = Settings::of(&norms);
        assert_eq!(settings.get(norms[1].gamma.id, "epsilon"), Some(0.25));
        assert_eq!(settings.get::<f64>(norms[1].gamma.id, "eps"), None);
        assert_eq!(settings.get::<f64>(ParamId::new(), "epsilon"), None);
    }

    /// Else an inventory would read the running statistics from the device.
    #[test]
    fn tensors_print_no_values() {
        let (small, large) = (Settings::of(&norm(1)), Settings::of(&norm(10_000)));
        assert!(large.text.len() < small.text.len() + 20, "{}", large.text);
    }
}
