//! The extents map: what an untrusted plugin says about the bytes of one NBD block-status request.
//!
//! The plugin adds extents in whatever order and number it likes; the map keeps a bounded, always
//! correct answer; [`Wire`] turns it into the descriptors that the client gets.
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
//! Data is the safe answer everywhere: a client that is told "data" reads the bytes. So whatever a
//! plugin leaves out, and whatever a limit takes away, becomes data or a shorter reply; no byte is
//! ever reported as a hole that the plugin didn't call one.
//!
//! The rules, by the numbers that the documentation of each item refers to:
//!
//! - **E1** one map per request, for a range that isn't empty; checked arithmetic, no panic.
//! - **E2** the map always covers `start..end()`: sorted, disjoint, neighbours differ.
//! - **E3** adds come in any order; the last one wins; what lies outside the range is ignored.
//! - **E4** equal neighbours are one extent, the background data included.
//! - **E5** [`end_at`](ExtentMap::end_at) says that nothing is known from there on.
//! - **E6** the number of extents kept is capped: the highest go, the reply is shorter.
//! - **E7** every call is charged to a budget, also those that change nothing.
//! - **E8** a request for one extent ([`Wanted::One`]) is full as soon as that one is complete.
//! - **E9** ascending adds cost O(1), any other order O(log n), both amortised.
//! - **E10** [`Wire::describe`] aligns, coalesces, caps and splits for the wire.
//! - **E11** a fresh map describes itself as data for the whole request: the answer for a plugin
//!   that failed. Its own map, whatever is in it, should be thrown away.
//! - **E12** all of this is compared with a byte-per-entry oracle (`tests/oracle.rs`).
//!
//! The crate does no I/O, reads no clock, and doesn't know who calls it: it is `no_std`, so that a use
//! of either doesn't compile.
//!
//! ```
//! use extent_map::{Descriptor, ExtentMap, Kind, Progress, Wanted, Width, Wire};
//!
//! // The client asks about 64 KiB; the plugin may have 1000 extents remembered.
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
