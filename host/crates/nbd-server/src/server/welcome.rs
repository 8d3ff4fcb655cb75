//! How a listener receives new clients. The operator can change it while the listener is open.

use std::sync::Arc;

use anyhow::Context as _;
use nbdbox_config::config;

use crate::tls::Tls;

/// How a listener receives the next clients.
#[derive(Clone, Debug)]
pub enum Welcome {
    /// In plain text.
    Plain,
    /// With TLS, offered or required.
    Secured(Arc<Tls>),
    /// Not at all: the listener closes.
    Closed,
}

impl Welcome {
    /// The welcome of a configured listener. Reads the files for TLS, and blocks meanwhile.
    ///
    /// # Errors
    /// A file can't be read or used. The error names the listener's place in the configuration, and the file.
    pub fn load(listener: &config::Listener) -> anyhow::Result<Self> {
        let tls = Tls::load(&listener.tls);
        Ok(tls.with_context(|| listener.place.to_string())?.into())
    }

    /// Whether the listener closes.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self, Self::Closed)
    }
}

impl From<Option<Arc<Tls>>> for Welcome {
    fn from(tls: Option<Arc<Tls>>) -> Self {
        tls.map_or(Self::Plain, Self::Secured)
    }
}
