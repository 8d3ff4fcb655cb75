//! The messages between a server and its keeper.

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::here::Seen;

/// The most bytes of a message. Each message gets a buffer of this size, so that no peer chooses it. Longer data
/// travels as a file.
pub(crate) const MOST: usize = 64 << 10;

/// The most characters of a text in a message, so that it fits into [`MOST`] bytes.
const WORDS: usize = 8 << 10;

/// A path as bytes, since a path needn't be UTF-8.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Passed(Vec<u8>);

impl Passed {
    /// Converts the bytes back, without a check.
    #[must_use]
    pub fn to_path(&self) -> PathBuf {
        OsString::from_vec(self.0.clone()).into()
    }
}

impl From<&Path> for Passed {
    fn from(path: &Path) -> Self {
        Self(path.as_os_str().as_bytes().to_vec())
    }
}

/// A request of a server to its keeper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Open a regular file to read it. Answered by [`Answer::File`].
    Read(Passed),
    /// Open a regular file or a block device. Answered by [`Answer::File`].
    Disk {
        /// The path of the file or device.
        path: Passed,
        /// Whether the server may write it, too.
        writable: bool,
    },
    /// Open a file to append to it. The keeper creates it if it doesn't exist. Answered by [`Answer::File`].
    Append {
        /// The path of the file.
        path: Passed,
        /// Whether the keeper empties the file first.
        anew: bool,
    },
    /// Open the reading end of a pipe that the keeper inherited as this descriptor. Answered by [`Answer::File`].
    Pipe(u32),
    /// Look at a path. Answered by [`Answer::Seen`].
    Look(Passed),
    /// List the entries of a folder. Answered by [`Answer::Entries`].
    List {
        /// The folder.
        path: Passed,
        /// The most entries that the answer may have.
        most: u32,
    },
    /// Name the programs that hold locks of some bytes of a file. Answered by [`Answer::Text`].
    LockHolders {
        /// The file's inode.
        inode: u64,
        /// The range of bytes in the file.
        bytes: std::ops::Range<u64>,
    },
    /// Compile a plugin's file, or get its code from the cache. Answered by [`Answer::Code`] or [`Answer::Refused`].
    Code {
        /// The path of the plugin's file.
        path: Passed,
        /// A number that changes with everything that compiled code depends on. Code that was compiled under another
        /// number can't be used.
        compatibility: u64,
    },
    /// Open a socket that listens, or share one that is open. Answered by [`Answer::Socket`].
    Listen(Socket),
    /// Give up a socket. The keeper closes it, and removes its file, if no other server listens on it. Answered by
    /// [`Answer::Done`].
    Unlisten(Socket),
    /// Get the keeper's standard input. Answered by [`Answer::File`].
    Input,
    /// Connect to the admin pages of the server of this keeper that has this number, or the next one above. Answered by
    /// [`Answer::Visit`], or by ENOENT if the keeper has no such server.
    Visit(u32),
    /// Report the server's stage. Answered by [`Answer::Done`].
    Reached(Stage),
    /// Give up an earlier request, by its number. The keeper answers neither of the two.
    Cancel(u64),
}

/// A socket, as the operator's command line or configuration names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Socket {
    /// A socket of the command line, counted from 0.
    CommandLine(u32),
    /// A TCP socket of the configuration.
    Tcp(SocketAddr),
    /// A unix socket of the configuration.
    Unix {
        /// The socket's file.
        path: Passed,
        /// The file's permissions, as for chmod(2).
        mode: Option<u32>,
        /// The file's owner: user and group, by name or number.
        owner: Option<(Option<String>, Option<String>)>,
    },
    /// A vsock socket of the configuration.
    Vsock {
        /// The context ID of the machine; `None` for any.
        cid: Option<u32>,
        /// The port.
        port: u32,
    },
    /// A socket that the keeper inherited (sd_listen_fds(3)), by its name.
    Inherited(String),
    /// The socket of the admin listener.
    Admin(Box<Socket>),
}

/// The stage of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// The server admits clients.
    Ready,
    /// The server reloads what it serves. [`Ready`](Self::Ready) follows.
    Reloading,
    /// The reload failed, and the server goes on as before. [`Ready`](Self::Ready) follows.
    Unchanged,
    /// The server drains, and admits no new client.
    Stopping,
}

/// A message of the keeper to a server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Told {
    /// The answer to the request with this number.
    Answer(u64, Result<Answer, Failure>),
    /// A message without a request.
    Note(Note),
}

/// The keeper's answer to a request that succeeded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The keeper has done the request.
    Done,
    /// The message carries a descriptor.
    File,
    /// The metadata of a path.
    Seen(Seen),
    /// The message carries a file in memory with the entries.
    Entries,
    /// The message carries a file with the compiled code.
    Code {
        /// SHA-256 of the plugin's file.
        digest: [u8; 32],
        /// The size of the plugin's file in bytes.
        size: u64,
        /// The time that the compiler took, in nanoseconds; `None` if the cache had the code.
        compiled: Option<u64>,
    },
    /// The file isn't a plugin that can be compiled.
    Refused {
        /// SHA-256 of the file.
        digest: [u8; 32],
        /// The reason. The text names the file.
        words: String,
    },
    /// The message carries the socket.
    Socket {
        /// The name that logs and the rules of `clients` use, if the operator or the socket's opener gave one.
        name: Option<String>,
        /// The socket's kind, with its host name or file.
        place: Place,
    },
    /// A text for people.
    Text(String),
    /// The message carries one end of a stream, if the visited server runs. That server got the other end by a
    /// [`Note::Visit`].
    Visit {
        /// The number of the visited server.
        number: u32,
        /// Its name.
        name: String,
    },
}

/// The kind of a socket, with facts that the kernel doesn't report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// TCP, with the host name that the operator gave, if any.
    Tcp(Option<String>),
    /// A unix socket, with its file if the keeper made one.
    Unix(Option<Passed>),
    /// A vsock socket.
    Vsock,
}

/// A message of the keeper without a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Note {
    /// Reload what the server serves, for this reason.
    Reload(String),
    /// The message carries a stream. Its other end is a client of the admin pages.
    Visit,
}

/// The reason why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    errno: Option<i32>,
    words: String,
}

impl Failure {
    /// EPERM: the server's rights don't allow the request.
    #[must_use]
    pub fn denied() -> Self {
        io::Error::from_raw_os_error(Errno::PERM.raw_os_error()).into()
    }

    /// A failure with this text, cut as by [`fitting`].
    #[must_use]
    pub fn new(words: &str) -> Self {
        Self {
            errno: None,
            words: fitting(words),
        }
    }
}

/// The first 8,192 characters of a text: as much as fits into a message.
#[must_use]
pub fn fitting(words: &str) -> String {
    words.chars().take(WORDS).collect()
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self {
            errno: error.raw_os_error(),
            ..Self::new(&error.to_string())
        }
    }
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        match failure.errno {
            Some(errno) => Self::from_raw_os_error(errno),
            None => Self::other(failure.words),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_keeps_its_kind_over_the_link() {
        let gone = io::Error::from_raw_os_error(2);
        let told = io::Error::from(Failure::from(gone));
        assert_eq!(told.kind(), io::ErrorKind::NotFound);
        let told = io::Error::from(Failure::new(&"x".repeat(WORDS + 1)));
        assert_eq!(told.to_string().len(), WORDS);
    }
}
