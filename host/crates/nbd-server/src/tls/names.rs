//! The subject and the names in a client's certificate, as text.
//!
//! The rules of `clients` compare subjects as text, so different subjects must have different texts. Therefore
//! characters that could be taken for separators are escaped, as in RFC 4514.

use std::fmt::Write as _;
use std::io;

use device::identity::Certificate;
use nbdbox_config::config::AltName;
use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// The names in a certificate, whose chain of trust rustls has checked.
///
/// # Errors
/// The certificate can't be parsed.
pub(super) fn of(der: &CertificateDer<'_>) -> io::Result<Certificate> {
    let unreadable = |error: String| io::Error::new(io::ErrorKind::InvalidData, error);
    let (_, certificate) =
        X509Certificate::from_der(der).map_err(|error| unreadable(error.to_string()))?;
    let names = certificate.subject_alternative_name();
    let names = names.map_err(|error| unreadable(error.to_string()))?;
    let names = names.map(|names| &names.value.general_names[..]);
    Ok(Certificate {
        subject: subject(certificate.subject()),
        names: names.unwrap_or_default().iter().filter_map(name).collect(),
    })
}

fn name(name: &GeneralName<'_>) -> Option<AltName> {
    Some(match name {
        GeneralName::DNSName(name) => AltName::Dns((*name).to_owned()),
        GeneralName::RFC822Name(name) => AltName::Email((*name).to_owned()),
        GeneralName::URI(name) => AltName::Uri((*name).to_owned()),
        _ => return None,
    })
}

/// Section 2.1: "starting with the last element of the sequence and moving backwards toward the first".
fn subject(subject: &X509Name<'_>) -> String {
    let elements: Vec<String> = subject
        .iter_rdn()
        .map(|element| {
            let attributes: Vec<String> = element.iter().map(attribute).collect();
            attributes.join("+")
        })
        .collect();
    elements.into_iter().rev().collect::<Vec<_>>().join(",")
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let oid = attribute.attr_type();
    let known = oid2abbrev(oid, oid_registry());
    let key = known.map_or_else(|_| oid.to_id_string(), str::to_owned);
    match attribute.as_str() {
        Ok(value) => format!("{key}={}", escaped(value)),
        // Section 2.4: "an octothorpe character ('#') followed by the hexadecimal representation".
        Err(_) => {
            let mut text = format!("{key}=#");
            for byte in attribute.as_slice() {
                // Writing to a string can't fail.
                let _ = write!(text, "{byte:02X}");
            }
            text
        }
    }
}

/// Escapes a value as in section 2.4, and also control characters, which must not get into a log.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (index, c) in value.chars().enumerate() {
        let edge = (c == ' ' && (index == 0 || index == last)) || (c == '#' && index == 0);
        if c.is_control() {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                // Writing to a string can't fail.
                let _ = write!(text, "\\{byte:02X}");
            }
            continue;
        }
        if edge || matches!(c, '"' | '+' | ',' | ';' | '<' | '=' | '>' | '\\') {
            text.push('\\');
        }
        text.push(c);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_and_control_characters_are_escaped() {
        assert_eq!(escaped("alice,O=Example"), r"alice\,O\=Example");
        assert_eq!(escaped(" #a# b "), r"\ #a# b\ ");
        assert_eq!(escaped("#a"), r"\#a");
        assert_eq!(escaped("a\n\0é"), r"a\0A\00é");
        assert_eq!(escaped(r"a\2Cb"), r"a\\2Cb");
    }
}
