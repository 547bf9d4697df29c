//! Numbers in files: JSON cannot represent infinity, but graphs contain it.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Number(f64),
    Word(Word),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Infinity,
    MinusInfinity,
    NotANumber,
}

pub(crate) fn serialize<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    let written = match *number {
        f64::INFINITY => Written::Word(Word::Infinity),
        f64::NEG_INFINITY => Written::Word(Word::MinusInfinity),
        number if number.is_nan() => Written::Word(Word::NotANumber),
        number => Written::Number(number),
    };
    written.serialize(serializer)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(match Written::deserialize(deserializer)? {
        Written::Number(number) => number,
        Written::Word(Word::Infinity) => f64::INFINITY,
        Written::Word(Word::MinusInfinity) => f64::NEG_INFINITY,
        Written::Word(Word::NotANumber) => f64::NAN,
    })
}
