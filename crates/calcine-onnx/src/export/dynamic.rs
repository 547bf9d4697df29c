//! Dynamic quantization: quantizers for the range of each batch.

use calcine_graph::ValueId;
use calcine_quantize::Scheme;

use super::builder::{Numbers, integer};
use super::quantized::Writer;
use crate::proto::data_type;

/// A value that is quantized with the quantizer of its batch.
#[derive(Debug, Clone)]
pub(crate) struct Dynamic {
    /// `q − zero_point`, as floats.
    pub(crate) centred: String,
    /// A float of shape `[]`.
    pub(crate) scale: String,
    /// The zero point as a float, for unsigned integers.
    pub(crate) zero_point: String,
    /// The number of integers minus one.
    pub(crate) most: u32,
    /// The integers and their zero point as `uint8`, if they are results of an operator.
    pub(crate) bytes: Option<[String; 2]>,
}

impl Writer<'_> {
    /// Quantizes a value with the quantizer of its batch, like [`Quantized`](calcine_quantize::Quantized). This is
    /// `DynamicQuantizeLinear` if the settings are those of that operator and the runtime implements it correctly.
    pub(crate) fn dynamic(&mut self, id: ValueId, bits: u8, scheme: Scheme) -> Dynamic {
        if let Some(made) = self.dynamic.get(&(id, bits, scheme)) {
            return made.clone();
        }
        let x = self.float(id);
        let hint = format!("{}/batch", self.b.name(id));
        let made = match self.dialect.dynamic_operator && (bits, scheme) == (8, Scheme::Affine) {
            true => self.dynamic_operator(&x, &hint),
            false => self.spelled(&x, id, (bits, scheme), &hint),
        };
        self.dynamic.insert((id, bits, scheme), made.clone());
        made
    }

    fn dynamic_operator(&mut self, x: &str, hint: &str) -> Dynamic {
        let [codes, scale, zero] = ["quantized", "scale", "zero_point"]
            .map(|part| self.b.fresh(&format!("{hint}/{part}")));
        self.b.node_of_several(
            "DynamicQuantizeLinear",
            &[x],
            &[&codes, &scale, &zero],
            Vec::new(),
        );
        let to = || vec![integer("to", data_type::FLOAT)];
        let [float, zero_point] = [&codes, &zero].map(|name| {
            self.b
                .helper("Cast", &[name], &format!("{name}/float"), to())
        });
        let operands = [&*float, &zero_point];
        let centred = self
            .b
            .helper("Sub", &operands, &format!("{hint}/centred"), Vec::new());
        Dynamic {
            centred,
            scale,
            zero_point,
            most: 255,
            bytes: Some([codes, zero]),
        }
    }

    /// Writes the same with operators that every runtime has.
    fn spelled(
        &mut self,
        x: &str,
        id: ValueId,
        (bits, scheme): (u8, Scheme),
        hint: &str,
    ) -> Dynamic {
        let rank = self.b.graph.value(id).shape.len();
        let axes: Vec<usize> = (0..rank).collect();
        let part = |name: &str| format!("{hint}/{name}");
        let nothing = self.b.scalar(&part("nothing"), 0.0);
        let [low, high] = [("ReduceMin", "Min", "low"), ("ReduceMax", "Max", "high")].map(
            |(reduce, bound, name)| {
                let end = self.b.fresh(&part(name));
                self.b
                    .over_axes(reduce, x, &axes, &end, vec![integer("keepdims", 0)]);
                self.b
                    .helper(bound, &[&end, &nothing], &part(name), Vec::new())
            },
        );
        let below = self.b.helper("Neg", &[&low], &part("below"), Vec::new());
        let most = (1_u32 << bits) - 1;
        let (length, count) = match scheme {
            Scheme::Symmetric => {
                let largest = self
                    .b
                    .helper("Max", &[&below, &high], &part("largest"), Vec::new());
                (largest, most / 2)
            }
            Scheme::Affine => {
                let span = self
                    .b
                    .helper("Sub", &[&high, &low], &part("span"), Vec::new());
                (span, most)
            }
        };
        let count = self.b.scalar(&part("count"), f64::from(count));
        let share = self
            .b
            .helper("Div", &[&length, &count], &part("share"), Vec::new());
        let least = self.b.scalar(&part("least"), f64::from(f32::MIN_POSITIVE));
        let none = self
            .b
            .helper("Less", &[&share, &least], &part("none"), Vec::new());
        let one = self.b.scalar(&part("one"), 1.0);
        let scale = self
            .b
            .helper("Where", &[&none, &one, &share], &part("scale"), Vec::new());
        let quotient = self
            .b
            .helper("Div", &[x, &scale], &part("quotient"), Vec::new());
        let rounded = self
            .b
            .helper("Round", &[&quotient], &part("rounded"), Vec::new());
        let (zero_point, ends) = match scheme {
            Scheme::Symmetric => {
                let half = f64::from(most / 2);
                let zero = self.b.scalar(&part("zero_point"), half + 1.0);
                (
                    zero,
                    [-half, half].map(|end| self.b.scalar(&part("end"), end)),
                )
            }
            Scheme::Affine => {
                let quotient =
                    self.b
                        .helper("Div", &[&below, &scale], &part("zero_point"), Vec::new());
                let rounded = self
                    .b
                    .helper("Round", &[&quotient], &part("zero_point"), Vec::new());
                let most = self.b.scalar(&part("most"), f64::from(most));
                let bounds = [&*rounded, &nothing, &most];
                let zero = self
                    .b
                    .helper("Clip", &bounds, &part("zero_point"), Vec::new());
                let low = self.b.helper("Neg", &[&zero], &part("end"), Vec::new());
                let high = self
                    .b
                    .helper("Sub", &[&most, &zero], &part("end"), Vec::new());
                (zero, [low, high])
            }
        };
        let centred = self
            .b
            .helper("Max", &[&rounded, &ends[0]], &part("centred"), Vec::new());
        let centred = self
            .b
            .helper("Min", &[&centred, &ends[1]], &part("centred"), Vec::new());
        Dynamic {
            centred,
            scale,
            zero_point,
            most: if scheme == Scheme::Symmetric {
                most + 1
            } else {
                most
            },
            bytes: None,
        }
    }
}

impl Dynamic {
    /// Whether the integers do not fit a byte.
    pub(crate) fn is_wide(&self) -> bool {
        self.most > 256
    }
}

/// Integers that a layer reads as bytes: `Σ factor · (codes − zero_point)`.
#[derive(Debug, Clone)]
pub(crate) struct Plane {
    pub(crate) codes: String,
    pub(crate) zero_point: String,
    pub(crate) factor: i32,
}

impl Writer<'_> {
    /// Splits integers from 0 to 65,535, stored as floats, into two bytes each, the lower one first.
    pub(crate) fn bytes(&mut self, floats: &str, hint: &str) -> [String; 2] {
        let share = self.b.scalar(&format!("{hint}/share"), 1.0 / 256.0);
        let part = format!("{hint}/high");
        let high = self.b.helper("Mul", &[floats, &share], &part, Vec::new());
        let high = self.b.helper("Floor", &[&high], &part, Vec::new());
        let base = self.b.scalar(&format!("{hint}/base"), 256.0);
        let whole = self.b.helper("Mul", &[&high, &base], &part, Vec::new());
        let low = self
            .b
            .helper("Sub", &[floats, &whole], &format!("{hint}/low"), Vec::new());
        [low, high].map(|part| self.byte(&part))
    }

    /// Converts integers from 0 to 255, stored as floats, to `uint8`.
    pub(crate) fn byte(&mut self, floats: &str) -> String {
        let to = vec![integer("to", data_type::UINT8)];
        self.b
            .helper("Cast", &[floats], &format!("{floats}/byte"), to)
    }

    /// A `uint8` of shape `[]`.
    pub(crate) fn byte_constant(&mut self, value: i32, hint: &str) -> String {
        let number = Numbers::Int(data_type::UINT8, &[value]);
        self.b.constant(&format!("{hint}/zero_point"), &[], &number)
    }
}
