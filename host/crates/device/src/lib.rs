//! The contract between the data path and whatever stands behind an export, and the words that both sides use.
//!
//! The data path asks, a [`Device`] answers, on [`Terms`] that are data; a [`Catalog`] finds devices by name. Neither
//! side knows the other. [`Served`] stands between them: it times, counts and blames each request, once.
//! What both need to say stands here: whose [`fault`] a failure is, who a client is ([`identity`]), what is counted
//! ([`metrics`]), which request a thread works for ([`origin`]), a read's bytes ([`reply`]), and what an export and
//! its tenant may use ([`TenantQuota`], [`ExportQuota`]). No sockets, no wasm.

pub mod fault;
pub mod identity;
pub mod metrics;
pub mod origin;
pub mod pace;
pub mod peaks;
pub mod reply;

mod catalog;
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
