//! Who a client is, as far as the server knows, and which clients an operator's rule fits.

use std::net::IpAddr;

use nbdbox_config::config::{AltName, ClientRule};

/// A client, as the listener accepted it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// The name of the listener that accepted it.
    pub listener: String,
    /// The other end of its socket.
    pub peer: Peer,
    /// Its certificate, set only after TLS has verified it.
    pub certificate: Option<Certificate>,
}

/// The other end of a socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Peer {
    /// In this process.
    #[default]
    Inside,
    /// A TCP client at this address.
    Tcp(IpAddr),
    /// A client of a unix socket, with the user id that the kernel reports; `None` if it reports none.
    Unix(Option<u32>),
    /// A client in the virtual machine with this context id.
    Vsock(u32),
}

/// The names in a verified certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificate {
    /// The subject, in the form of RFC 4514.
    pub subject: String,
    /// The subject alternative names of the kinds that rules can match.
    pub names: Vec<AltName>,
}

impl Client {
    /// Whether all conditions of `rule` hold for this client. An empty rule fits nobody.
    #[must_use]
    pub fn fits(&self, rule: &ClientRule) -> bool {
        let ClientRule {
            subject,
            san,
            uid,
            source,
            listener,
        } = rule;
        let certificate = self.certificate.as_ref();
        let says_something = *rule != ClientRule::default();
        says_something
            && subject.as_ref().is_none_or(|subject| {
                certificate.is_some_and(|certificate| certificate.subject == *subject)
            })
            && san.as_ref().is_none_or(|san| {
                certificate.is_some_and(|certificate| certificate.names.contains(san))
            })
            && uid.is_none_or(|uid| self.peer == Peer::Unix(Some(uid)))
            && source.is_none_or(|network| match self.peer {
                // An IPv6 socket reports an IPv4 client as `::ffff:a.b.c.d`.
                Peer::Tcp(address) => network.contains(&address.to_canonical()),
                _ => false,
            })
            && listener
                .as_ref()
                .is_none_or(|listener| self.listener == *listener)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule() -> ClientRule {
        ClientRule::default()
    }

    fn from(address: &str) -> Client {
        Client {
            peer: Peer::Tcp(address.parse().unwrap()),
            ..Client::default()
        }
    }

    #[test]
    fn an_empty_rule_fits_nobody() {
        assert!(!Client::default().fits(&rule()));
    }

    #[test]
    fn all_of_a_rule_must_hold() {
        let source = ClientRule {
            source: Some("192.0.2.0/24".parse().unwrap()),
            listener: Some("web".into()),
            ..rule()
        };
        assert!(!from("192.0.2.7").fits(&source));
        let by_web = |address| Client {
            listener: "web".into(),
            ..from(address)
        };
        assert!(by_web("192.0.2.7").fits(&source));
        assert!(by_web("::ffff:192.0.2.7").fits(&source));
        assert!(!by_web("192.0.3.7").fits(&source));
    }

    #[test]
    fn a_user_is_known_over_unix_sockets_only() {
        let root = ClientRule {
            uid: Some(0),
            ..rule()
        };
        let over_unix = |uid| Client {
            peer: Peer::Unix(uid),
            ..Client::default()
        };
        assert!(over_unix(Some(0)).fits(&root));
        assert!(!over_unix(Some(1)).fits(&root));
        assert!(!over_unix(None).fits(&root));
        assert!(!from("127.0.0.1").fits(&root));
    }

    #[test]
    fn names_are_those_of_a_checked_certificate() {
        let alice = Client {
            certificate: Some(Certificate {
                subject: "CN=alice".into(),
                names: vec![AltName::Dns("alice.example.com".into())],
            }),
            ..Client::default()
        };
        let subject = ClientRule {
            subject: Some("CN=alice".into()),
            ..rule()
        };
        let name = ClientRule {
            san: Some(AltName::Dns("ALICE.example.com".into())),
            ..rule()
        };
        assert!(alice.fits(&subject) && alice.fits(&name));
        for other in [
            AltName::Dns("bob.example.com".into()),
            AltName::Email("alice.example.com".into()),
            AltName::Uri("alice.example.com".into()),
        ] {
            let other = ClientRule {
                san: Some(other),
                ..subject.clone()
            };
            assert!(!alice.fits(&other), "{other:?}");
        }
        assert!(!Client::default().fits(&subject));
    }
}
