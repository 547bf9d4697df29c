//! Rust code without comments and literals.

pub(super) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

pub(super) fn blanked(c: char) -> char {
    if c == '\n' { c } else { ' ' }
}

/// The code of a source file: comments and literals are blanked, lines stay where they are.
pub(super) fn bare(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let in_word = code.chars().next_back().is_some_and(is_word);
        match literal_length(rest, in_word) {
            Some(length) => {
                code.extend(rest[..length].chars().map(blanked));
                rest = &rest[length..];
            }
            None => {
                code.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    code
}

/// Bytes of the comment, text or character at the start of `rest`, if there is one.
fn literal_length(rest: &str, in_word: bool) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(comment_length(rest));
    }
    if rest.starts_with('"') {
        return Some(quoted_length(rest, '"'));
    }
    if let Some(after) = rest.strip_prefix('\'') {
        let mut next = after.chars();
        let escaped = next.next() == Some('\\');
        return (escaped || next.next() == Some('\'')).then(|| quoted_length(rest, '\''));
    }
    if in_word { None } else { raw_length(rest) }
}

fn comment_length(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn quoted_length(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if c == quote && !escaped {
            return at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    rest.len()
}

/// A raw text, also of bytes or with a trailing zero: `r"…"`, `br#"…"#`.
fn raw_length(rest: &str) -> Option<usize> {
    let after = ["r", "br", "cr"]
        .iter()
        .find_map(|prefix| rest.strip_prefix(prefix))?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    let text = after[hashes..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let start = rest.len() - text.len();
    Some(
        text.find(&close)
            .map_or(rest.len(), |end| start + end + close.len()),
    )
}
