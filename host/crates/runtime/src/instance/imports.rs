//! The host's functions, an interface per file, and nothing else that a guest could call but WASI
//! with nothing behind it.

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

/// What stands for a `blob` handle.
pub(crate) enum BlobHandle {}
/// What stands for a `read-reply` handle.
pub(crate) enum ReadReplyHandle {}
/// What stands for a `write-payload` handle.
pub(crate) enum WritePayloadHandle {}
/// What stands for an `extents` handle.
pub(crate) enum ExtentsHandle {}
/// What stands for a `mapping` handle.
pub(crate) enum MappingHandle {}

/// Links all that a plugin may import, and a filter.
pub(crate) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    host::link(&mut linker.instance(wit::interface!("host"))?)?;
    config::link(&mut linker.instance(wit::interface!("config"))?)?;
    blobs::link(&mut linker.instance(wit::interface!("blobs"))?)?;
    requests::link(&mut linker.instance(wit::interface!("requests"))?)?;
    mappings::link(&mut linker.instance(wit::interface!("mappings"))?)?;
    next::link(&mut linker.instance(wit::interface!("next"))?)
}
