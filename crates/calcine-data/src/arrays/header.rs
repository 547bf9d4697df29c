//! The header of an `.npy` file.
//!
//! A file begins with `\\x93NUMPY`, two bytes of a version and the length of the header (two bytes in version 1, four later). The
//! header is a dictionary in Python's notation, with these three keys:
//!
//! ```text
//! {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
//! ```

/// What the header says of the array.
#[derive(Debug, PartialEq)]
pub(super) struct Header {
    /// Byte order, type and bytes of a number: `<f4`.
    pub(super) kind: String,
    /// Whether the first axis varies fastest.
    pub(super) is_fortran: bool,
    pub(super) shape: Vec<usize>,
}

/// The header, and the numbers behind it.
pub(super) fn parse(bytes: &[u8]) -> Result<(Header, &[u8]), String> {
    let rest = bytes
        .strip_prefix(b"\x93NUMPY")
        .ok_or("it does not begin as an .npy file does")?;
    let cut = || "the header is cut off".to_owned();
    let (length, rest) = match rest {
        [1, _, a, b, rest @ ..] => (usize::from(u16::from_le_bytes([*a, *b])), rest),
        [2 | 3, _, a, b, c, d, rest @ ..] => {
            let length = u32::from_le_bytes([*a, *b, *c, *d]);
            (usize::try_from(length).map_err(|_| cut())?, rest)
        }
        [version, ..] => return Err(format!("version {version} of the format is not known")),
        [] => return Err(cut()),
    };
    let (header, data) = rest.split_at_checked(length).ok_or_else(cut)?;
    let text = std::str::from_utf8(header).map_err(|_| "the header is not text".to_owned())?;
    let odd = || format!("the header is not understood: {}", text.trim_end());
    let header = Header {
        kind: quoted(value(text, "descr").ok_or_else(odd)?)
            .ok_or_else(odd)?
            .to_owned(),
        is_fortran: match value(text, "fortran_order").ok_or_else(odd)? {
            value if value.starts_with("False") => false,
            value if value.starts_with("True") => true,
            _ => return Err(odd()),
        },
        shape: sizes(value(text, "shape").ok_or_else(odd)?).ok_or_else(odd)?,
    };
    Ok((header, data))
}

/// What follows a key and its colon.
fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let quotes = ['\'', '"'];
    quotes.iter().find_map(|quote| {
        let (_, rest) = text.split_once(&format!("{quote}{key}{quote}"))?;
        Some(rest.trim_start().strip_prefix(':')?.trim_start())
    })
}

/// The text between the quotes at the beginning.
fn quoted(text: &str) -> Option<&str> {
    let quote = text
        .chars()
        .next()
        .filter(|first| ['\'', '"'].contains(first))?;
    text[1..].split_once(quote).map(|(inner, _)| inner)
}

/// The numbers between the parentheses at the beginning; Python 2 wrote `3L`.
fn sizes(text: &str) -> Option<Vec<usize>> {
    let (inner, _) = text.strip_prefix('(')?.split_once(')')?;
    let sizes = inner
        .split(',')
        .map(str::trim)
        .filter(|size| !size.is_empty());
    sizes
        .map(|size| size.trim_end_matches('L').parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(version: u8, text: &str) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY".to_vec();
        bytes.extend([version, 0]);
        match version {
            1 => bytes.extend((text.len() as u16).to_le_bytes()),
            _ => bytes.extend((text.len() as u32).to_le_bytes()),
        }
        bytes.extend(text.bytes());
        bytes.extend([7, 8]);
        bytes
    }

    #[test]
    fn headers_of_all_versions_are_read() {
        let table: [(&str, &str, bool, &[usize]); 4] = [
            (
                "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }  \n",
                "<f4",
                false,
                &[3, 4],
            ),
            (
                "{'descr': '|u1', 'fortran_order': True, 'shape': (5,), }",
                "|u1",
                true,
                &[5],
            ),
            (
                "{\"descr\":\">i8\",\"fortran_order\":False,\"shape\":()}",
                ">i8",
                false,
                &[],
            ),
            (
                "{'shape': (2L, 3L), 'fortran_order': False, 'descr': '<f8'}",
                "<f8",
                false,
                &[2, 3],
            ),
        ];
        for (text, kind, is_fortran, shape) in table {
            for version in [1, 2, 3] {
                let bytes = file(version, text);
                let (header, data) = parse(&bytes).unwrap();
                let expected = Header {
                    kind: kind.to_owned(),
                    is_fortran,
                    shape: shape.to_vec(),
                };
                assert_eq!((header, data), (expected, &[7, 8][..]), "{text}");
            }
        }
    }

    #[test]
    fn other_headers_are_errors() {
        for (bytes, words) in [
            (b"PK".to_vec(), "does not begin"),
            (file(9, ""), "version 9"),
            (
                file(
                    1,
                    "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,)}",
                ),
                "not understood",
            ),
            (
                file(1, "{'descr': '<f4', 'fortran_order': 0, 'shape': (3,)}"),
                "not understood",
            ),
            (
                file(
                    1,
                    "{'descr': '<f4', 'fortran_order': False, 'shape': (-3,)}",
                ),
                "not understood",
            ),
            (
                file(1, "{'descr': '<f4', 'fortran_order': False}"),
                "not understood",
            ),
            (b"\x93NUMPY\x01\x00\xff\xff".to_vec(), "cut off"),
            (b"\x93NUMPY".to_vec(), "cut off"),
        ] {
            let error = parse(&bytes).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
