//! What a server asks of its keeper, and what it's told.

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::here::Seen;

/// Bytes of a message. Restrains a peer that lies about lengths, and error texts: what is longer travels as a file.
pub(crate) const MOST: usize = 64 << 10;

/// Characters of an error's text.
const WORDS: usize = 8 << 10;

/// A path as bytes: any bytes except NUL may stand in one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Passed(Vec<u8>);

impl Passed {
    /// The path.
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

/// What a server asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// A regular file, open to be read. Answered by [`Answer::File`].
    Read(Passed),
    /// A file or block device of the operator's. Answered by [`Answer::File`].
    Disk {
        /// Where it is.
        path: Passed,
        /// Whether it's to be written too.
        writable: bool,
    },
    /// A file, open to be written at its end. Answered by [`Answer::File`].
    Append {
        /// Where it is, or will be.
        path: Passed,
        /// Whether it's emptied first.
        anew: bool,
    },
    /// The reading end of a pipe that the keeper was handed as this descriptor. Answered by [`Answer::File`].
    Pipe(u32),
    /// What is at a path. Answered by [`Answer::Seen`].
    Look(Passed),
    /// The entries of a folder. Answered by [`Answer::Entries`].
    List {
        /// The folder.
        path: Passed,
        /// How many at most.
        most: u32,
    },
    /// Who holds locks of some bytes of the file with this inode, for people. Answered by [`Answer::Text`].
    LockHolders {
        /// The file.
        inode: u64,
        /// The bytes.
        bytes: std::ops::Range<u64>,
    },
    /// The compiled code of a plugin's file. Answered by [`Answer::Code`].
    Code {
        /// The file.
        path: Passed,
        /// A number that changes with everything that compiled code depends on: code that was made under another one is of
        /// no use.
        compatibility: u64,
    },
    /// A socket that listens. Answered by [`Answer::Socket`].
    Listen(Socket),
    /// The socket isn't needed any more: the keeper removes its file. Answered by [`Answer::Done`].
    Unlisten(Socket),
    /// Standard input as the keeper has it. Answered by [`Answer::File`].
    Input,
    /// A connection to the admin pages of another server of this keeper, counted from 0. Answered by [`Answer::Visit`];
    /// ENOENT if the keeper has no server with this number.
    Visit(u32),
    /// How far the server is. Answered by [`Answer::Done`].
    Reached(Stage),
    /// An earlier ask, by its number, is of no use any more. Never answered, and nor is that one.
    Cancel(u64),
}

/// A socket that the operator wants, by the words of the operator.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Socket {
    /// One of the command line's, counted from 0.
    CommandLine(u32),
    /// TCP.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix {
        /// Its file.
        path: Passed,
        /// The file's permissions.
        mode: Option<u32>,
        /// The file's owner: user and group, by name or number.
        owner: Option<(Option<String>, Option<String>)>,
    },
    /// vsock.
    Vsock {
        /// The machine; any if it isn't given.
        cid: Option<u32>,
        /// The port.
        port: u32,
    },
    /// One that the process that started the keeper has opened, by its name.
    Inherited(String),
    /// The operator's own.
    Admin(Box<Socket>),
}

/// How far a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// Clients can come in.
    Ready,
    /// What is served is looked at again.
    Reloading,
    /// It was looked at, is of no use, and nothing is changed. [`Ready`](Self::Ready) follows.
    Unchanged,
    /// Nobody else is let in.
    Stopping,
}

/// What a server is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Told {
    /// The answer to the ask with this number.
    Answer(u64, Result<Answer, Failure>),
    /// Something that nobody asked for.
    Note(Note),
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// It's done.
    Done,
    /// The descriptor that comes along.
    File,
    /// What is there.
    Seen(Seen),
    /// A file with the entries comes along.
    Entries,
    /// The code comes along.
    Code {
        /// SHA-256 of the plugin's file.
        digest: [u8; 32],
        /// The file's size in bytes.
        size: u64,
        /// How long it took to compile, in nanoseconds; `None` if the cache had it.
        compiled: Option<u64>,
    },
    /// The file of a plugin can't be one.
    Refused {
        /// SHA-256 of the file.
        digest: [u8; 32],
        /// Why, in words that name the file.
        words: String,
    },
    /// The socket comes along.
    Socket {
        /// What logs, and the rules of `clients`, call it, if the operator or whoever opened it said so.
        name: Option<String>,
        /// Where it is.
        place: Place,
    },
    /// Words.
    Text(String),
    /// One end of a stream comes along, whose other end the server got as a [`Note::Visit`]. None comes if that server
    /// doesn't run.
    Visit {
        /// The server's name.
        name: String,
    },
}

/// Of which kind a socket is, and what the kernel doesn't tell of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// TCP, with the host as it was given.
    Tcp(Option<String>),
    /// The file, if the keeper made one.
    Unix(Option<Passed>),
    /// vsock.
    Vsock,
}

/// Something that nobody asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Note {
    /// What is served is to be looked at again, and why.
    Reload(String),
    /// The stream that comes along is a client of the admin pages.
    Visit,
}

/// Why an ask failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    errno: Option<i32>,
    words: String,
}

impl Failure {
    /// What was asked for isn't among the rights: EPERM.
    #[must_use]
    pub fn denied() -> Self {
        io::Error::from_raw_os_error(Errno::PERM.raw_os_error()).into()
    }

    /// With these words, as far as they fit.
    #[must_use]
    pub fn new(words: &str) -> Self {
        Self {
            errno: None,
            words: fitting(words),
        }
    }
}

/// Words, as far as they fit into a message.
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
