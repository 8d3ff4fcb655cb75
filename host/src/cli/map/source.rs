//! Where a map comes from: a server, or a plugin that this process runs.

use anyhow::Context as _;
use tokio::net::UnixStream;

use crate::cli::plugin_args::PluginArgs;
use crate::client::{Client, Stream, Uri, printable};
use crate::server;

/// A server, or a plugin.
pub(super) enum Source<'a> {
    Server(Uri, &'a str),
    Plugin(&'a PluginArgs),
}

impl<'a> Source<'a> {
    /// A URI has `://`; what hasn't is a file.
    pub(super) fn of(arguments: &'a PluginArgs) -> anyhow::Result<Self> {
        match arguments.plugin().to_str() {
            Some(text) if text.contains("://") => {
                let uri = Uri::parse(text).with_context(|| printable(text))?;
                Ok(Self::Server(uri, text))
            }
            _ => Ok(Self::Plugin(arguments)),
        }
    }

    /// What to call it; fit for a terminal.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Server(_, text) => printable(text),
            Self::Plugin(arguments) => {
                let path = arguments.plugin();
                let name = path.file_name().unwrap_or(path.as_os_str());
                printable(&name.to_string_lossy())
            }
        }
    }

    /// Gets to where requests can be sent.
    pub(super) async fn connect(&self) -> anyhow::Result<Client<Stream>> {
        match self {
            Self::Server(uri, _) => {
                let stream = uri.connect().await?;
                Ok(Client::negotiate(stream, uri.export()).await?)
            }
            Self::Plugin(arguments) => {
                let catalog = arguments.open("", true).await?;
                let (ours, theirs) = UnixStream::pair()?;
                tokio::spawn(server::serve_stream(theirs, catalog));
                let stream: Stream = Box::new(ours);
                Ok(Client::negotiate(stream, "").await?)
            }
        }
    }
}
