//! A stream to a server, whatever its transport.

use tokio::io::{AsyncRead, AsyncWrite};

/// A stream that can be read and written, and sent to another thread.
pub trait ReadWrite: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> ReadWrite for S {}

/// A connected stream: TCP, a unix socket, or TLS over one of them.
pub type Stream = Box<dyn ReadWrite>;
