//! Listeners.

use super::Checker;
use crate::config::at::At;
use crate::config::raw::{self, TlsMode};
use crate::config::{Address, Listener, Process, Tls, TlsFiles};

/// The greatest context id; the next number means "any context id" (vsock(7)).
const CID_MOST: u32 = u32::MAX - 1;

impl Checker<'_, '_> {
    pub(super) fn listener(&mut self, listener: At<raw::Listener>) -> Option<Listener> {
        let span = listener.span();
        let raw = listener.into_inner();
        let tls = self.tls(&raw);
        let address = self.listener_address(&raw, span.clone());
        let (address, tls) = (address?, tls?);
        let name = match &raw.name {
            Some(name) => self.listener_name(name),
            None => address.to_string(),
        };
        Some(Listener {
            name,
            address,
            tls,
            process: raw.process.map_or_else(Process::default, At::into_inner),
            place: self.place(&span),
        })
    }

    fn listener_name(&mut self, name: &At<String>) -> String {
        if !is_name(name.get()) {
            self.wrong(name.span(), "listener.name", NAME);
        }
        name.get().clone()
    }

    fn listener_address(
        &mut self,
        raw: &raw::Listener,
        span: std::ops::Range<usize>,
    ) -> Option<Address> {
        let unix = self.unix(
            raw.unix.as_ref(),
            raw.mode.as_ref(),
            raw.owner.as_ref(),
            "listener",
        );
        if let (Some(cid), None) = (&raw.cid, &raw.vsock) {
            self.wrong(
                cid.span(),
                "listener.cid",
                "only a vsock listener has this key",
            );
        }
        match (&raw.tcp, &raw.unix, &raw.vsock, &raw.inherited) {
            (Some(text), None, None, None) => self.tcp(text, "listener.tcp").map(Address::Tcp),
            (None, Some(_), None, None) => unix,
            (None, None, Some(port), None) => {
                let port = self.number(port, "listener.vsock", 1, CID_MOST);
                let cid = raw.cid.as_ref();
                let cid = cid.map(|cid| self.number(cid, "listener.cid", 0, CID_MOST));
                Some(Address::Vsock {
                    // If it's wrong, that has been reported.
                    cid: cid.flatten(),
                    port: port?,
                })
            }
            (None, None, None, Some(name)) => Some(Address::Inherited(name.get().clone())),
            _ => {
                let text = "exactly one of tcp, unix, vsock and inherited is expected";
                self.wrong(span, "listener", text);
                None
            }
        }
    }

    fn tls(&mut self, raw: &raw::Listener) -> Option<Tls> {
        let mode = raw.tls.as_ref();
        let files = [
            (&raw.certificate, "listener.certificate"),
            (&raw.key, "listener.key"),
            (&raw.client_ca, "listener.client-ca"),
        ];
        let (span, mode) = match mode {
            Some(mode) if !matches!(mode.get(), TlsMode::Off) => (mode.span(), *mode.get()),
            _ => {
                for (text, key) in files {
                    if let Some(text) = text {
                        let words = "it requires tls = \"on\" or \"require\"";
                        self.wrong(text.span(), key, words);
                    }
                }
                return Some(Tls::Off);
            }
        };
        let path = |checker: &Self, text: &At<String>| checker.path(text.get());
        let (Some(certificate), Some(key)) = (&raw.certificate, &raw.key) else {
            self.wrong(span, "listener.tls", "TLS needs a certificate and its key");
            return None;
        };
        let files = TlsFiles {
            certificate: path(self, certificate),
            key: path(self, key),
            client_ca: raw.client_ca.as_ref().map(|text| path(self, text)),
        };
        Some(match mode {
            TlsMode::Require => Tls::Require(files),
            _ => Tls::On(files),
        })
    }
}

/// The message for a wrong name.
pub(super) const NAME: &str = "a name of 1 to 64 letters, digits, `.`, `_` and `-` is expected, not beginning with `.` or `-`";

/// Whether logs, metrics and messages can have this word as it is.
pub(super) fn is_name(word: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=64).contains(&word.len()) && word.chars().all(fits) && !word.starts_with(['.', '-'])
}
