//! What may be had at once, as values that know no sockets, no wasm and no clock.
//!
//! Counts and sums are refused past their limit ([`CountQuota`], [`SumQuota`], of bytes as [`MemoryQuota`]), and past
//! what is kept for others ([`SharedCount`]), flows make requests queue ([`FlowQuota`]), and a rate tells each request
//! how long to wait ([`Rates`], which takes `now` as an argument).
//! What fails is tried again after a pause ([`Backoff`], which takes `now` too).
//! Limits can change while they're in use, when the configuration does: what is held beyond a new limit is kept,
//! and nothing more is given until it's back under it.

mod backoff;
mod count;
mod flow;
mod rate;
mod shared_count;
mod sum;

pub use backoff::Backoff;
pub use count::{CountPermit, CountQuota};
pub use flow::{FlowQuota, FlowTicket};
pub use rate::Rates;
pub use shared_count::{CountParty, PartyPermit, SharedCount};
pub use sum::{
    Holder, MappingCharge, MappingQuota, MemoryCharge, MemoryQuota, SumCharge, SumQuota,
};
