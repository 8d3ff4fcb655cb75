//! Addresses to listen on.

use std::fmt;
use std::net::SocketAddr;

use super::Checker;
use crate::config::at::At;
use crate::config::raw::Admin;
use crate::config::{Address, Owner};

/// The most bytes of a unix socket's path: `sun_path` without the NUL at its end (unix(7)).
const SOCKET_PATH: usize = 107;

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix { path, .. } => write!(f, "{}", path.display()),
            Self::Vsock { cid: None, port } => write!(f, "vsock port {port}"),
            Self::Vsock {
                cid: Some(cid),
                port,
            } => write!(f, "vsock cid {cid} port {port}"),
            Self::Inherited(name) => write!(f, "inherited socket `{name}`"),
        }
    }
}

impl Checker<'_, '_> {
    pub(super) fn tcp(&mut self, text: &At<String>, key: &str) -> Option<SocketAddr> {
        let address = text.get().parse().ok();
        if address.is_none() {
            let words = format!(
                "`{}` isn't an IP address and a port, such as 0.0.0.0:10809 or [::]:10809",
                text.get()
            );
            self.wrong(text.span(), key, words);
        }
        address
    }

    /// A unix socket with its permissions and owner. Reports these if the address is another.
    pub(super) fn unix(
        &mut self,
        path: Option<&At<String>>,
        mode: Option<&At<String>>,
        owner: Option<&At<String>>,
        table: &str,
    ) -> Option<Address> {
        let (mode_key, owner_key) = (format!("{table}.mode"), format!("{table}.owner"));
        let Some(path) = path else {
            for (text, key) in [(mode, &mode_key), (owner, &owner_key)] {
                if let Some(text) = text {
                    self.wrong(text.span(), key, "only a unix socket has this key");
                }
            }
            return None;
        };
        let mode = mode.and_then(|mode| self.mode(mode, &mode_key));
        let owner = owner.and_then(|owner| self.owner(owner, &owner_key));
        let text = path;
        let path = self.path(text.get());
        if text.get().is_empty() || path.as_os_str().len() > SOCKET_PATH {
            let words = format!("a path of 1 to {SOCKET_PATH} bytes is expected");
            self.wrong(text.span(), &format!("{table}.unix"), words);
            return None;
        }
        Some(Address::Unix { path, mode, owner })
    }

    fn mode(&mut self, text: &At<String>, key: &str) -> Option<u32> {
        let octal = text.get().bytes().all(|byte| byte.is_ascii_digit());
        let mode = u32::from_str_radix(text.get(), 8).ok();
        let mode = mode.filter(|mode| octal && *mode <= 0o777);
        if mode.is_none() {
            let words = format!("`{}` isn't a mode in octal, such as 0660", text.get());
            self.wrong(text.span(), key, words);
        }
        mode
    }

    fn owner(&mut self, text: &At<String>, key: &str) -> Option<Owner> {
        let (user, group) = text.get().split_once(':').unwrap_or((text.get(), ""));
        let some = |word: &str| (!word.is_empty()).then(|| word.to_owned());
        let (user, group) = (some(user), some(group));
        if user.is_none() && group.is_none() {
            let words = format!("`{}` isn't USER, USER:GROUP or :GROUP", text.get());
            self.wrong(text.span(), key, words);
            return None;
        }
        Some(Owner { user, group })
    }

    pub(super) fn admin(&mut self, table: &At<Admin>) -> Option<Address> {
        let Admin {
            tcp,
            unix,
            mode,
            owner,
        } = table.get();
        let unix_address = self.unix(unix.as_ref(), mode.as_ref(), owner.as_ref(), "admin");
        match (tcp, unix) {
            (Some(text), None) => {
                let address = self.tcp(text, "admin.tcp")?;
                if !address.ip().is_loopback() {
                    let words =
                        "only a loopback address is allowed: every client of it sees all tenants";
                    self.wrong(text.span(), "admin.tcp", words);
                }
                Some(Address::Tcp(address))
            }
            (None, Some(_)) => unix_address,
            _ => {
                self.wrong(
                    table.span(),
                    "admin",
                    "exactly one of tcp and unix is expected",
                );
                None
            }
        }
    }
}
