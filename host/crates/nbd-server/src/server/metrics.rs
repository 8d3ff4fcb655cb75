//! What is counted of who comes and goes.

use device::metrics::{Counter, Level};

use crate::connection::End;

/// The counters of a server, all listeners together.
#[derive(Debug, Default)]
pub struct ServerMetrics {
    /// Connections, handshakes included.
    pub connections: Level,
    /// Times that the kernel could not let somebody in.
    pub accept_failures: Counter,
    /// Connections of which the socket failed during the handshake.
    pub socket_failures: Counter,
    ends: [Counter; End::ALL.len()],
}

impl ServerMetrics {
    /// How many connections ended so.
    #[must_use]
    pub fn ended(&self, end: End) -> &Counter {
        // A plain enum whose declaration order is that of `ALL`.
        &self.ends[end as usize]
    }
}
