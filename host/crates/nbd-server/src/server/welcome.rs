//! How those who come by a listener are received; it may change while the listener is there.

use std::sync::Arc;

use anyhow::Context as _;
use nbdbox_config::config;

use crate::tls::Tls;

/// How those who come next are received.
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
    /// As the configuration says; reads TLS's files.
    ///
    /// # Errors
    /// Names the file that is of no use, and why.
    pub fn load(listener: &config::Listener) -> anyhow::Result<Self> {
        let tls = Tls::load(&listener.tls);
        Ok(tls.with_context(|| listener.place.to_string())?.into())
    }

    /// Whether nobody is to be let in any more.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self, Self::Closed)
    }
}

impl From<Option<Arc<Tls>>> for Welcome {
    fn from(tls: Option<Arc<Tls>>) -> Self {
        tls.map_or(Self::Plain, Self::Secured)
    }
}
