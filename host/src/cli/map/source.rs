//! The source of a map: a server, or a plugin that this process runs.

use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use anyhow::Context as _;
use nbd_client::{Client, Stream, Tls, Uri, printable};
use nbd_proto::Framing;
use nbdbox_config::reference::Reference;
use outside::{Keeper, Request, Rights};
use runtime::PluginCatalog;
use runtime::cache::Cache;
use thiserror::Error;
use tokio::net::UnixStream;

use super::tls_args::TlsArgs;
use crate::cli::plugin_args::PluginArgs;
use crate::cli::sandbox_args::{self, Side};
use crate::machine;
use crate::service::Signals;

/// The framing that needs the fewest requests for a map.
const FRAMING: Framing = Framing::Extended;

/// A server, or a plugin.
pub(super) enum Source<'a> {
    Server {
        uri: Uri,
        text: &'a str,
        tls: Option<Tls>,
    },
    /// A plugin, run by this process, or by another one behind walls.
    Plugin(&'a PluginArgs, Side),
}

/// The process that runs the plugin has printed why it failed.
#[derive(Debug, Error)]
#[error("the plugin can't be run")]
pub(super) struct Told;

impl<'a> Source<'a> {
    /// An argument with `://` is a URI; any other names a plugin.
    pub(super) fn of(arguments: &'a PluginArgs, tls: &TlsArgs, side: Side) -> anyhow::Result<Self> {
        let Reference::Path(path) = arguments.plugin() else {
            return Ok(Self::Plugin(arguments, side));
        };
        match path.to_str() {
            Some(text) if text.contains("://") => {
                let uri = Uri::parse(text).with_context(|| printable(text))?;
                let tls = tls.tls(&uri).with_context(|| printable(text))?;
                Ok(Self::Server { uri, text, tls })
            }
            _ => Ok(Self::Plugin(arguments, side)),
        }
    }

    /// Whether it's a server.
    pub(super) fn is_server(&self) -> bool {
        matches!(self, Self::Server { .. })
    }

    /// Whether it's a server that is to be reached over TLS.
    pub(super) fn is_over_tls(&self) -> bool {
        matches!(self, Self::Server { tls: Some(_), .. })
    }

    /// The source's name, escaped for a terminal.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Server { text, .. } => printable(text),
            Self::Plugin(arguments, _) => name_of(arguments),
        }
    }

    /// Connects to the server, or starts the plugin, and negotiates up to the transmission phase.
    pub(super) async fn connect(&self) -> anyhow::Result<Client<Stream>> {
        match self {
            Self::Server { uri, tls, .. } => {
                let stream = uri.connect().await?;
                Ok(match tls {
                    None => Client::negotiate(stream, uri.export(), FRAMING).await?,
                    Some(tls) => {
                        Client::negotiate_over_tls(stream, tls, uri.export(), FRAMING).await?
                    }
                })
            }
            Self::Plugin(arguments, Side::Worker) => {
                let catalog = open(arguments).await?;
                let (ours, theirs) = UnixStream::pair()?;
                #[expect(
                    clippy::disallowed_methods,
                    reason = "the command's own: one, for its one client"
                )]
                tokio::spawn(nbd_server::serve_stream(theirs, Arc::new(catalog)));
                let stream: Stream = Box::new(ours);
                Ok(Client::negotiate(stream, "", FRAMING).await?)
            }
            Self::Plugin(arguments, Side::Keeper { all_walls }) => {
                let (ours, theirs) = UnixStream::pair()?;
                let mut rights = Rights::default();
                arguments.rights(true, &mut rights)?;
                let (input, all_walls) = (OwnedFd::from(theirs.into_std()?), *all_walls);
                #[expect(
                    clippy::disallowed_methods,
                    reason = "the command's own: one, which keeps the process that runs the plugin"
                )]
                let keeper = thread::spawn(move || {
                    let cache = Cache::default_folder();
                    sandbox_args::keep_for(all_walls, rights, cache, Some(input))
                });
                let stream: Stream = Box::new(ours);
                match Client::negotiate(stream, "", FRAMING).await {
                    Ok(client) => Ok(client),
                    // Without a client, the keeper ends and prints why the plugin failed.
                    Err(error) => match keeper.join() {
                        Ok(Ok(status)) if status != ExitCode::SUCCESS => Err(Told.into()),
                        Ok(Err(error)) => Err(error),
                        _ => Err(error.into()),
                    },
                }
            }
        }
    }
}

/// The plugin's name, escaped for a terminal.
fn name_of(arguments: &PluginArgs) -> String {
    let name = match arguments.plugin() {
        Reference::Path(path) => {
            let name = path.file_name().unwrap_or(path.as_os_str());
            name.to_string_lossy().into_owned()
        }
        reference => reference.to_string(),
    };
    printable(&name)
}

async fn open(arguments: &PluginArgs) -> anyhow::Result<PluginCatalog> {
    let (opener, process) = (PluginArgs::opener(""), machine::budget(None));
    arguments.open("", true, &opener, &process).await
}

/// Behind walls: runs the plugin for the one client whose socket the keeper holds.
///
/// # Errors
/// The plugin can't be run; the keeper has no client.
pub(super) async fn serve(arguments: &PluginArgs, keeper: &Keeper) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::catch()?;
    let opening = signals.unless_asked(open(arguments)).await;
    let catalog = opening.with_context(|| name_of(arguments))?;
    let (_, socket) = keeper.ask(&Request::Input)?;
    let socket = socket.context("the keeper has no client")?;
    let stream = UnixStream::from_std(socket.into())?;
    tokio::select! {
        _ = nbd_server::serve_stream(stream, Arc::new(catalog)) => {}
        _ = signals.wait() => {}
    }
    Ok(ExitCode::SUCCESS)
}
