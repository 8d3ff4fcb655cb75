//! The extent map: an untrusted plugin's description of the bytes of one NBD block-status request.
//!
//! The plugin adds extents in any order and number. The map keeps a bounded answer that is correct at any time, and
//! [`Wire`] turns it into the descriptors for the client.
//!
//! ```text
//!            start                                              end()       range().end
//!              │                                                  │              │
//!   new        │ data ┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄ │
//!   add hole   │      ███████████████                                            │
//!   add zero   │                 ▒▒▒▒▒▒▒▒▒▒▒▒                                    │
//!   end_at     │                                                  ╳ unknown from │ here on
//!              ├──────┬──────────┬───────────┬────────────────────┤              │
//!   iter       │ data │   hole   │   zero    │ data (background)  │              │
//! ```
//!
//! Data is the safe answer everywhere: a client that gets "data" reads the bytes. So if a plugin leaves out a range, or
//! a limit takes one away, the range becomes data or the reply becomes shorter. The map never reports a byte as a hole
//! unless the plugin called it one.
//!
//! The rules, by the numbers to which the documentation of each item refers:
//!
//! - **E1** There is one map for each request, for a range that isn't empty. Its arithmetic is checked; it doesn't
//!   panic.
//! - **E2** The map always covers `start..end()`: sorted, disjoint, neighbours of different kinds.
//! - **E3** Adds come in any order, and the last one wins. The map ignores bytes outside the range.
//! - **E4** Equal neighbours are one extent, the background data included.
//! - **E5** After [`end_at`](ExtentMap::end_at), nothing is known from that offset on.
//! - **E6** The number of extents is capped: the map drops the highest ones, and the reply becomes shorter.
//! - **E7** Every call is charged to a budget, also a call that changes nothing.
//! - **E8** A map for one extent ([`Wanted::One`]) is full as soon as that extent is complete.
//! - **E9** Ascending adds cost O(1), adds in any other order O(log n), both amortised.
//! - **E10** [`Wire::describe`] aligns, coalesces, caps and splits for the wire.
//! - **E11** A fresh map describes itself as data for the whole request: the answer if the plugin fails. The caller
//!   should discard the plugin's own map then.
//! - **E12** Tests compare all of this with a byte-per-entry oracle (`tests/oracle.rs`).
//!
//! The crate does no I/O, reads no clock, and doesn't know its callers: it is `no_std`, so neither would compile.
//!
//! ```
//! use extent_map::{Descriptor, ExtentMap, Kind, Progress, Wanted, Width, Wire};
//!
//! // The client requests the status of 64 KiB; the map keeps at most 1000 extents.
//! let mut map = ExtentMap::new(0..65_536, Wanted::All, 1000)?;
//! assert_eq!(map.add(4096, 8192, Kind::Hole)?, Progress::More);
//! map.add(8192, 8192, Kind::Zero)?; // the last add wins
//! map.end_at(32_768)?; // the plugin's table ends here
//!
//! let kinds: Vec<_> = map.iter().map(|extent| (extent.offset, extent.kind)).collect();
//! assert_eq!(
//!     kinds,
//!     [(0, Kind::Data), (4096, Kind::Hole), (8192, Kind::Zero), (16_384, Kind::Data)],
//! );
//!
//! let wire = Wire { min_block: 4096, max_descriptors: 3, width: Width::Compact32 };
//! let mut reply = Vec::new();
//! wire.describe(&map, &mut reply);
//! assert_eq!(reply, [
//!     Descriptor { length: 4096, flags: 0 },
//!     Descriptor { length: 4096, flags: 3 },
//!     Descriptor { length: 8192, flags: 2 },
//! ]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

extern crate alloc;

mod kind;

mod error;
mod extent;
mod map;

mod ascending;
mod borders;
mod sorted;

mod align;
mod wire;

pub use error::{AddError, EmptyRange};
pub use extent::Extent;
pub use kind::Kind;
pub use map::{ExtentMap, Progress, Wanted};
pub use wire::{Descriptor, Width, Wire};
