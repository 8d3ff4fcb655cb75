//! What the host remembers of an immutable export: where its bytes are, and of which kind. So the host calls the plugin
//! once for each region, and then never again.
//!
//! A [`Draft`] takes what a plugin reports in one call, and makes a [`Region`] of it. A [`RegionCache`] keeps regions
//! within a bound in bytes, charges them to the tenant, and evicts those that no request uses. A [`ProbeGate`] decides
//! which request calls the plugin, and pauses such calls when they yield nothing.
//!
//! This module is pure. It knows blobs only as numbers. Its callers check that a range lies inside its blob.

mod draft;
mod probe_gate;
mod region;
mod region_cache;

pub(crate) use draft::Draft;
pub(crate) use probe_gate::ProbeGate;
pub(crate) use region::{Location, Region, Value};
pub(crate) use region_cache::RegionCache;
