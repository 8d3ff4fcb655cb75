//! A client that sends exactly what a test wants, right or wrong.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nbd_proto::wire::{self, option, option_reply};
use rustix::io::Errno;
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{RecvFlags, Shutdown};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

/// A connection that does nothing by itself.
#[derive(Debug)]
pub struct Raw {
    stream: Stream,
}

/// A socket of either kind, or TLS over one.
#[derive(Debug)]
enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, Stream>>),
}

/// A test fails after this time, rather than hangs, if it waits for something that never comes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection past the handshake.
#[derive(Debug)]
pub struct Transmission {
    /// The connection.
    pub raw: Raw,
    /// The export's size in bytes.
    pub size: u64,
    /// The transmission flags as they came.
    pub flags: u16,
}

impl Raw {
    /// Connects.
    #[must_use]
    pub fn connect(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self {
            stream: Stream::Unix(stream),
        }
    }

    /// Connects over TCP, to a port of this machine.
    #[must_use]
    pub fn connect_tcp(port: u16) -> Self {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self {
            stream: Stream::Tcp(stream),
        }
    }

    /// Starts TLS with a server called `localhost`, whatever was sent before.
    ///
    /// # Errors
    /// One side rejects the other. With TLS 1.3 the server's rejection may show only at the next receive.
    pub fn over_tls(self, config: &Arc<ClientConfig>) -> io::Result<Self> {
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(Arc::clone(config), name).unwrap();
        let mut stream = StreamOwned::new(session, self.stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Self {
            stream: Stream::Tls(Box::new(stream)),
        })
    }

    /// The port on this side; `None` on a unix socket.
    #[must_use]
    pub fn local_port(&self) -> Option<u16> {
        match &self.stream {
            Stream::Unix(_) | Stream::Tls(_) => None,
            Stream::Tcp(stream) => Some(stream.local_addr().unwrap().port()),
        }
    }

    /// Makes the kernel receive only a little before the test does, so that what the server sends stays on its side.
    pub fn receive_little_ahead(&mut self) {
        let little = 64 << 10;
        sockopt::set_socket_recv_buffer_size(&self.stream, little).unwrap();
    }

    /// Sends `bytes` as they are.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Sends `bytes` as they are to a server that may hang up meanwhile.
    ///
    /// # Errors
    /// The server has hung up.
    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Receives exactly `length` bytes.
    #[must_use]
    pub fn receive(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Whether the server has closed the connection without sending anything more.
    #[must_use]
    pub fn is_closed(&mut self) -> bool {
        match self.stream.read(&mut [0]) {
            Ok(count) => count == 0,
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }

    /// Whether the server has closed the connection. Adds anything that the server sent instead to `heard`.
    #[must_use]
    pub fn is_closed_or(&mut self, heard: &mut Vec<u8>) -> bool {
        let mut bytes = [0; 4096];
        match self.stream.read(&mut bytes) {
            Ok(count) => {
                heard.extend_from_slice(&bytes[..count]);
                count == 0
            }
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }

    /// Whether there is nothing to receive now, not even the end. It doesn't wait: first let the server do something
    /// that it would do later than what it mustn't do, such as to answer another client.
    #[must_use]
    pub fn has_nothing_to_receive(&self) -> bool {
        let look = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let seen = rustix::net::recv(&self.stream, &mut [0u8; 1], look);
        seen.is_err_and(|error| error == Errno::AGAIN)
    }

    /// From now on a send fails if the server reads nothing for `patience`.
    pub fn set_write_timeout(&mut self, patience: Duration) {
        sockopt::set_socket_timeout(&self.stream, Timeout::Send, Some(patience)).unwrap();
    }

    /// Closes the sending side; replies can still be received.
    pub fn finish_sending(&mut self) {
        rustix::net::shutdown(&self.stream, Shutdown::Write).unwrap();
    }

    /// Receives a big-endian number.
    #[must_use]
    pub fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.receive(2).try_into().unwrap())
    }

    /// Receives a big-endian number.
    #[must_use]
    pub fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.receive(4).try_into().unwrap())
    }

    /// Receives a big-endian number.
    #[must_use]
    pub fn u64(&mut self) -> u64 {
        u64::from_be_bytes(self.receive(8).try_into().unwrap())
    }

    /// Receives the hello, and answers it with these client flags. Returns the handshake flags.
    #[must_use]
    pub fn hello(&mut self, client_flags: u32) -> u16 {
        assert_eq!(self.u64(), wire::NBD_MAGIC);
        assert_eq!(self.u64(), wire::OPTION_MAGIC);
        let flags = self.u16();
        self.send(&client_flags.to_be_bytes());
        flags
    }

    /// Sends an option.
    pub fn option(&mut self, number: u32, data: &[u8]) {
        let length = u32::try_from(data.len()).unwrap();
        self.option_header(number, length);
        self.send(data);
    }

    /// Sends an option's header, whose length may be wrong.
    pub fn option_header(&mut self, number: u32, length: u32) {
        let mut bytes = wire::OPTION_MAGIC.to_be_bytes().to_vec();
        bytes.extend_from_slice(&number.to_be_bytes());
        bytes.extend_from_slice(&length.to_be_bytes());
        self.send(&bytes);
    }

    /// Receives one reply to option `number`; returns its type and data.
    #[must_use]
    pub fn option_reply(&mut self, number: u32) -> (u32, Vec<u8>) {
        assert_eq!(self.u64(), wire::OPTION_REPLY_MAGIC);
        assert_eq!(self.u32(), number, "a reply to another option");
        let kind = self.u32();
        let length = self.u32();
        (kind, self.receive(length as usize))
    }

    /// Receives replies to option `number` up to the one that ends it: ACK or an error.
    #[must_use]
    pub fn option_replies(&mut self, number: u32) -> Vec<(u32, Vec<u8>)> {
        let mut replies = Vec::new();
        loop {
            let reply = self.option_reply(number);
            let last = reply.0 == option_reply::ACK || reply.0 & option_reply::ERROR != 0;
            replies.push(reply);
            if last {
                return replies;
            }
        }
    }

    /// The data of INFO and GO.
    #[must_use]
    pub fn info_data(name: &str, requests: &[u16]) -> Vec<u8> {
        let mut data = u32::try_from(name.len()).unwrap().to_be_bytes().to_vec();
        data.extend_from_slice(name.as_bytes());
        data.extend_from_slice(&u16::try_from(requests.len()).unwrap().to_be_bytes());
        data.extend(requests.iter().flat_map(|request| request.to_be_bytes()));
        data
    }

    /// The data of LIST_META_CONTEXT and SET_META_CONTEXT.
    #[must_use]
    pub fn meta_data(name: &str, queries: &[&str]) -> Vec<u8> {
        let mut data = u32::try_from(name.len()).unwrap().to_be_bytes().to_vec();
        data.extend_from_slice(name.as_bytes());
        data.extend_from_slice(&u32::try_from(queries.len()).unwrap().to_be_bytes());
        for query in queries {
            data.extend_from_slice(&u32::try_from(query.len()).unwrap().to_be_bytes());
            data.extend_from_slice(query.as_bytes());
        }
        data
    }

    /// Sends GO for `name`, which must succeed.
    #[must_use]
    pub fn go(self, name: &str) -> Transmission {
        self.go_asking(name, &[])
    }

    /// As [`go`](Self::go), with requests for information.
    #[must_use]
    pub fn go_asking(mut self, name: &str, requests: &[u16]) -> Transmission {
        self.option(option::GO, &Self::info_data(name, requests));
        let replies = self.option_replies(option::GO);
        let (last, infos) = replies.split_last().unwrap();
        assert_eq!(last.0, option_reply::ACK, "{replies:?}");
        let export = infos.iter().find(|(kind, data)| {
            *kind == option_reply::INFO && data.starts_with(&wire::info::EXPORT.to_be_bytes())
        });
        let data = &export.expect("GO answers INFO_EXPORT").1;
        let size = u64::from_be_bytes(data[2..10].try_into().unwrap());
        let flags = u16::from_be_bytes(data[10..12].try_into().unwrap());
        Transmission {
            raw: self,
            size,
            flags,
        }
    }
}

impl Transmission {
    /// Sends a compact request's header.
    pub fn request(&mut self, flags: u16, command: u16, cookie: u64, offset: u64, length: u32) {
        let length = length.to_be_bytes();
        self.header(wire::REQUEST_MAGIC, flags, command, cookie, offset, &length);
    }

    /// Sends an extended request's header.
    pub fn extended_request(
        &mut self,
        flags: u16,
        command: u16,
        cookie: u64,
        offset: u64,
        length: u64,
    ) {
        let length = length.to_be_bytes();
        self.header(
            wire::EXTENDED_REQUEST_MAGIC,
            flags,
            command,
            cookie,
            offset,
            &length,
        );
    }

    /// Sends a request's header with a length of 4 or 8 bytes.
    fn header(
        &mut self,
        magic: u32,
        flags: u16,
        command: u16,
        cookie: u64,
        offset: u64,
        length: &[u8],
    ) {
        let mut bytes = magic.to_be_bytes().to_vec();
        bytes.extend_from_slice(&flags.to_be_bytes());
        bytes.extend_from_slice(&command.to_be_bytes());
        bytes.extend_from_slice(&cookie.to_be_bytes());
        bytes.extend_from_slice(&offset.to_be_bytes());
        bytes.extend_from_slice(length);
        self.raw.send(&bytes);
    }

    /// Receives a simple reply's header; returns the error and the cookie.
    #[must_use]
    pub fn simple_reply(&mut self) -> (u32, u64) {
        assert_eq!(self.raw.u32(), wire::SIMPLE_REPLY_MAGIC);
        (self.raw.u32(), self.raw.u64())
    }

    /// Receives one structured chunk; returns flags, type, cookie and payload.
    #[must_use]
    pub fn chunk(&mut self) -> (u16, u16, u64, Vec<u8>) {
        assert_eq!(self.raw.u32(), wire::STRUCTURED_REPLY_MAGIC);
        let (flags, kind, cookie) = (self.raw.u16(), self.raw.u16(), self.raw.u64());
        let length = self.raw.u32();
        (flags, kind, cookie, self.raw.receive(length as usize))
    }

    /// Receives one extended chunk; returns flags, type, cookie, offset and payload.
    #[must_use]
    pub fn extended_chunk(&mut self) -> (u16, u16, u64, u64, Vec<u8>) {
        assert_eq!(self.raw.u32(), wire::EXTENDED_REPLY_MAGIC);
        let (flags, kind, cookie) = (self.raw.u16(), self.raw.u16(), self.raw.u64());
        let offset = self.raw.u64();
        let length = usize::try_from(self.raw.u64()).unwrap();
        (flags, kind, cookie, offset, self.raw.receive(length))
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(stream) => stream.as_fd(),
            Self::Tcp(stream) => stream.as_fd(),
            Self::Tls(stream) => stream.sock.as_fd(),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.read(bytes),
            Self::Tcp(stream) => stream.read(bytes),
            Self::Tls(stream) => stream.read(bytes),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.write(bytes),
            Self::Tcp(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.flush(),
            Self::Tcp(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}
