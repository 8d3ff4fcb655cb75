//! Messages and descriptors over a socket pair.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::message::MOST;

/// The most descriptors that a message carries.
const DESCRIPTORS: usize = 1;

/// One end of a socket pair that keeps the borders of messages (`SOCK_SEQPACKET`).
#[derive(Debug)]
pub struct Link(OwnedFd);

impl Link {
    /// Makes a socket pair, and returns both ends.
    ///
    /// # Errors
    /// The process has no descriptor left.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        Ok((Self(one), Self(other)))
    }

    /// The link of an end that this process inherited.
    #[must_use]
    pub fn of(end: OwnedFd) -> Self {
        Self(end)
    }

    /// Sends a message, with a descriptor or without. Blocks while the other side doesn't read.
    ///
    /// # Errors
    /// The other side has closed its end; the message is too large; `WouldBlock` if the socket is non-blocking and
    /// full.
    pub fn send(&self, message: &impl Serialize, file: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let bytes = postcard::to_stdvec(message).map_err(io::Error::other)?;
        if bytes.len() > MOST {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let files: Vec<BorrowedFd<'_>> = file.into_iter().collect();
        if !files.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&files)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        loop {
            match sendmsg(
                &self.0,
                &[IoSlice::new(&bytes)],
                &mut control,
                SendFlags::NOSIGNAL,
            ) {
                Err(rustix::io::Errno::INTR) => {}
                sent => return Ok(sent.map(drop)?),
            }
        }
    }

    /// Waits for the next message and the descriptor that it carries; `None` once the other side has closed its end.
    ///
    /// # Errors
    /// The message is of another type; `WouldBlock` if the socket is non-blocking and no message has come.
    pub fn receive<T: DeserializeOwned>(&self) -> io::Result<Option<(T, Option<OwnedFd>)>> {
        let mut bytes = vec![0; MOST];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = loop {
            match recvmsg(
                &self.0,
                &mut [IoSliceMut::new(&mut bytes)],
                &mut control,
                RecvFlags::CMSG_CLOEXEC,
            ) {
                Err(rustix::io::Errno::INTR) => {}
                received => break received?,
            }
        };
        let mut files = control.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(files) => Some(files),
            _ => None,
        });
        let file = files.next().and_then(|mut files| files.next());
        if received.bytes == 0 {
            return Ok(None);
        }
        let message = postcard::from_bytes(&bytes[..received.bytes]).map_err(io::Error::other)?;
        Ok(Some((message, file)))
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl std::os::fd::AsRawFd for Link {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.0.as_raw_fd()
    }
}

impl From<Link> for OwnedFd {
    fn from(link: Link) -> Self {
        link.0
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read as _, Seek as _, Write as _};

    use super::*;

    #[test]
    fn a_message_and_its_file_arrive() {
        let (here, there) = Link::pair().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"bytes").unwrap();
        file.rewind().unwrap();
        here.send(&7u32, Some(file.as_fd())).unwrap();
        here.send(&"words", None).unwrap();
        let (number, file) = there.receive::<u32>().unwrap().unwrap();
        let mut text = String::new();
        File::from(file.unwrap()).read_to_string(&mut text).unwrap();
        assert_eq!((number, &text[..]), (7, "bytes"));
        let (words, file) = there.receive::<String>().unwrap().unwrap();
        assert_eq!((&words[..], file.is_none()), ("words", true));
        drop(here);
        assert!(there.receive::<u32>().unwrap().is_none());
    }

    #[test]
    fn garbage_is_an_error_and_a_message_too_large_is_not_sent() {
        let (here, there) = Link::pair().unwrap();
        here.send(&vec![0xffu8; 3], None).unwrap();
        assert!(there.receive::<crate::Request>().is_err());
        let long = "x".repeat(MOST + 1);
        assert!(here.send(&long, None).is_err());
    }
}
