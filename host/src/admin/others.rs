//! Reads the admin pages of the keeper's other servers.
//!
//! These servers run plugins, and one that an intruder controls may send anything. So their answers are bounded, and
//! `merge` parses them strictly.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as Socket;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use lanes::Work;
use nbdbox_config::config::Part;
use outside::{Answer, Keeper, Request};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::visit;
use crate::walls;

/// The time that a server gets to answer. Restrains a server that an intruder controls.
const PATIENCE: Duration = Duration::from_secs(5);

/// The most bytes of an answer. Restrains a server that an intruder controls.
const ANSWER: usize = 64 << 20;

/// The most servers that the process visits. The keeper has at most one for each listener of the configuration, and one
/// that the others share.
const SERVERS: usize = 4096;

/// A page of another server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// The server's name.
    pub(super) server: String,
    /// The page; `None` if the server doesn't run, sends an error or is late.
    pub(super) text: Option<Bytes>,
}

/// Whether this process is the admin server, which shows the figures of the other servers, too.
pub(super) fn are_shown_here() -> bool {
    walls::part() == Part::Admin
}

/// A page of all other servers, in the order of their numbers. Dropping the future is safe.
pub(super) async fn pages(page: &'static str) -> Vec<Page> {
    let mut visits = Vec::new();
    let mut least = 0;
    while visits.len() < SERVERS {
        let asking = Work::of_the_host().run(move || ask(least));
        let Ok(Some((number, server, stream))) = asking.await else {
            break;
        };
        least = number + 1;
        visits.push(async move {
            let text = match stream {
                Some(stream) => read(stream, page).await,
                None => None,
            };
            Page { server, text }
        });
    }
    // At once: those that hang cost the time of one.
    join_all(visits).await
}

/// Number and name of the server with this number or the next one above, and a stream to its admin pages if it runs;
/// `None` if there is no such server. Blocks until the keeper answers.
fn ask(least: u32) -> Option<(u32, String, Option<OwnedFd>)> {
    match Keeper::get()?.ask(&Request::Visit(least)) {
        Ok((Answer::Visit { number, name }, stream)) => Some((number, name, stream)),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        other => {
            tracing::error!(
                listener = "admin",
                "the keeper can't connect this server with another one: {other:?}"
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
