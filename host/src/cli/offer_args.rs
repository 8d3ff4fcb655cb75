//! Options to offer less of the protocol, to try what clients do with older servers.

use clap::Args;
use nbd_proto::{HandshakeFlags, Offers};

/// The options of `serve` about the protocol, as nbdkit has them.
#[derive(Debug, Args)]
pub(super) struct OfferArgs {
    /// Don't offer structured replies, and thus neither block status nor extended headers: tests a client against an
    /// older server
    #[arg(long)]
    no_sr: bool,

    /// Don't offer extended headers, which have 64-bit lengths: tests a client against an older server
    #[arg(long)]
    no_eh: bool,

    /// Offer only these handshake flags: 1 is fixed newstyle, without which a client can only name an export; 2 lets
    /// the server omit 124 zeroes. May be hexadecimal (0x) or octal (0) [default: 3]
    #[arg(long, value_name = "MASK", value_parser = parse_mask, hide_default_value = true)]
    mask_handshake: Option<u16>,
}

impl OfferArgs {
    /// The offers that these options leave.
    pub(super) fn offers(&self) -> Offers {
        let all = Offers::default();
        let mask = self.mask_handshake.unwrap_or(u16::MAX);
        Offers {
            flags: all.flags & HandshakeFlags::from_bits_truncate(mask),
            structured_replies: !self.no_sr,
            extended_headers: !self.no_eh,
        }
    }
}

/// Reads a number as C does. Drops bits that have no meaning yet.
fn parse_mask(word: &str) -> Result<u16, String> {
    let lower = word.to_ascii_lowercase();
    let (digits, radix) = match (lower.strip_prefix("0x"), lower.strip_prefix('0')) {
        (Some(digits), _) => (digits, 16),
        (None, Some(digits)) if !digits.is_empty() => (digits, 8),
        _ => (&lower[..], 10),
    };
    let is_number = digits.bytes().all(|digit| digit.is_ascii_alphanumeric());
    let number = u32::from_str_radix(digits, radix);
    match number {
        Ok(number) if is_number => Ok(u16::try_from(number & 0xffff).unwrap_or(u16::MAX)),
        _ => Err("expected a number up to 0xffffffff".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_numbers_as_c_has_them() {
        for (word, mask) in [
            ("0", 0),
            ("3", 3),
            ("0x1", 1),
            ("0X2", 2),
            ("02", 2),
            ("0xffffffff", 0xffff),
        ] {
            assert_eq!(parse_mask(word), Ok(mask), "{word}");
        }
        for word in ["", "-1", "+1", "0x", "08", "1 ", "x", "0x100000000"] {
            assert!(parse_mask(word).is_err(), "{word}");
        }
    }
}
