//! The contract between the data path and whatever stands behind an export, and the words that both sides use.
//!
//! The data path calls, a [`Device`] answers; a [`Catalog`] finds devices by name. Neither side knows the other.
//! What both need to say stands here: whose [`fault`] a failure is, who a client is ([`identity`]), what is counted
//! ([`metrics`]), which request a thread works for ([`origin`]), a read's bytes ([`reply`]), and what an export and
//! its tenant may use ([`TenantQuota`], [`ExportQuota`]). No sockets, no wasm.

pub mod fault;
pub mod identity;
pub mod metrics;
pub mod origin;
pub mod peaks;
pub mod reply;

mod catalog;
mod device;
mod quotas;

pub use catalog::{Absent, Catalog, Listed};
pub use device::{Device, WriteMode};
pub use nbdbox_config::policy::ExtentsOnError;
pub use quotas::{ExportQuota, TenantQuota};
