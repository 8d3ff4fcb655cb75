//! Quotas, as values that know no sockets, no wasm and no clock.
//!
//! A count or sum denies what exceeds its limit ([`CountQuota`]; [`SumQuota`], for bytes [`MemoryQuota`]), or what is
//! reserved for others ([`SharedCount`]). A flow queues requests past its limit ([`FlowQuota`]). A rate computes how
//! long each request must wait ([`Rates`], which takes `now` as an argument). After a failure, a pause precedes the
//! next try ([`Backoff`], which takes `now` too).
//!
//! A reload may change limits while they're in use. The holder keeps what it has beyond a lower limit, and gets nothing
//! more until it's below that limit.

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
