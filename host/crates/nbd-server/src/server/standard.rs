//! Serves one client on standard input and output, as inetd(8) and libnbd start a server.
//!
//! If both are the same socket, it is the client's connection. Otherwise, as with pipes, one thread for each direction
//! copies between them and a socket pair: a read may block, and the server can't make them non-blocking because other
//! processes may share them.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::thread;

use anyhow::{Context as _, bail};
use device::identity::Peer;
use outside::{Keeper, Request};
use rustix::fs::{FileType, fstat};
use rustix::net::{AddressFamily, getpeername, sockopt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::oneshot;

use super::listener::{Kind, Listener, Stream};

/// Bytes that a thread copies at once.
const BUFFER: usize = 256 << 10;

/// A server's only client, which is connected from the beginning.
#[derive(Debug)]
pub(super) struct Only {
    pub(super) stream: Stream,
    pub(super) peer: Peer,
}

/// Held while the only client is connected.
pub(super) type Presence = oneshot::Sender<()>;

/// Waits for the end of the only client's connection.
#[derive(Debug)]
pub struct OnlyClient {
    left: oneshot::Receiver<()>,
    /// Ends when the thread has written all bytes to standard output, if there is such a thread.
    written: Option<oneshot::Receiver<()>>,
}

impl OnlyClient {
    /// Waits until the client's connection has ended, or its listener was dropped, and all bytes for the client are
    /// written. Call it once. Dropping the future is safe.
    pub async fn left(&mut self) {
        // The sender is dropped and never sends.
        let _ = (&mut self.left).await;
        if let Some(written) = &mut self.written {
            let _ = written.await;
        }
    }
}

impl Listener {
    /// A listener of this name whose only client is the one on standard input and output. If there is a keeper, it has
    /// the client's standard input, because this process's own leads to the keeper. Must be called in a runtime, and
    /// once in a process. Blocks while the keeper answers.
    ///
    /// # Errors
    /// One of the two is closed, or the process has no descriptors or threads left.
    pub fn standard(name: &str) -> anyhow::Result<(Self, OnlyClient)> {
        let kept = Keeper::get().map(input_of).transpose()?;
        let input = kept.as_ref().map_or(rustix::stdio::stdin(), OwnedFd::as_fd);
        let output = rustix::stdio::stdout();
        let (only, written) = match is_same_socket(input, output) {
            true => (connected(input)?, None),
            false => {
                let (only, written) = bridge(input, output)?;
                (only, Some(written))
            }
        };
        let (presence, left) = oneshot::channel();
        let listener = Self {
            name: name.to_owned(),
            kind: Kind::Only(Some((only, presence))),
        };
        Ok((listener, OnlyClient { left, written }))
    }
}

fn input_of(keeper: &Keeper) -> anyhow::Result<OwnedFd> {
    match keeper
        .ask(&Request::Input)
        .context("can't use standard input")?
    {
        (_, Some(input)) => Ok(input),
        (answer, None) => bail!("the keeper sent an unexpected answer: {answer:?}"),
    }
}

fn is_same_socket(input: BorrowedFd<'_>, output: BorrowedFd<'_>) -> bool {
    let (Ok(one), Ok(other)) = (fstat(input), fstat(output)) else {
        return false;
    };
    FileType::from_raw_mode(one.st_mode) == FileType::Socket
        && (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
        && getpeername(input).is_ok()
}

/// The client of a connected socket.
fn connected(socket: BorrowedFd<'_>) -> anyhow::Result<Only> {
    const NAMED: &str = "can't use the socket on standard input";
    let family = sockopt::socket_domain(socket).context(NAMED)?;
    let socket = socket.try_clone_to_owned().context(NAMED)?;
    rustix::io::ioctl_fionbio(&socket, true).context(NAMED)?;
    if family == AddressFamily::UNIX {
        return unix(socket).context(NAMED);
    }
    let stream = TcpStream::from_std(socket.into()).context(NAMED)?;
    //= proto.md#protocol-phases
    //# both the client and server SHOULD disable Nagle's algorithm (that is, use `setsockopt` to set the
    //# `TCP_NODELAY` option to non-zero)
    let _ = stream.set_nodelay(true);
    Ok(Only {
        peer: Peer::Tcp(stream.peer_addr().context(NAMED)?.ip()),
        stream: Stream::Tcp(stream),
    })
}

fn unix(socket: OwnedFd) -> io::Result<Only> {
    let stream = UnixStream::from_std(socket.into())?;
    let user = stream.peer_cred().ok().map(|credentials| credentials.uid());
    Ok(Only {
        stream: Stream::Unix(stream),
        peer: Peer::Unix(user),
    })
}

/// Starts two threads that copy between standard input and output and a socket pair, until each of them ends. The
/// receiver ends when all output is written.
fn bridge(
    input: BorrowedFd<'_>,
    output: BorrowedFd<'_>,
) -> anyhow::Result<(Only, oneshot::Receiver<()>)> {
    let own = |descriptor: BorrowedFd<'_>| descriptor.as_fd().try_clone_to_owned().map(File::from);
    let mut input = own(input).context("can't use standard input")?;
    let mut output = own(output).context("can't use standard output")?;
    let (inner, outer) = StdUnixStream::pair().context("can't make a socket pair")?;
    inner.set_nonblocking(true)?;
    let (mut from_client, mut to_client) = (outer.try_clone()?, outer);
    let (done, written) = oneshot::channel();
    begin("standard-input", move || {
        // Even after an error the server must learn that the client sends no more.
        let _ = copy(&mut input, &mut from_client);
        let _ = from_client.shutdown(Shutdown::Write);
    })?;
    begin("standard-output", move || {
        // The client reads no more: the server's next write must fail.
        if copy(&mut to_client, &mut output).is_err() {
            let _ = to_client.shutdown(Shutdown::Both);
        }
        drop(done);
    })?;
    let only = unix(inner.into()).context("can't use a socket pair")?;
    Ok((only, written))
}

/// Copies until the end of `from`. Not with `io::copy`, which uses splice(2): that holds the pipe's lock while it waits
/// for the socket, so the client couldn't read the bytes in the pipe.
fn copy(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => to.write_all(&buffer[..count])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn begin(name: &str, work: impl FnOnce() + Send + 'static) -> anyhow::Result<()> {
    #[expect(
        clippy::disallowed_methods,
        reason = "owner: the process; two threads, which end with its only client"
    )]
    let thread = thread::Builder::new().name(name.to_owned()).spawn(work);
    thread.context("can't start a thread")?;
    Ok(())
}
