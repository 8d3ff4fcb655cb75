//! The protocol's strings (section "Conventions"): "a sequence of UTF-8 code points, which
//! is not NUL terminated, MUST NOT contain NUL characters, ... and MUST be no longer than 4096
//! bytes".

use alloc::vec::Vec;

use crate::limits;

/// The string in a field that the peer sent; `None` if the bytes aren't a string of the protocol.
pub(crate) fn parse_string(bytes: &[u8]) -> Option<&str> {
    let text = core::str::from_utf8(bytes).ok()?;
    is_string(text).then_some(text)
}

/// Whether `text` is a string of the protocol: at most [`limits::MAX_STRING`] bytes, without NUL.
pub(crate) fn is_string(text: &str) -> bool {
    //= proto.md#conventions
    //# MUST NOT contain `NUL` characters, SHOULD be no longer than 256 bytes and MUST be no longer than 4096
    //# bytes.
    text.len() <= limits::MAX_STRING && !text.contains('\0')
}

/// Appends `text` without its NULs, cut between two characters to at most [`limits::MAX_STRING`] bytes.
pub(crate) fn push_string(text: &str, out: &mut Vec<u8>) {
    let start = out.len();
    // Most texts have no NUL: they are one piece.
    //= proto.md#conventions
    //# MUST NOT contain `NUL` characters
    for piece in text.split('\0') {
        let room = limits::MAX_STRING.saturating_sub(out.len() - start);
        let fits = piece.floor_char_boundary(room);
        out.extend_from_slice(piece.as_bytes().get(..fits).unwrap_or_default());
        if fits < piece.len() {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::String;

    use super::*;

    fn sent(text: &str) -> String {
        let mut out = b"before".to_vec();
        push_string(text, &mut out);
        String::from_utf8(out.split_off(6)).unwrap()
    }

    /// Point 14.
    #[test]
    fn a_sent_string_has_no_nul() {
        assert_eq!(sent("a\0b\0\0c\0"), "abc");
        assert_eq!(sent(""), "");
    }

    /// Points 14, 58.
    #[test]
    fn a_sent_string_is_cut_at_a_character() {
        assert_eq!(sent(&"x".repeat(5000)).len(), 4096);
        let euros = "€".repeat(2000);
        assert_eq!(sent(&euros), "€".repeat(1365));
        assert_eq!(
            sent(&format!("\0{}\0zz", "y".repeat(4095))),
            format!("{}z", "y".repeat(4095))
        );
    }

    /// Point 14.
    #[test]
    fn a_received_string_is_checked() {
        assert_eq!(parse_string(b"ok"), Some("ok"));
        assert_eq!(parse_string(b""), Some(""));
        assert_eq!(parse_string(&[b'x'; 4096]).map(str::len), Some(4096));
        assert_eq!(parse_string(&[b'x'; 4097]), None);
        assert_eq!(parse_string(b"a\0"), None);
        assert_eq!(parse_string(b"\xff"), None);
    }
}
