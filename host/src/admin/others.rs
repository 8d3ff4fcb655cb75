//! The keeper's other servers: what their admin pages say.
//!
//! They run plugins, and one that a plugin took over may send anything: what they send is bounded, and `merge` reads it
//! strictly.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as Socket;
use std::time::Duration;

use bytes::Bytes;
use lanes::Work;
use nbdbox_config::config::Part;
use outside::{Answer, Keeper, Request};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::visit;
use crate::walls;

/// Time for a server's answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes of an answer.
const ANSWER: usize = 64 << 20;

/// Servers that are visited. The keeper has as many as the configuration has listeners, and one.
const SERVERS: u32 = 4096;

/// A page of another server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// The server's name.
    pub(super) server: String,
    /// The page; `None` if the server doesn't run, or doesn't answer well in time.
    pub(super) text: Option<Bytes>,
}

/// Whether this process shows the figures of others too.
pub(super) fn are_shown_here() -> bool {
    walls::part() == Part::Admin
}

/// The same page of all other servers, in a fixed order. Dropping it is safe.
pub(super) async fn pages(page: &'static str) -> Vec<Page> {
    let mut pages = Vec::new();
    for number in 0..SERVERS {
        let asking = Work::of_the_host().run(move || ask(number));
        let Ok(Some((server, stream))) = asking.await else {
            break;
        };
        let text = match stream {
            Some(stream) => read(stream, page).await,
            None => None,
        };
        pages.push(Page { server, text });
    }
    pages
}

/// The name of a server, and a stream to its admin pages if it runs. Blocks until the keeper answers.
fn ask(number: u32) -> Option<(String, Option<OwnedFd>)> {
    match Keeper::get()?.ask(&Request::Visit(number)) {
        Ok((Answer::Visit { name }, stream)) => Some((name, stream)),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        other => {
            tracing::error!(
                listener = "admin",
                "the keeper connects no server: {other:?}"
            );
            None
        }
    }
}

async fn read(stream: OwnedFd, page: &str) -> Option<Bytes> {
    let stream = UnixStream::from_std(Socket::from(stream)).ok()?;
    let got = timeout(PATIENCE, visit::get(stream, page, ANSWER)).await;
    got.ok()?.ok()
}
