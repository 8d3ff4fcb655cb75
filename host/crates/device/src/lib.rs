//! The contract between the data path and the code behind an export, and the types that both sides share.
//!
//! The data path calls a [`Device`] on [`Terms`], which are data; a [`Catalog`] finds devices by name. Neither side
//! knows the other. [`Served`] stands between them: it times and counts each request once, and attributes each failure.
//!
//! The shared types: whose [`fault`] a failure is, who a client is ([`identity`]), the counters ([`metrics`]), the
//! request that a thread works for ([`origin`]), a read's bytes ([`reply`]), and what an export and its tenant may use
//! ([`TenantQuota`], [`ExportQuota`]). No sockets, no wasm.

pub mod fault;
pub mod identity;
pub mod metrics;
pub mod origin;
pub mod pace;
pub mod peaks;
pub mod reply;

mod catalog;
mod clock;
mod deadline;
mod device;
mod hang_up;
mod long_requests;
mod losses;
mod pieces;
mod quotas;
mod served;
mod terms;

pub use catalog::{Absent, Catalog, Listed, Opened};
pub use clock::now;
pub use deadline::{Deadline, Standstill};
pub use device::{Device, Guest};
pub use hang_up::HangUp;
pub use losses::{Losses, Witness};
pub use nbd_proto::WriteFlags;
pub use nbdbox_config::policy::ExtentsOnError;
pub use pieces::{Payer, Pieces, Zeroes};
pub use quotas::{ExportQuota, KeptMemory, ProcessQuota, TenantQuota};
pub use served::{Answer, DynServed, Served};
pub use terms::Terms;
