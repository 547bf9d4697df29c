//! Checks the element types of the operands and the result of an operation.

use super::Tensor;
use crate::graph::ElementKind;
use crate::op::Op;
use crate::properties::{Gives, Takes};

/// Checks that the operands and the output of an operation have valid element types.
pub(super) fn kinds(op: &Op, x: &[Tensor], out: ElementKind) -> Result<(), String> {
    let kinds = op.properties().kinds;
    let first = x.first().map_or(out, |x| x.kind);
    for (position, x) in x.iter().enumerate() {
        let takes = kinds.operands[position.min(kinds.operands.len() - 1)];
        let found = x.kind;
        match takes {
            Takes::AsFirst if found != first => {
                return Err(format!("operand {position} is {found:?}, not {first:?}"));
            }
            Takes::One(&[only]) if found != only => {
                return Err(format!("operand {position} is {found:?}, not {only:?}"));
            }
            Takes::One([]) => {
                return Err(format!(
                    "operand {position} is {found:?}, and it has no form with a number"
                ));
            }
            Takes::One(valid) if !valid.contains(&found) => {
                return Err(format!(
                    "operand {position} is {found:?}; valid are {valid:?}"
                ));
            }
            Takes::AsFirst | Takes::One(_) => {}
        }
    }
    let expected = match kinds.result {
        Gives::Only(expected) => expected,
        Gives::AsFirst => first,
        Gives::Converted if out == ElementKind::Bool && first != ElementKind::Bool => {
            return Err("numbers become booleans by a comparison".to_owned());
        }
        Gives::Converted | Gives::Any => out,
    };
    match out == expected {
        true => Ok(()),
        false => Err(format!("its output is {out:?}, not {expected:?}")),
    }
}
