//! What the host remembers of an export that never changes: where its bytes are and of which kind, so that
//! its plugin is asked once per region and then never again.
//!
//! A [`Draft`] takes what a plugin tells in one call and makes a [`Region`] of it; a [`RegionCache`] keeps
//! regions, bounded in bytes that are charged to the tenant, and forgets those that aren't asked for. A
//! [`ProbeGate`] decides who asks, and how often when nothing comes of it.
//!
//! Pure: blobs are numbers here, and whether a place is inside its blob others check.

mod draft;
mod probe_gate;
mod region;
mod region_cache;

pub(crate) use draft::Draft;
pub(crate) use probe_gate::ProbeGate;
pub(crate) use region::{Location, Region, Value};
pub(crate) use region_cache::RegionCache;
