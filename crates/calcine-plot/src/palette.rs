//! Colours, dashes and marks that colour-blind readers can distinguish.

/// Red, green, blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Colour(pub(crate) u8, pub(crate) u8, pub(crate) u8);

impl Colour {
    pub(crate) const INK: Self = Self(0x22, 0x22, 0x22);
    pub(crate) const FAINT_INK: Self = Self(0x5a, 0x5a, 0x5a);
    pub(crate) const AXIS: Self = Self(0x9a, 0x9a, 0x9a);
    pub(crate) const GRID: Self = Self(0xe8, 0xe8, 0xe8);
    pub(crate) const BEHIND: Self = Self(0xd4, 0xd4, 0xd4);

    /// A darker version that is readable as text on white.
    pub(crate) fn as_text(self) -> Self {
        let darker = |part: u8| (u16::from(part) * 7 / 10) as u8;
        Self(darker(self.0), darker(self.1), darker(self.2))
    }
}

/// The colours of Okabe and Ito (2008), except yellow, which is hard to see on white.
pub(crate) const COLOURS: [Colour; 7] = [
    Colour(0x00, 0x72, 0xb2),
    Colour(0xd5, 0x5e, 0x00),
    Colour(0x00, 0x9e, 0x73),
    Colour(0xcc, 0x79, 0xa7),
    Colour(0xe6, 0x9f, 0x00),
    Colour(0x56, 0xb4, 0xe9),
    Colour(0x00, 0x00, 0x00),
];

/// The dashes of a line: lengths that are drawn and left out, in turn.
pub(crate) type Dash = &'static [f64];

const DASHES: [Dash; 4] = [&[], &[8.0, 4.0], &[2.5, 3.0], &[10.0, 3.5, 2.5, 3.5]];

/// The shape of a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Circle,
    Square,
    Triangle,
    Diamond,
}

const MARKS: [Mark; 4] = [Mark::Circle, Mark::Square, Mark::Triangle, Mark::Diamond];

/// The style of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Style {
    pub(crate) colour: Colour,
    pub(crate) dash: Dash,
    pub(crate) mark: Mark,
}

/// The style of the series at `index`: first the colours differ, then also dashes and marks; there are 28 styles.
pub(crate) fn style(index: usize) -> Style {
    let round = index / COLOURS.len() % DASHES.len();
    Style {
        colour: COLOURS[index % COLOURS.len()],
        dash: DASHES[round],
        mark: MARKS[round],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_eight_series_all_look_different() {
        let styles: Vec<Style> = (0..28).map(style).collect();
        for (i, a) in styles.iter().enumerate() {
            assert!(styles[i + 1..].iter().all(|b| a != b), "{a:?}");
        }
    }
}
