//! Reads protobuf's wire format in place, and writes it in the order of the calls.

use crate::error::Malformed;

/// The value of a field in the file.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Field<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

/// The fields of a message, in the order of the file.
#[derive(Debug, Clone)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) const fn of(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or(Malformed("it ends within a field"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed("it has an integer of more than ten bytes"))
    }

    fn field(&mut self) -> Result<(u64, Field<'a>), Malformed> {
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Field::Varint(self.varint()?),
            1 => {
                let mut bytes = [0; 8];
                bytes.copy_from_slice(self.take(8)?);
                Field::Fixed64(u64::from_le_bytes(bytes))
            }
            2 => {
                let length = usize::try_from(self.varint()?);
                let length = length.map_err(|_| Malformed("it has a field longer than memory"))?;
                Field::Bytes(self.take(length)?)
            }
            5 => {
                let mut bytes = [0; 4];
                bytes.copy_from_slice(self.take(4)?);
                Field::Fixed32(u32::from_le_bytes(bytes))
            }
            _ => return Err(Malformed("it has a field of a type that protobuf has not")),
        };
        match key >> 3 {
            0 => Err(Malformed("it has a field of number 0")),
            number => Ok((number, value)),
        }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Field<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

impl<'a> Field<'a> {
    pub(crate) fn bytes(self) -> Result<&'a [u8], Malformed> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(Malformed(
                "a number stands where a text or a message should",
            )),
        }
    }

    pub(crate) fn text(self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed("it has a name that is not UTF-8"))
    }

    pub(crate) fn integer(self) -> Result<i64, Malformed> {
        match self {
            Self::Varint(value) => Ok(value.cast_signed()),
            _ => Err(Malformed("something else stands where an integer should")),
        }
    }

    pub(crate) fn float(self) -> Result<f32, Malformed> {
        match self {
            Self::Fixed32(bits) => Ok(f32::from_bits(bits)),
            _ => Err(Malformed(
                "something else stands where a 32-bit float should",
            )),
        }
    }

    /// Appends one integer, or all integers of a packed list.
    pub(crate) fn integers(self, list: &mut Vec<i64>) -> Result<(), Malformed> {
        match self {
            Self::Bytes(bytes) => {
                let mut packed = Fields::of(bytes);
                while !packed.rest.is_empty() {
                    list.push(packed.varint()?.cast_signed());
                }
                Ok(())
            }
            single => {
                list.push(single.integer()?);
                Ok(())
            }
        }
    }

    /// Appends one float, or all floats of a packed list.
    pub(crate) fn floats(self, list: &mut Vec<f32>) -> Result<(), Malformed> {
        match self {
            Self::Bytes(bytes) => {
                let (chunks, rest) = bytes.as_chunks::<4>();
                if !rest.is_empty() {
                    return Err(Malformed("a list of floats ends within a float"));
                }
                list.extend(chunks.iter().map(|chunk| f32::from_le_bytes(*chunk)));
                Ok(())
            }
            single => {
                list.push(single.float()?);
                Ok(())
            }
        }
    }
}

/// A message that is being written.
#[derive(Debug, Default)]
pub(crate) struct Message(pub(crate) Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            #[allow(clippy::cast_possible_truncation, reason = "seven bits of it")]
            self.0.push(value as u8 & 0x7f | 0x80);
            value >>= 7;
        }
        #[allow(clippy::cast_possible_truncation, reason = "below 128")]
        self.0.push(value as u8);
    }

    pub(crate) fn integer(&mut self, number: u64, value: i64) {
        self.varint(number << 3);
        self.varint(value.cast_unsigned());
    }

    pub(crate) fn float(&mut self, number: u64, value: f32) {
        self.varint(number << 3 | 5);
        self.0.extend(value.to_le_bytes());
    }

    pub(crate) fn bytes(&mut self, number: u64, value: &[u8]) {
        self.varint(number << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    /// Writes a text; an empty text is omitted.
    pub(crate) fn text(&mut self, number: u64, value: &str) {
        if !value.is_empty() {
            self.bytes(number, value.as_bytes());
        }
    }

    pub(crate) fn message(&mut self, number: u64, write: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        write(&mut inner);
        self.bytes(number, &inner.0);
    }

    pub(crate) fn floats(&mut self, number: u64, values: &[f32]) {
        self.message(number, |packed| {
            for value in values {
                packed.0.extend(value.to_le_bytes());
            }
        });
    }
}
