//! An operator's decisions, without I/O: text in, validated values out.
//!
//! Owns the vocabulary of the command line and of the configuration file: sizes, limits, settings, grants, policies. It
//! opens nothing: a path stays a path. Its invariant: every value is within its bounds, and all mistakes are reported
//! at once, each with its place and what was expected.
#![forbid(unsafe_code)]

pub mod blob_option;
pub mod config;
pub mod filter;
pub mod grant;
pub mod limits;
pub mod lock;
pub mod native;
pub mod policy;
pub mod poll;
pub mod reference;
pub mod settings;
pub mod size;
