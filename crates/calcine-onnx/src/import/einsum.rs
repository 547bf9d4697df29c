//! `Einsum`: sums of products in Einstein notation.

use calcine_graph::{ElementKind, Extent, Op, Reduction, ValueId};

use super::host::{Host, Number};
use super::importer::{Attributes, Importer, Operand, Reason, number};
use super::layers::{Read, needs};
use super::windows::fixed;

/// The letters of the axes of an operand. An ellipsis is replaced by one digit for each of its axes.
fn letters(term: &str, rank: usize) -> Result<Vec<char>, Reason> {
    let Some((before, after)) = term.split_once("...") else {
        return Ok(term.chars().collect());
    };
    let own = before.chars().count() + after.chars().count();
    let open = rank
        .checked_sub(own)
        .ok_or_else(|| format!("`{term}` for {rank} axes"))?;
    // Digits count from the last axis, so that ellipses of different lengths broadcast.
    let digits = (0..open)
        .rev()
        .map(|at| char::from_digit(u32::try_from(at).unwrap_or(0), 36).unwrap_or('?'));
    Ok(before.chars().chain(digits).chain(after.chars()).collect())
}

impl Importer {
    /// `Einsum` of one or two operands: reductions, and one matrix product.
    pub(crate) fn einsum(&mut self, a: &Attributes<'_, '_>, x: &[Option<Operand>]) -> Read {
        let equation: String = a
            .text("equation", "")?
            .chars()
            .filter(|c| !c.is_whitespace())
            .collect();
        let (terms, result) = match equation.split_once("->") {
            Some((terms, result)) => (terms, Some(result)),
            None => (&*equation, None),
        };
        let terms: Vec<&str> = terms.split(',').collect();
        if terms.len() != x.len() || !(1..=2).contains(&terms.len()) {
            return Err(format!(
                "`{equation}` of {} operands; valid are 1 and 2",
                x.len()
            ));
        }
        let mut operands = Vec::new();
        let mut lengths: Vec<(char, Extent)> = Vec::new();
        for (at, term) in terms.iter().enumerate() {
            let value = self.value(&needs(x, at)?)?;
            let shape = self.file_shape(value);
            let own = letters(term, shape.len())?;
            if own.len() != shape.len() {
                return Err(format!("`{term}` for {} axes", shape.len()));
            }
            for (&letter, &length) in own.iter().zip(&shape) {
                match lengths.iter_mut().find(|(known, _)| *known == letter) {
                    Some((_, known)) if *known == Extent::fixed(1) => *known = length,
                    Some((_, known)) if *known == length || length == Extent::fixed(1) => {}
                    Some((_, known)) => {
                        return Err(format!(
                            "lengths {known} and {length} of axis {letter} of `{equation}`"
                        ));
                    }
                    None => lengths.push((letter, length)),
                }
            }
            operands.push((value, own));
        }
        let rank = lengths.iter().filter(|(c, _)| c.is_ascii_digit()).count();
        let output = match result {
            Some(result) => {
                let own = result.replace("...", "").chars().count();
                letters(
                    result,
                    if result.contains("...") {
                        own + rank
                    } else {
                        own
                    },
                )?
            }
            None => {
                let count = |letter: char| {
                    let all = operands.iter().flat_map(|(_, own)| own);
                    all.filter(|own| **own == letter).count()
                };
                let mut digits: Vec<char> = lengths
                    .iter()
                    .map(|(letter, _)| *letter)
                    .filter(char::is_ascii_digit)
                    .collect();
                digits.sort_unstable();
                digits.reverse();
                let mut single: Vec<char> = lengths
                    .iter()
                    .map(|(letter, _)| *letter)
                    .filter(|&letter| !letter.is_ascii_digit() && count(letter) == 1)
                    .collect();
                single.sort_unstable();
                digits.into_iter().chain(single).collect()
            }
        };
        if let Some(letter) = output
            .iter()
            .find(|letter| !lengths.iter().any(|(known, _)| known == *letter))
        {
            return Err(format!(
                "`{equation}`, whose result has an axis {letter} of no operand"
            ));
        }
        let mut reduced = Vec::new();
        for at in 0..operands.len() {
            let (value, own) = operands[at].clone();
            let (value, mut own) = self.diagonal(value, own)?;
            let other = operands.get(1 - at.min(1)).filter(|_| operands.len() == 2);
            let mut value = value;
            // Axes that occur in one operand only are summed first.
            for axis in (0..own.len()).rev() {
                let letter = own[axis];
                let kept = output.contains(&letter)
                    || other.is_some_and(|(_, other)| other.contains(&letter));
                if !kept {
                    value = self.reduced(value, Reduction::Sum, axis);
                    own.remove(axis);
                    let mut shape = self.shape(value);
                    shape.remove(axis);
                    value = self.in_file_shape(value, shape);
                }
            }
            reduced.push((value, own));
        }
        let length = |letter: char| {
            lengths
                .iter()
                .find(|(known, _)| *known == letter)
                .map_or(Extent::fixed(1), |(_, length)| *length)
        };
        if let [(value, own)] = &reduced[..] {
            let axes: Option<Vec<usize>> = output
                .iter()
                .map(|letter| own.iter().position(|own| own == letter))
                .collect();
            let axes = axes.ok_or("a result with an axis of no operand")?;
            return Ok(match axes.is_empty() {
                true => *value,
                false => self.permuted(*value, &axes),
            });
        }
        let [(left, left_own), (right, right_own)] = &reduced[..] else {
            return Err("operands of another number than 1 and 2".to_owned());
        };
        let (left, right) = (*left, *right);
        // The axes of both operands and the result, those of the left operand, those of the right operand, and those
        // that are summed.
        let all: Vec<char> = lengths.iter().map(|(letter, _)| *letter).collect();
        let kind = |letter: &&char, l: bool, r: bool, out: bool| {
            left_own.contains(letter) == l
                && right_own.contains(letter) == r
                && output.contains(letter) == out
        };
        let batch: Vec<char> = all
            .iter()
            .filter(|c| kind(c, true, true, true))
            .copied()
            .collect();
        let rows: Vec<char> = all
            .iter()
            .filter(|c| kind(c, true, false, true))
            .copied()
            .collect();
        let columns: Vec<char> = all
            .iter()
            .filter(|c| kind(c, false, true, true))
            .copied()
            .collect();
        let summed: Vec<char> = all
            .iter()
            .filter(|c| kind(c, true, true, false))
            .copied()
            .collect();
        let product = |letters: &[char]| -> Result<Extent, Reason> {
            let mut each = letters.iter().map(|&letter| number(length(letter)));
            each.try_fold(Number::fixed(1), Number::times)
                .and_then(Number::extent)
                .ok_or_else(|| "more than one axis that grows with the batch".to_owned())
        };
        let (many, m, n, k) = (
            product(&batch)?,
            product(&rows)?,
            product(&columns)?,
            product(&summed)?,
        );
        let a = self.arranged(left, left_own, &[&batch, &rows, &summed], &length)?;
        let b = self.arranged(right, right_own, &[&batch, &summed, &columns], &length)?;
        let a = self.reshaped(a, vec![many, m, k]);
        let b = self.reshaped(b, vec![many, k, n]);
        let found = self.push(Op::Matmul, vec![a, b], vec![many, m, n], ElementKind::Float);
        let order: Vec<char> = [&batch[..], &rows, &columns].concat();
        let shape: Vec<Extent> = order.iter().map(|&letter| length(letter)).collect();
        if shape.len() > 6 {
            return Err(format!(
                "a product of {} axes; valid are at most 6",
                shape.len()
            ));
        }
        let found = self.in_file_shape(found, shape);
        let axes: Option<Vec<usize>> = output
            .iter()
            .map(|letter| order.iter().position(|own| own == letter))
            .collect();
        let axes = axes.ok_or("a result with an axis of no operand")?;
        Ok(match axes.is_empty() {
            true => found,
            false => self.permuted(found, &axes),
        })
    }

    /// Permutes the axes of an operand to this order, and broadcasts those of length 1.
    fn arranged(
        &mut self,
        x: ValueId,
        own: &[char],
        groups: &[&[char]; 3],
        length: &dyn Fn(char) -> Extent,
    ) -> Read {
        let order = groups.concat();
        if order.is_empty() {
            return Ok(x);
        }
        let axes: Option<Vec<usize>> = order
            .iter()
            .map(|letter| own.iter().position(|own| own == letter))
            .collect();
        let axes = axes.ok_or("an axis that an operand does not have")?;
        let turned = self.permuted(x, &axes);
        let shape: Vec<Extent> = order.iter().map(|&letter| length(letter)).collect();
        Ok(self.spread(turned, &shape))
    }

    /// The diagonal of axes with the same letter, as the sum of products with the identity matrix.
    fn diagonal(
        &mut self,
        mut x: ValueId,
        mut own: Vec<char>,
    ) -> Result<(ValueId, Vec<char>), Reason> {
        while let Some((first, second)) = (0..own.len())
            .flat_map(|a| (a + 1..own.len()).map(move |b| (a, b)))
            .find(|&(a, b)| own[a] == own[b])
        {
            let mut shape = self.shape(x);
            let length = fixed(shape[first])?;
            let mut mask_shape = vec![1; shape.len()];
            (mask_shape[first], mask_shape[second]) = (length, length);
            let ones = (0..length).flat_map(|row| (0..length).map(move |column| row != column));
            let outside = self.made(Host::bools(mask_shape, ones.collect()))?;
            let kept = self.with_number_where(x, outside, 0.0)?;
            let summed = self.reduced(kept, Reduction::Sum, second);
            shape.remove(second);
            own.remove(second);
            x = self.in_file_shape(summed, shape);
        }
        Ok((x, own))
    }
}
