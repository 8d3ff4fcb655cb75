//! The way to a server.

use tokio::io::{AsyncRead, AsyncWrite};

/// Bytes in and out.
pub trait ReadWrite: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> ReadWrite for S {}

/// A connected stream of any kind.
pub type Stream = Box<dyn ReadWrite>;
