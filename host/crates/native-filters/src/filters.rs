//! The filters, each in a file of its own; `log` has a folder.

pub(crate) mod blocksize_policy;
pub(crate) mod delay;
pub(crate) mod error;
pub(crate) mod exit_last;
pub(crate) mod exit_when;
pub(crate) mod fua;
pub(crate) mod no_cache;
pub(crate) mod no_extents;
pub(crate) mod no_trim;
pub(crate) mod no_zero;
