//! Numbers in the format `%i` of C's `scanf`: decimal, octal after `0`, hexadecimal after `0x`.

/// Reads a number at the start of `text`, after blanks, with a sign. Returns it and its length in bytes.
pub(crate) fn read(text: &[u8]) -> Option<(i128, usize)> {
    let blanks = text.iter().take_while(|byte| is_blank(**byte)).count();
    let after = &text[blanks..];
    let (negative, sign) = match after.first() {
        Some(b'-') => (true, 1),
        Some(b'+') => (false, 1),
        _ => (false, 0),
    };
    let after = &after[sign..];
    let (radix, prefix) = match after {
        [b'0', b'x' | b'X', digit, ..] if digit.is_ascii_hexdigit() => (16, 2),
        [b'0', ..] => (8, 0),
        _ => (10, 0),
    };
    let digits = &after[prefix..];
    let mut value = 0_i128;
    let mut count = 0;
    for byte in digits {
        let Some(digit) = char::from(*byte).to_digit(radix) else {
            break;
        };
        // Saturates at a value that is out of every range.
        value = (value * i128::from(radix) + i128::from(digit)).min(i128::from(u64::MAX) + 1);
        count += 1;
    }
    let value = if negative { -value } else { value };
    (count > 0).then_some((value, blanks + sign + prefix + count))
}

/// Whether C's `isspace` accepts the byte.
pub(crate) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_scanf_does() {
        assert_eq!(read(b"10 "), Some((10, 2)));
        assert_eq!(read(b"  0x1fE]"), Some((0x1fe, 7)));
        assert_eq!(read(b"017"), Some((15, 3)));
        assert_eq!(read(b"-5"), Some((-5, 2)));
        assert_eq!(read(b"+5"), Some((5, 2)));
        // An octal number ends at its first 8.
        assert_eq!(read(b"08"), Some((0, 1)));
        assert_eq!(read(b"0xg"), Some((0, 1)));
        assert_eq!(read(b""), None);
        assert_eq!(read(b"-"), None);
        assert_eq!(read(b"x"), None);
    }

    #[test]
    fn what_is_too_large_stays_too_large() {
        let digits = [b'9'; 100];
        assert_eq!(read(&digits), Some((1 << 64, 100)));
    }
}
