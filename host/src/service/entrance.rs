//! Where the clients of a configuration come in, if not where it says.

use std::path::PathBuf;

use nbd_server::{Address, OnlyClient};
use nbdbox_config::config::{self, Config, Tls};

/// What the command line wants instead of a configuration's listeners.
#[derive(Debug)]
pub(crate) enum Entrance {
    /// Nothing else.
    Listeners,
    /// The first listener is at this unix socket, and there's no other one.
    Socket(PathBuf),
    /// The first listener is where the keeper opened it, and there's no other one.
    Kept,
    /// One client comes in by the first listener, on standard input and output; nobody listens.
    Standard,
}

/// Where clients come in.
#[derive(Debug)]
pub(crate) struct Opened {
    /// The first listener's address.
    pub(crate) address: Address,
    /// The first listener's TLS.
    pub(crate) tls: Tls,
    /// If there's one client only.
    pub(crate) only: Option<OnlyClient>,
}

impl Entrance {
    /// Whether none of a configuration's listeners is opened: something else stands for the first one.
    pub(super) fn is_narrow(&self) -> bool {
        !matches!(self, Self::Listeners)
    }

    /// Leaves of the listeners what is to be opened.
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
