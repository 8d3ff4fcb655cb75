//! Files of the host, as the plugin `file` serves them: where acknowledged bytes are, and what a client gets if the
//! kernel fails.

mod durability;
mod faults;
mod holes;
mod locks;
mod slow_disk;
