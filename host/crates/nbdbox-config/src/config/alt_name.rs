//! Subject alternative names, each of its kind: a text of one kind is never another's, whatever it looks like.

use std::fmt;

/// A subject alternative name of a certificate, as far as rules can mean it (RFC 5280, section 4.2.1.6).
///
/// Two are the same if their kinds are and their texts are. An authority that lets its clients choose one kind of
/// name hasn't vouched for another kind that has the same text.
#[derive(Clone, Debug)]
pub enum AltName {
    /// A DNS name; upper and lower case mean the same.
    Dns(String),
    /// An e-mail address, byte by byte.
    Email(String),
    /// A URI, byte by byte.
    Uri(String),
}

/// The prefix of each kind, and how to make one.
const KINDS: [(&str, Make); 3] = [
    ("DNS:", AltName::Dns),
    ("email:", AltName::Email),
    ("URI:", AltName::Uri),
];

type Make = fn(String) -> AltName;

/// What a word of the operator's is without its kind, and what would say it.
const AMBIGUOUS: &str =
    "is neither a DNS name nor an e-mail address; write `DNS:…`, `email:…` or `URI:…` before it";

impl AltName {
    /// What an operator's word means: `DNS:…`, `email:…` or `URI:…`. Without a prefix `://` makes it a URI, `@` an
    /// e-mail address, and else it's a DNS name.
    ///
    /// # Errors
    /// Says why it's none of these.
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
            return Err(format!("`{word}` isn't a name of a certificate"));
        }
        match name {
            // A DNS name that looks like another kind would fit no certificate: a mistake.
            Self::Dns(text) if text.contains([':', '/', '@']) => {
                Err(format!("`{text}` isn't a DNS name, as client.example.com"))
            }
            Self::Email(text) if !text.contains('@') => Err(format!(
                "`{text}` isn't an e-mail address, as alice@example.com"
            )),
            Self::Uri(text) if !text.contains(':') => Err(format!(
                "`{text}` isn't a URI, as spiffe://example.com/alice"
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
    fn a_word_says_its_kind_or_looks_like_it() {
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
    fn a_word_that_could_fit_no_certificate_is_refused() {
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
    fn only_names_of_one_kind_are_the_same() {
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
