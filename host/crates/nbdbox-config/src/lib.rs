//! What an operator decides, without I/O: text in, validated values out.
//!
//! Owns the words of the command line and of the configuration file: sizes, limits, settings, grants,
//! policies. It opens nothing: a path stays a path. Its invariant: what comes out is within its
//! bounds, and what is wrong is named with its place and with what was expected, all at once.
#![forbid(unsafe_code)]

pub mod blob_option;
pub mod config;
pub mod filter;
pub mod grant;
pub mod limits;
pub mod lock;
pub mod native;
pub mod policy;
pub mod reference;
pub mod settings;
pub mod size;
