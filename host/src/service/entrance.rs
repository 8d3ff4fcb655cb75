//! The sockets to which the clients of a configuration connect, if the command line replaces the configured ones.

use std::path::PathBuf;

use nbd_server::{Address, OnlyClient};
use nbdbox_config::config::{self, Config, Tls};

/// What the command line opens in place of a configuration's listeners.
#[derive(Debug)]
pub(crate) enum Entrance {
    /// Nothing: the server opens all listeners of the configuration.
    Listeners,
    /// This unix socket, as the only listener. It has the first listener's name and TLS.
    Socket(PathBuf),
    /// The sockets that the keeper opened for the command line, with the first listener's name and TLS.
    Kept,
    /// No socket. One client is connected on standard input and output, as if to the first listener.
    Standard,
}

/// The sockets that the server has opened.
#[derive(Debug)]
pub(crate) struct Opened {
    /// The first listener's address.
    pub(crate) address: Address,
    /// The first listener's TLS.
    pub(crate) tls: Tls,
    /// The only client, if it's connected on standard input and output.
    pub(crate) only: Option<OnlyClient>,
}

impl Entrance {
    /// Whether the server opens none of the configuration's listeners itself.
    pub(super) fn is_narrow(&self) -> bool {
        !matches!(self, Self::Listeners)
    }

    /// Removes the listeners that the server doesn't open from the configuration.
    pub(super) fn narrow(&self, config: &mut Config) {
        match self {
            Self::Listeners => {}
            Self::Kept | Self::Standard => config.listeners.clear(),
            Self::Socket(path) => {
                config.listeners.truncate(1);
                for listener in &mut config.listeners {
                    listener.address = config::Address::Unix {
                        path: path.clone(),
                        mode: None,
                        owner: None,
                    };
                }
            }
        }
    }
}
