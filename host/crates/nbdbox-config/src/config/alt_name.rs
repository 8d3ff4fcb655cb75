//! Subject alternative names of several kinds. Names of different kinds are never equal, even if their texts are.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A subject alternative name of a certificate, of the kinds that rules can match (RFC 5280, section 4.2.1.6).
///
/// Two names are equal if their kinds and their texts are. An authority that lets its clients choose names of one kind
/// hasn't vouched for a name of another kind with the same text.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum AltName {
    /// A DNS name, compared without case.
    Dns(String),
    /// An e-mail address, compared byte by byte.
    Email(String),
    /// A URI, compared byte by byte.
    Uri(String),
}

/// The prefix of each kind, and the constructor of its names.
const KINDS: [(&str, Make); 3] = [
    ("DNS:", AltName::Dns),
    ("email:", AltName::Email),
    ("URI:", AltName::Uri),
];

type Make = fn(String) -> AltName;

/// The end of the message for a word whose kind isn't clear.
const AMBIGUOUS: &str =
    "is neither a DNS name nor an e-mail address; write `DNS:…`, `email:…` or `URI:…` before it";

impl AltName {
    /// Parses an operator's word. `DNS:…`, `email:…` and `URI:…` set the kind. Without a prefix, a word with `://` is a
    /// URI, one with `@` an e-mail address, and any other a DNS name.
    ///
    /// # Errors
    /// Why the word isn't a name.
    pub fn parse(word: &str) -> Result<Self, String> {
        let named = KINDS.iter().find_map(|(prefix, kind)| {
            let rest = word.strip_prefix(prefix)?;
            Some(kind(rest.to_owned()))
        });
        let name = match named {
            Some(name) => name,
            None if word.contains("://") => Self::Uri(word.to_owned()),
            None if word.contains('@') => Self::Email(word.to_owned()),
            None if word.contains([':', '/']) => return Err(format!("`{word}` {AMBIGUOUS}")),
            None => Self::Dns(word.to_owned()),
        };
        let text = name.text();
        let stray = |c: char| c.is_whitespace() || c.is_control();
        if text.is_empty() || text.contains(stray) {
            return Err(format!(
                "`{word}` isn't a name in a certificate: it's empty, or has spaces or control characters"
            ));
        }
        match name {
            // A DNS name with these characters would match no certificate, so it's a mistake.
            Self::Dns(text) if text.contains([':', '/', '@']) => Err(format!(
                "`{text}` isn't a DNS name such as client.example.com"
            )),
            Self::Email(text) if !text.contains('@') => Err(format!(
                "`{text}` isn't an e-mail address such as alice@example.com"
            )),
            Self::Uri(text) if !text.contains(':') => Err(format!(
                "`{text}` isn't a URI such as spiffe://example.com/alice"
            )),
            name => Ok(name),
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::Dns(text) | Self::Email(text) | Self::Uri(text) => text,
        }
    }
}

impl PartialEq for AltName {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Dns(one), Self::Dns(other)) => one.eq_ignore_ascii_case(other),
            (Self::Email(one), Self::Email(other)) | (Self::Uri(one), Self::Uri(other)) => {
                one == other
            }
            _ => false,
        }
    }
}

impl Eq for AltName {}

impl fmt::Display for AltName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(text) => write!(f, "DNS:{text}"),
            Self::Email(text) => write!(f, "email:{text}"),
            Self::Uri(text) => write!(f, "URI:{text}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dns(text: &str) -> AltName {
        AltName::Dns(text.to_owned())
    }

    fn email(text: &str) -> AltName {
        AltName::Email(text.to_owned())
    }

    fn uri(text: &str) -> AltName {
        AltName::Uri(text.to_owned())
    }

    #[test]
    fn a_prefix_or_the_form_of_a_word_decides_its_kind() {
        for (word, name) in [
            ("bob.example.com", dns("bob.example.com")),
            ("DNS:bob", dns("bob")),
            ("bob@example.com", email("bob@example.com")),
            ("email:bob@example.com", email("bob@example.com")),
            ("spiffe://example.com/bob", uri("spiffe://example.com/bob")),
            ("https://bob@example.com", uri("https://bob@example.com")),
            ("URI:urn:uuid:1", uri("urn:uuid:1")),
            ("URI:mailto:bob@example.com", uri("mailto:bob@example.com")),
        ] {
            assert_eq!(AltName::parse(word), Ok(name.clone()), "{word}");
            assert_eq!(AltName::parse(&name.to_string()), Ok(name), "{word}");
        }
    }

    #[test]
    fn a_word_that_could_match_no_certificate_is_refused() {
        for word in [
            "",
            "DNS:",
            "email:",
            "URI:",
            "urn:uuid:1",
            "dns:bob",
            "bob/disk",
            "a b",
            "DNS:bob@example.com",
            "DNS:spiffe://bob",
            "email:bob",
            "URI:bob",
            "URI:a b",
        ] {
            assert!(AltName::parse(word).is_err(), "{word}");
        }
    }

    #[test]
    fn only_names_of_one_kind_are_equal() {
        let text = "x";
        let all = [dns(text), email(text), uri(text)];
        for (index, one) in all.iter().enumerate() {
            for (other_index, other) in all.iter().enumerate() {
                assert_eq!(one == other, index == other_index, "{one} {other}");
            }
        }
        assert_eq!(dns("Bob.Example.com"), dns("bob.example.COM"));
        assert_ne!(email("Bob@example.com"), email("bob@example.com"));
        assert_ne!(
            uri("spiffe://example.com/Bob"),
            uri("spiffe://example.com/bob")
        );
    }
}
