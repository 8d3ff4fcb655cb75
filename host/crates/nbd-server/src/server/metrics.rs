//! The counters of connections.

use device::metrics::{Counter, Level};

use crate::connection::End;

/// The counters of a server, all listeners together.
#[derive(Debug, Default)]
pub struct ServerMetrics {
    /// Open connections, handshakes included.
    pub connections: Level,
    /// Times that the host couldn't accept a connection, such as for lack of descriptors.
    pub accept_failures: Counter,
    /// Connections whose socket failed before they were accepted or during the handshake.
    pub socket_failures: Counter,
    ends: [Counter; End::ALL.len()],
}

impl ServerMetrics {
    /// The number of connections that ended in this way.
    #[must_use]
    pub fn ended(&self, end: End) -> &Counter {
        // The variants of `End` are declared in the order of `ALL`.
        &self.ends[end as usize]
    }
}
