//! The address of the admin listener on the command line.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};
use nbdbox_config::config::Address;

/// Clap's parser for the address of an admin listener.
pub(super) fn parser() -> impl TypedValueParser<Value = Address> {
    OsStringValueParser::new().try_map(|word| parse(&word))
}

/// Reads an address of the command line: a loopback address and a port, or the path of a unix socket.
///
/// # Errors
/// The word is no such address; the text has the two forms that are allowed.
fn parse(word: &OsStr) -> Result<Address, String> {
    let text = word.to_string_lossy();
    if let Ok(address) = text.parse::<SocketAddr>() {
        return match address.ip().is_loopback() {
            true => Ok(Address::Tcp(address)),
            false => Err(
                "only a loopback address is allowed: every client of it sees all tenants"
                    .to_owned(),
            ),
        };
    }
    if text.is_empty() || (text.contains(':') && !text.contains('/')) {
        return Err(
            "expected the path of a unix socket, or a loopback address and a port, as \
             127.0.0.1:9809 or [::1]:9809"
                .to_owned(),
        );
    }
    Ok(Address::Unix {
        path: PathBuf::from(word),
        mode: None,
        owner: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_can_be_named() {
        for text in ["127.0.0.1:9809", "[::1]:0"] {
            assert!(
                matches!(parse(text.as_ref()), Ok(Address::Tcp(_))),
                "{text}"
            );
        }
        for text in ["admin.sock", "/run/nbdbox:1/admin.sock"] {
            assert!(
                matches!(parse(text.as_ref()), Ok(Address::Unix { .. })),
                "{text}"
            );
        }
        for text in ["0.0.0.0:9809", "192.0.2.1:80", "[::]:1"] {
            assert!(
                parse(text.as_ref()).unwrap_err().contains("loopback"),
                "{text}"
            );
        }
        for text in ["", "localhost:9809", "127.0.0.1:"] {
            assert!(
                parse(text.as_ref()).unwrap_err().contains("unix socket"),
                "{text}"
            );
        }
    }
}
