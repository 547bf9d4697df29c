//! Attention and rotary embeddings.

use std::rc::Rc;

use calcine_graph::{Arithmetic, ElementKind, Extent, Map, Op, ValueId};

use super::host::{Elements, Host, Number};
use super::importer::{Attributes, Importer, Known, Operand, Reason, number};
use super::layers::{Read, needs};
use super::windows::fixed;

/// The settings of an attention.
struct Settings {
    scale: Option<f64>,
    softcap: f64,
    causal: bool,
    /// The number of keys before and after its own position that a query attends to; `None` for no limit.
    window: [Option<i64>; 2],
    /// The number of keys of each sample that are not padding.
    lengths: Option<Vec<i64>>,
}

impl Settings {
    /// The mask of the keys that each query does not attend to, with the shape `[batch or 1, 1, queries, keys]`. `past`
    /// is the number of keys before the first query. `None` if every query attends to every key.
    fn hidden(&self, queries: Extent, keys: Extent, past: Extent) -> Result<Option<Host>, Reason> {
        if !self.causal && self.window == [None, None] && self.lengths.is_none() {
            return Ok(None);
        }
        let signed = |at: usize| i64::try_from(at).unwrap_or(i64::MAX);
        let (rows, columns) = (fixed(queries)?, fixed(keys)?);
        let past = signed(fixed(past)?);
        let lengths = self.lengths.clone();
        let samples = lengths.as_ref().map_or(1, Vec::len);
        let mut hidden = Vec::new();
        for sample in 0..samples {
            let length = lengths.as_ref().map(|lengths| lengths[sample]);
            let offset = match length {
                Some(length) if past == 0 => length.saturating_sub(signed(rows)),
                _ => past,
            };
            for row in 0..rows {
                let own = signed(row).saturating_add(offset);
                hidden.extend((0..columns).map(|column| {
                    let from = signed(column).saturating_sub(own);
                    length.is_some_and(|length| signed(column) >= length)
                        || self.causal && from > 0
                        || self.window[0].is_some_and(|left| from < -left)
                        || self.window[1].is_some_and(|right| from > right)
                }));
            }
        }
        Ok(Some(Host::bools(vec![samples, 1, rows, columns], hidden)))
    }
}

impl Importer {
    /// `Attention`. The results are the output, all keys, all values, and the fourth output, which contains scores or
    /// weights.
    pub(crate) fn attention(
        &mut self,
        a: &Attributes<'_, '_>,
        x: &[Option<Operand>],
    ) -> Result<Vec<Known>, Reason> {
        let lengths = match x.get(6) {
            Some(Some(Operand::Host(host))) => host.known(),
            Some(Some(Operand::Value(_))) => {
                return Err(
                    "lengths of padded keys that are computed (`nonpad_kv_seqlen`); valid are constants"
                        .to_owned(),
                );
            }
            _ => None,
        };
        let window = |name: &str| -> Result<Option<i64>, Reason> {
            Ok(Some(a.int(name, -1)?).filter(|size| *size >= 0))
        };
        let [query, key, value] = [0, 1, 2].map(|at| needs(x, at));
        let [query, key, value] = [
            self.value(&query?)?,
            self.value(&key?)?,
            self.value(&value?)?,
        ];
        let flat = self.rank(query) == 3;
        let count = |name: &str| -> Result<Option<usize>, Reason> {
            Ok(usize::try_from(a.int(name, 0)?).ok().filter(|&n| n > 0))
        };
        let (heads, key_heads) = (count("q_num_heads")?, count("kv_num_heads")?);
        let split = |it: &mut Self, x: ValueId, heads: Option<usize>| -> Read {
            match it.rank(x) {
                4 => Ok(x),
                3 => {
                    let heads = heads.ok_or("its attribute for the number of heads is missing")?;
                    let shape = it.shape(x);
                    let features = fixed(shape[2])?;
                    if !features.is_multiple_of(heads) {
                        return Err(format!("{features} features for {heads} heads"));
                    }
                    let each = vec![shape[0], shape[1], heads.into(), (features / heads).into()];
                    let each = it.reshaped(x, each);
                    Ok(it.permuted(each, &[0, 2, 1, 3]))
                }
                rank => Err(format!("an operand of {rank} axes; valid are 3 and 4")),
            }
        };
        let query = split(self, query, heads)?;
        let (mut key, mut value) = (split(self, key, key_heads)?, split(self, value, key_heads)?);
        let mut past = Extent::fixed(0);
        if let (Some(Some(past_key)), Some(Some(past_value))) = (x.get(4), x.get(5)) {
            let (past_key, past_value) = (self.value(past_key)?, self.value(past_value)?);
            past = self.shape(past_key)[2];
            key = self.after(past_key, key, 2)?;
            value = self.after(past_value, value, 2)?;
        }
        let settings = Settings {
            scale: a
                .0
                .attribute("scale")
                .is_some()
                .then(|| a.float("scale", 1.0))
                .transpose()?,
            softcap: a.float("softcap", 0.0)?,
            causal: a.int("is_causal", 0)? != 0,
            window: [window("left_window_size")?, window("right_window_size")?],
            lengths,
        };
        let shows = a.0.outputs.len() > 3 && !a.0.outputs[3].is_empty();
        let mode = a.int("qk_matmul_output_mode", 0)?;
        let mask = x.get(3).cloned().flatten();
        let [result, shown] =
            self.attended([query, key, value], mask, &settings, past, (shows, mode))?;
        let mut output = result;
        if flat {
            let shape = self.shape(output);
            let features = number(shape[1])
                .times(number(shape[3]))
                .and_then(Number::extent);
            let rows = self.permuted(output, &[0, 2, 1, 3]);
            let features = features.ok_or("heads that change with the batch")?;
            output = self.reshaped(rows, vec![shape[0], shape[2], features]);
        }
        Ok([output, key, value, shown].map(Known::Value).to_vec())
    }

    /// Concatenates two tensors along an axis.
    pub(crate) fn after(&mut self, a: ValueId, b: ValueId, axis: usize) -> Read {
        let (mut shape, other) = (self.shape(a), self.shape(b));
        let sum = other
            .get(axis)
            .and_then(|&b| number(shape[axis]).plus(number(b)));
        shape[axis] = sum
            .and_then(Number::extent)
            .ok_or("operands of different numbers of axes")?;
        let kind = self.kind(a);
        Ok(self.push(Op::Concat(axis), vec![a, b], shape, kind))
    }

    fn attended(
        &mut self,
        [query, mut key, mut value]: [ValueId; 3],
        mask: Option<Operand>,
        settings: &Settings,
        past: Extent,
        (shows, mode): (bool, i64),
    ) -> Result<[ValueId; 2], Reason> {
        let (q, k) = (self.shape(query), self.shape(key));
        let (heads, key_heads) = (fixed(q[1])?, fixed(k[1])?);
        if key_heads == 0 || !heads.is_multiple_of(key_heads) {
            return Err(format!("{heads} heads of queries for {key_heads} of keys"));
        }
        // Several heads of queries share one of keys.
        for shared in [&mut key, &mut value] {
            let times = heads / key_heads;
            if times == 1 {
                continue;
            }
            let shape = self.shape(*shared);
            let row = vec![shape[0], shape[1], 1.into(), shape[2], shape[3]];
            let row = self.reshaped(*shared, row);
            let repeated = vec![shape[0], shape[1], times.into(), shape[2], shape[3]];
            let op = Op::Repeat { axis: 2, times };
            let repeated = self.push(op, vec![row], repeated, ElementKind::Float);
            let all = vec![shape[0], heads.into(), shape[2], shape[3]];
            *shared = self.reshaped(repeated, all);
        }
        let v = self.shape(value);
        let mut bias = None;
        let mut bool_mask = None;
        if let Some(mask) = mask {
            let mut mask = self.value(&mask)?;
            // A mask may be shorter than the keys, which hides the rest.
            let own = self.shape(mask);
            let (length, keys) = (own[own.len() - 1], k[2]);
            if length != keys && length != Extent::fixed(1) {
                let missing = fixed(keys)?.checked_sub(fixed(length)?);
                let missing = missing.ok_or("a mask that is longer than the keys")?;
                let axis = own.len() - 1;
                mask = match self.kind(mask) {
                    ElementKind::Bool => {
                        let mut rest = own.clone();
                        rest[axis] = missing.into();
                        let rest =
                            self.push(Op::Constant(0.0), Vec::new(), rest, ElementKind::Bool);
                        self.after(mask, rest, axis)?
                    }
                    _ => self.padded(mask, axis, [0, missing], f64::NEG_INFINITY),
                };
            }
            match self.kind(mask) {
                ElementKind::Bool => bool_mask = Some(mask),
                ElementKind::Float => bias = Some(mask),
                ElementKind::Int => return Err("a mask of integers".to_owned()),
            }
        }
        let hidden = settings.hidden(q[2], k[2], past)?;
        let plain = bias.is_none() && bool_mask.is_none() && !shows;
        let softcap = Some(settings.softcap).filter(|cap| *cap != 0.0);
        let triangle = settings.causal
            && settings.window == [None, None]
            && settings.lengths.is_none()
            && past == Extent::fixed(0)
            && q[2] == k[2];
        if plain && (hidden.is_none() || triangle) {
            let op = Op::Attention {
                scale: settings.scale,
                softcap,
                causal: settings.causal,
                masked: false,
            };
            let shape = vec![q[0], q[1], q[2], v[3]];
            let result = self.push(op, vec![query, key, value], shape, ElementKind::Float);
            return Ok([result, result]);
        }
        // softmax(softcap(q · kᵀ · scale) + masks) · v
        #[allow(clippy::cast_precision_loss, reason = "a number of features")]
        let scale = settings.scale.unwrap_or(1.0 / (fixed(q[3])? as f64).sqrt());
        let turned = self.permuted(key, &[0, 1, 3, 2]);
        let scaled = self.scalar(Arithmetic::Multiply, query, scale);
        let shape = vec![q[0], q[1], q[2], k[2]];
        let mut scores = self.push(
            Op::Matmul,
            vec![scaled, turned],
            shape.clone(),
            ElementKind::Float,
        );
        let mut shown = scores;
        if let Some(cap) = softcap {
            let divided = self.scalar(Arithmetic::Divide, scores, cap);
            let bent = self.map(Map::Tanh, divided);
            scores = self.scalar(Arithmetic::Multiply, bent, cap);
        }
        if mode == 1 {
            shown = scores;
        }
        if let Some(bias) = bias {
            scores = self.both(Arithmetic::Add, scores, bias)?;
        }
        if let Some(mask) = bool_mask {
            let hidden = self.map(Map::Not, mask);
            scores = self.with_number_where(scores, hidden, f64::NEG_INFINITY)?;
        }
        let blind = hidden.as_ref().is_some_and(|hidden| {
            let each = hidden.shape[3].max(1);
            match &hidden.elements {
                Elements::Bools(values) => values.chunks(each).any(|row| row.iter().all(|x| *x)),
                _ => true,
            }
        });
        if let Some(hidden) = hidden {
            let hidden = self.made(hidden)?;
            scores = self.with_number_where(scores, hidden, f64::NEG_INFINITY)?;
        }
        if mode == 2 {
            shown = scores;
        }
        let mut weights = self.same(Op::Softmax(3), scores);
        if bool_mask.is_some() || bias.is_some() || blind {
            // A query that attends to no key gives zeros instead of 0 / 0.
            let mut most = shape.clone();
            most[3] = 1.into();
            let most = self.push(
                Op::Reduce(calcine_graph::Reduction::Max, 3),
                vec![scores],
                most,
                ElementKind::Float,
            );
            let blind =
                self.compared_with(calcine_graph::Comparison::Equal, most, f64::NEG_INFINITY);
            let blind = self.spread(blind, &shape);
            weights = self.with_number_where(weights, blind, 0.0)?;
        }
        if mode == 3 {
            shown = weights;
        }
        let output = vec![q[0], q[1], q[2], v[3]];
        let result = self.push(Op::Matmul, vec![weights, value], output, ElementKind::Float);
        Ok([result, shown])
    }

    /// `RotaryEmbedding`: rotates pairs of features by angles that are proportional to the position.
    pub(crate) fn rotary(&mut self, a: &Attributes<'_, '_>, x: &[Option<Operand>]) -> Read {
        let input = self.value(&needs(x, 0)?)?;
        let given = self.shape(input);
        let heads = usize::try_from(a.int("num_heads", 0)?).unwrap_or(0);
        // [batch, length, heads, features]
        let rows = match given.len() {
            4 => self.permuted(input, &[0, 2, 1, 3]),
            3 if heads > 0 => {
                let features = fixed(given[2])?;
                let each = vec![given[0], given[1], heads.into(), (features / heads).into()];
                self.reshaped(input, each)
            }
            rank => return Err(format!("an operand of {rank} axes and {heads} heads")),
        };
        let shape = self.shape(rows);
        let features = fixed(shape[3])?;
        let turned = match usize::try_from(a.int("rotary_embedding_dim", 0)?).unwrap_or(0) {
            0 => features,
            some => some.min(features),
        };
        let half = turned / 2;
        let mut tables = Vec::new();
        for at in [1, 2] {
            let table = self.value(&needs(x, at)?)?;
            let table = match x.get(3).cloned().flatten() {
                None => table,
                Some(positions) => {
                    let positions = match positions {
                        Operand::Host(host) => self.made(Host {
                            name: None,
                            ..(*host).clone()
                        })?,
                        Operand::Value(id) => id,
                    };
                    let place = self.shape(positions);
                    let count = place.iter().map(|&extent| number(extent));
                    let count = { count }.try_fold(Number::fixed(1), Number::times);
                    let count = count
                        .and_then(Number::extent)
                        .ok_or("positions of two batches")?;
                    let flat = self.reshaped(positions, vec![count]);
                    let width = self.shape(table)[1];
                    let found = self.push(
                        Op::Select(0),
                        vec![table, flat],
                        vec![count, width],
                        ElementKind::Float,
                    );
                    self.reshaped(found, [&place[..], &[width]].concat())
                }
            };
            let own = self.shape(table);
            let [batch, length, width] = own[..] else {
                return Err(format!("a table of {} axes", own.len()));
            };
            if width != Extent::fixed(half) {
                return Err(format!("a table of {width} angles for {half}"));
            }
            tables.push(self.reshaped(table, vec![batch, length, 1.into(), width]));
        }
        let (cos, sin) = (tables[0], tables[1]);
        let interleaved = a.int("interleaved", 0)? != 0;
        let part = |it: &mut Self, x, start: usize, end: usize| {
            let signed = |at: usize| i64::try_from(at).unwrap_or(i64::MAX);
            it.part(
                x,
                3,
                Number::fixed(signed(start)),
                Number::fixed(signed(end)),
            )
        };
        let front = part(self, rows, 0, turned)?;
        let pairs = |it: &mut Self, second: usize| -> Read {
            if interleaved {
                let pairs = vec![shape[0], shape[1], shape[2], half.into(), 2.into()];
                let pairs = it.reshaped(front, pairs);
                let one = it.part(
                    pairs,
                    4,
                    Number::fixed(second as i64),
                    Number::fixed(second as i64 + 1),
                )?;
                Ok(it.reshaped(one, vec![shape[0], shape[1], shape[2], half.into()]))
            } else {
                part(it, front, second * half, (second + 1) * half)
            }
        };
        let (one, two) = (pairs(self, 0)?, pairs(self, 1)?);
        let mut results = Vec::new();
        for (a, b, arithmetic) in [
            (one, two, Arithmetic::Subtract),
            (two, one, Arithmetic::Add),
        ] {
            let kept = self.both(Arithmetic::Multiply, a, cos)?;
            let moved = self.both(Arithmetic::Multiply, b, sin)?;
            results.push(self.both(arithmetic, kept, moved)?);
        }
        let turned_rows = if interleaved {
            let single = vec![shape[0], shape[1], shape[2], half.into(), 1.into()];
            let (a, b) = (
                self.reshaped(results[0], single.clone()),
                self.reshaped(results[1], single),
            );
            let both = self.after(a, b, 4)?;
            self.reshaped(both, vec![shape[0], shape[1], shape[2], turned.into()])
        } else {
            self.after(results[0], results[1], 3)?
        };
        let whole = match turned == features {
            true => turned_rows,
            false => {
                let rest = part(self, rows, turned, features)?;
                self.after(turned_rows, rest, 3)?
            }
        };
        match given.len() {
            4 => Ok(self.permuted(whole, &[0, 2, 1, 3])),
            _ => Ok(self.reshaped(whole, given)),
        }
    }

    /// The elements of a known tensor as numbers of another kind, without a name: settings, and not parameters.
    pub(crate) fn unnamed(host: &Host) -> Rc<Host> {
        Rc::new(Host {
            name: None,
            original: None,
            ..host.clone()
        })
    }

    /// An operand that is no parameter although it is known: indices, positions, masks.
    pub(crate) fn setting(&mut self, operand: &Operand) -> Read {
        match operand {
            Operand::Host(host) if !matches!(host.elements, Elements::Floats(_)) => {
                self.tensor(&Self::unnamed(host), "", "constant")
            }
            other => self.value(other),
        }
    }
}
