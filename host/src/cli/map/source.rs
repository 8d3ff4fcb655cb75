//! Where a map comes from: a server, or a plugin that this process runs.

use std::sync::Arc;

use anyhow::Context as _;
use nbd_client::{Client, Stream, Tls, Uri, printable};
use nbdbox_config::reference::Reference;
use tokio::net::UnixStream;

use super::tls_args::TlsArgs;
use crate::cli::plugin_args::PluginArgs;
use crate::machine;

/// A server, or a plugin.
pub(super) enum Source<'a> {
    Server {
        uri: Uri,
        text: &'a str,
        tls: Option<Tls>,
    },
    Plugin(&'a PluginArgs),
}

impl<'a> Source<'a> {
    /// A URI has `://`; what hasn't is a file.
    pub(super) fn of(arguments: &'a PluginArgs, tls: &TlsArgs) -> anyhow::Result<Self> {
        let Reference::Path(path) = arguments.plugin() else {
            return Ok(Self::Plugin(arguments));
        };
        match path.to_str() {
            Some(text) if text.contains("://") => {
                let uri = Uri::parse(text).with_context(|| printable(text))?;
                let tls = tls.tls(&uri).with_context(|| printable(text))?;
                Ok(Self::Server { uri, text, tls })
            }
            _ => Ok(Self::Plugin(arguments)),
        }
    }

    /// Whether it's a server.
    pub(super) fn is_server(&self) -> bool {
        matches!(self, Self::Server { .. })
    }

    /// Whether it's a server that is to speak TLS.
    pub(super) fn is_over_tls(&self) -> bool {
        matches!(self, Self::Server { tls: Some(_), .. })
    }

    /// What to call it; fit for a terminal.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Server { text, .. } => printable(text),
            Self::Plugin(arguments) => {
                let name = match arguments.plugin() {
                    Reference::Path(path) => {
                        let name = path.file_name().unwrap_or(path.as_os_str());
                        name.to_string_lossy().into_owned()
                    }
                    reference => reference.to_string(),
                };
                printable(&name)
            }
        }
    }

    /// Gets to where requests can be sent.
    pub(super) async fn connect(&self) -> anyhow::Result<Client<Stream>> {
        match self {
            Self::Server { uri, tls, .. } => {
                let stream = uri.connect().await?;
                Ok(match tls {
                    None => Client::negotiate(stream, uri.export()).await?,
                    Some(tls) => Client::negotiate_over_tls(stream, tls, uri.export()).await?,
                })
            }
            Self::Plugin(arguments) => {
                let opener = PluginArgs::opener("");
                let process = machine::budget(None);
                let catalog = arguments.open("", true, &opener, &process).await?;
                let (ours, theirs) = UnixStream::pair()?;
                #[expect(
                    clippy::disallowed_methods,
                    reason = "the command's own: one, for its one client"
                )]
                tokio::spawn(nbd_server::serve_stream(theirs, Arc::new(catalog)));
                let stream: Stream = Box::new(ours);
                Ok(Client::negotiate(stream, "").await?)
            }
        }
    }
}
