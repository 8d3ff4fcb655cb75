//! The host functions that a guest can call, a file for each interface. In addition the host links WASI, which gives
//! access only to clocks, random numbers and the log.

mod blobs;
mod config;
mod host;
mod mappings;
mod next;
mod requests;
mod waiting;
mod wanted;

use wasmtime::component::Linker;

use crate::abi::wit;
use crate::instance::guest::Guest;

/// The type of a `blob` handle. A handle carries the blob's index in the grants.
pub(crate) enum BlobHandle {}
/// The type of a `read-reply` handle.
pub(crate) enum ReadReplyHandle {}
/// The type of a `write-payload` handle.
pub(crate) enum WritePayloadHandle {}
/// The type of an `extents` handle.
pub(crate) enum ExtentsHandle {}
/// The type of a `mapping` handle.
pub(crate) enum MappingHandle {}

/// Links all interfaces that a plugin or a filter may import.
pub(crate) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    host::link(&mut linker.instance(wit::interface!("host"))?)?;
    config::link(&mut linker.instance(wit::interface!("config"))?)?;
    blobs::link(&mut linker.instance(wit::interface!("blobs"))?)?;
    requests::link(&mut linker.instance(wit::interface!("requests"))?)?;
    mappings::link(&mut linker.instance(wit::interface!("mappings"))?)?;
    next::link(&mut linker.instance(wit::interface!("next"))?)
}
