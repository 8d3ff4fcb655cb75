//! Makes texts from untrusted sources safe on a terminal.

/// Escapes all characters that aren't visible: control characters, line breaks, and those that change
/// the direction of writing. Quotes stay as they are. Backslashes are doubled, so that no original text
/// looks like an escape.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\'' => line.push(c),
            c => line.extend(c.escape_debug()),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_moves_the_cursor_or_turns_the_text() {
        assert_eq!(printable("it's \"ok\" für 日本"), "it's \"ok\" für 日本");
        assert_eq!(
            printable("a\x1b[2J\r\n\u{9b}1m\u{202e}\u{200b}\\"),
            "a\\u{1b}[2J\\r\\n\\u{9b}1m\\u{202e}\\u{200b}\\\\"
        );
    }
}
