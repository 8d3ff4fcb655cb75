//! Plugins: the contract between host and plugin, plugins that break it, files of the host, filters, disk
//! images, and the tools and documents of plugin authors.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod contract;
mod faults;
mod wasi;

mod blobs;
mod differential;

mod filters;
mod images;

mod authors;
mod documented_plugin;
mod example_readmes;
mod languages;
