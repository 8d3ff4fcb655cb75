//! Connects wit-bindgen's traits with those of this crate: keeps the instance's state, and turns an
//! [`Error`](crate::Error) into an errno and a text.

use std::cell::RefCell;
use std::marker::PhantomData;

use crate::bindings::imports::types::Errno;
use crate::bindings::{
    device, export_list, filter, manifest, mappable, prefetch, sparse, writable, zeroable,
};
use crate::plugin::not_open;
use crate::{
    ExportList, Extents, Filter, Mappable, Mapping, Plugin, Prefetch, ReadReply, Result, Sparse,
    Writable, WriteFlags, WritePayload, Zeroable,
};

/// The place of the plugin's one value. [`export!`](crate::export) implements it.
pub trait Slot: Plugin {
    /// Runs `work` with the slot.
    fn with_slot<R>(work: impl FnOnce(&RefCell<Option<Self>>) -> R) -> R;
}

/// Implements wit-bindgen's traits for the plugin `T`.
#[derive(Debug)]
pub struct Adapter<T>(PhantomData<T>);

type Outcome<T> = std::result::Result<T, Errno>;

/// Runs `work` on the open plugin, and reports its error to the host.
fn call<T: Slot, R>(work: impl FnOnce(&mut T) -> Result<R>) -> Outcome<R> {
    T::with_slot(|slot| match slot.borrow_mut().as_mut() {
        Some(plugin) => work(plugin),
        None => Err(not_open()),
    })
    .map_err(crate::Error::report)
}

impl<T: Slot> manifest::interface::Guest for Adapter<T> {
    fn describe() -> manifest::interface::PluginInfo {
        T::manifest().into_info()
    }
}

impl<T: Slot + Filter> filter::interface::Guest for Adapter<T> {
    fn changes_bytes() -> bool {
        T::changes_bytes()
    }
}

impl<T: Slot> device::interface::Guest for Adapter<T> {
    fn open(name: String) -> Outcome<device::interface::DeviceInfo> {
        let plugin = T::open(&name).map_err(crate::Error::report)?;
        let info = plugin.describe().into_info();
        T::with_slot(|slot| *slot.borrow_mut() = Some(plugin));
        Ok(info)
    }

    fn read(reply: &ReadReply, offset: u64, length: u32) -> Outcome<()> {
        call::<T, _>(|plugin| plugin.read(reply, offset, length))
    }
}

impl<T: Slot + Writable> writable::interface::Guest for Adapter<T> {
    fn write(payload: &WritePayload, offset: u64, flags: WriteFlags) -> Outcome<()> {
        call::<T, _>(|plugin| plugin.write(payload, offset, flags))
    }

    fn flush() -> Outcome<()> {
        call::<T, _>(Writable::flush)
    }
}

impl<T: Slot + Zeroable> zeroable::interface::Guest for Adapter<T> {
    fn trim(offset: u64, length: u64, flags: WriteFlags) -> Outcome<()> {
        call::<T, _>(|plugin| plugin.trim(offset, length, flags))
    }

    fn zero(offset: u64, length: u64, flags: WriteFlags) -> Outcome<()> {
        call::<T, _>(|plugin| plugin.zero(offset, length, flags))
    }
}

impl<T: Slot + Sparse> sparse::interface::Guest for Adapter<T> {
    fn report(extents: &Extents, offset: u64, length: u64, one: bool) -> Outcome<()> {
        call::<T, _>(|plugin| plugin.extents(extents, offset, length, one))
    }
}

impl<T: Slot + Mappable> mappable::interface::Guest for Adapter<T> {
    fn locate(mapping: &Mapping, offset: u64, length: u64) -> Outcome<()> {
        call::<T, _>(|plugin| plugin.locate(mapping, offset, length))
    }
}

impl<T: Slot + Prefetch> prefetch::interface::Guest for Adapter<T> {
    fn cache(offset: u64, length: u64) -> Outcome<()> {
        call::<T, _>(|plugin| plugin.cache(offset, length))
    }
}

impl<T: Slot + ExportList> export_list::interface::Guest for Adapter<T> {
    fn list_exports() -> Outcome<Vec<export_list::interface::ListedExport>> {
        T::list_exports().map_err(crate::Error::report)
    }
}
