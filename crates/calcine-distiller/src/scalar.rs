//! Plain scalars as PyYAML reads them: YAML 1.1, which Distiller's schedules were written for.

use crate::node::{Node, Value};
use crate::notes::Notes;

/// Gives each plain scalar its meaning in YAML 1.1, and says where another one may have been meant.
pub(crate) fn reread(node: &mut Node, yaml: &str, notes: &Notes) {
    match &mut node.value {
        Value::List(list) => list.iter_mut().for_each(|item| reread(item, yaml, notes)),
        Value::Map(map) => map
            .iter_mut()
            .for_each(|(_, value)| reread(value, yaml, notes)),
        found => {
            let raw = yaml.get(node.span.clone()).unwrap_or_default().trim();
            // Quoted text, aliases, anchors, tags and blocks are what the parser says.
            if raw.is_empty() || raw.starts_with(['"', '\'', '*', '&', '!', '|', '>']) {
                return;
            }
            let meant = resolve(raw);
            let warning = match (&*found, &meant) {
                (Value::Whole(a), Value::Whole(b)) if a == b => return,
                (Value::Number(a), Value::Number(b)) if a == b || a.is_nan() => return,
                (Value::Flag(a), Value::Flag(b)) if a == b => return,
                (Value::Nothing, Value::Nothing) => return,
                (Value::Whole(_) | Value::Number(_), Value::Text(_)) => {
                    let text = format!(
                        "`{raw}` was text for Distiller, whose YAML 1.1 wants numbers as `1.0e-3` and octal \
                         ones with digits to 7; here it is {}",
                        found.describe()
                    );
                    notes.warn(&node.span, text);
                    return;
                }
                (_, Value::Whole(_) | Value::Number(_)) => Some(format!(
                    "`{raw}` is {} in YAML 1.1, as Distiller read it",
                    meant.describe()
                )),
                (Value::Flag(_), Value::Text(_)) | (Value::Text(_), Value::Flag(_)) => None,
                _ => return,
            };
            if let Some(warning) = warning {
                notes.warn(&node.span, warning);
            }
            *found = meant;
        }
    }
}

/// What a plain scalar is in YAML 1.1, by the rules of PyYAML's resolver.
fn resolve(text: &str) -> Value {
    const TRUE: [&str; 9] = [
        "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON",
    ];
    const FALSE: [&str; 9] = [
        "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF",
    ];
    if ["~", "null", "Null", "NULL", ""].contains(&text) {
        return Value::Nothing;
    }
    if TRUE.contains(&text) || FALSE.contains(&text) {
        return Value::Flag(TRUE.contains(&text));
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let negative = text.starts_with('-');
    let number = whole(unsigned).map(|whole| match i64::try_from(whole) {
        Ok(whole) => Value::Whole(if negative { -whole } else { whole }),
        Err(_) => Value::Number(if negative {
            -(whole as f64)
        } else {
            whole as f64
        }),
    });
    let real = || {
        let real = float(unsigned)?;
        // A number that begins with its point has no sign.
        if unsigned.len() < text.len() && unsigned.starts_with('.') && !real.is_infinite() {
            return None;
        }
        Some(Value::Number(if negative { -real } else { real }))
    };
    number
        .or_else(real)
        .unwrap_or_else(|| Value::Text(text.to_owned()))
}

/// `10`, `1_000`, octal `010`, `0x1f`, `0b101`, sexagesimal `1:30`.
fn whole(text: &str) -> Option<u64> {
    let digits = |text: &str, radix: u32| {
        let plain: String = text.chars().filter(|c| *c != '_').collect();
        let all = !plain.is_empty() && plain.chars().all(|c| c.is_digit(radix));
        all.then(|| u64::from_str_radix(&plain, radix).ok())?
    };
    if let Some(text) = text.strip_prefix("0x") {
        return digits(text, 16);
    }
    if let Some(text) = text.strip_prefix("0b") {
        return digits(text, 2);
    }
    if let Some((first, rest)) = text.split_once(':') {
        return sexagesimal(
            digits(first, 10).filter(|_| !first.starts_with(['0', '_']))?,
            rest,
        );
    }
    match text.strip_prefix('0') {
        Some("") => Some(0),
        Some(octal) => digits(octal, 8),
        None => digits(text, 10).filter(|_| !text.starts_with('_')),
    }
}

/// The rest of `1:30`, to base 60.
fn sexagesimal(first: u64, rest: &str) -> Option<u64> {
    rest.split(':').try_fold(first, |sum, part| {
        let sound = (1..=2).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        let part = sound.then(|| part.parse::<u64>().ok())?;
        let part = part.filter(|part| *part < 60)?;
        sum.checked_mul(60)?.checked_add(part)
    })
}

/// `0.5`, `.5`, `5.`, `1.0e-3`, `.inf`, `.nan`: with a point, and a sign in the exponent.
fn float(text: &str) -> Option<f64> {
    match text {
        ".inf" | ".Inf" | ".INF" => return Some(f64::INFINITY),
        ".nan" | ".NaN" | ".NAN" => return Some(f64::NAN),
        _ => {}
    }
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let (before, after) = mantissa.split_once('.')?;
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    let begins = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    let sound =
        digits(before) && digits(after) && (begins(before) || before.is_empty() && begins(after));
    let signed = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['-', '+']);
        digits.is_some_and(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit()))
    });
    if !(sound && signed) {
        return None;
    }
    let plain: String = text.chars().filter(|c| *c != '_').collect();
    plain.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_are_what_pyyaml_makes_of_them() {
        // PyYAML 6.0.3, `yaml.safe_load`.
        let cases = [
            ("yes", "true"),
            ("On", "true"),
            ("OFF", "false"),
            ("y", "the text \"y\""),
            ("yEs", "the text \"yEs\""),
            ("~", "nothing"),
            ("010", "the number 8"),
            ("-010", "the number -8"),
            ("0", "the number 0"),
            ("08", "the text \"08\""),
            ("0o10", "the text \"0o10\""),
            ("0x0A", "the number 10"),
            ("0b101", "the number 5"),
            ("1_000", "the number 1000"),
            ("_1", "the text \"_1\""),
            ("1:30", "the number 90"),
            ("190:20:30", "the number 685230"),
            ("1:60", "the text \"1:60\""),
            ("1e-3", "the text \"1e-3\""),
            ("1.0e3", "the text \"1.0e3\""),
            ("1.0e-3", "the number 0.001"),
            ("1.e+2", "the number 100"),
            (".5", "the number 0.5"),
            ("5.", "the number 5"),
            ("+.5", "the text \"+.5\""),
            ("1_0.5", "the number 10.5"),
            (".", "the text \".\""),
            ("-.inf", "the number -inf"),
            ("1.5x", "the text \"1.5x\""),
            ("conv1.weight", "the text \"conv1.weight\""),
        ];
        for (text, expected) in cases {
            assert_eq!(resolve(text).describe(), expected, "{text}");
        }
    }
}
