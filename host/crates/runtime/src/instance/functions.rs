//! The guest's functions, which the host finds by name and checks by type.

use std::collections::BTreeMap;

use wasmtime::Store;
use wasmtime::component::{
    Component, ComponentExportIndex, ComponentNamedList, Lift, Lower, Resource, TypedFunc,
};

use crate::abi::interfaces::INTERFACES;
use crate::abi::wit::{DeviceInfo, Errno, ListedExport, PluginInfo, WriteFlags};
use crate::abi::world::World;
use crate::instance::guest::Guest;
use crate::instance::imports::{ExtentsHandle, MappingHandle, ReadReplyHandle, WritePayloadHandle};

type Outcome = (Result<(), Errno>,);
type ChangesBytes = TypedFunc<(), (bool,)>;
type Describe = TypedFunc<(), (PluginInfo,)>;
type Open = TypedFunc<(String,), (Result<DeviceInfo, Errno>,)>;
type Read = TypedFunc<(Resource<ReadReplyHandle>, u64, u32), Outcome>;
type Write = TypedFunc<(Resource<WritePayloadHandle>, u64, WriteFlags), Outcome>;
type Flush = TypedFunc<(), Outcome>;
type Change = TypedFunc<(u64, u64, WriteFlags), Outcome>;
type Report = TypedFunc<(Resource<ExtentsHandle>, u64, u64, bool), Outcome>;
type Locate = TypedFunc<(Resource<MappingHandle>, u64, u64), Outcome>;
type Cache = TypedFunc<(u64, u64), Outcome>;
type ListExports = TypedFunc<(), (Result<Vec<ListedExport>, Errno>,)>;

/// A guest's functions. Of the optional ones it has those that the guest exports.
#[derive(Clone, Copy)]
pub(crate) struct Functions {
    pub(crate) describe: Option<Describe>,
    pub(crate) changes_bytes: Option<ChangesBytes>,
    pub(crate) open: Open,
    pub(crate) read: Read,
    pub(crate) write: Option<Write>,
    pub(crate) flush: Option<Flush>,
    pub(crate) trim: Option<Change>,
    pub(crate) zero: Option<Change>,
    pub(crate) report: Option<Report>,
    pub(crate) locate: Option<Locate>,
    pub(crate) cache: Option<Cache>,
    pub(crate) list_exports: Option<ListExports>,
}

/// The positions of the functions in a component, by name. They are the same for every instance, so the host finds them
/// once.
pub(crate) struct Indices(BTreeMap<&'static str, ComponentExportIndex>);

impl Indices {
    /// Finds all functions of the interfaces that the component exports.
    ///
    /// # Errors
    /// An interface lacks a function.
    pub(crate) fn of(component: &Component, world: &World) -> anyhow::Result<Self> {
        let mut indices = BTreeMap::new();
        for interface in INTERFACES.iter().filter(|row| world.has(row.flag)) {
            let full_name = interface.full_name;
            let found = component.get_export_index(None, full_name);
            for name in interface.functions {
                let index = found.and_then(|found| component.get_export_index(Some(&found), name));
                let lacks = || anyhow::anyhow!("its {full_name} has no function `{name}`");
                indices.insert(*name, index.ok_or_else(lacks)?);
            }
        }
        Ok(Self(indices))
    }

    /// Returns the functions of an instance, with their types checked.
    ///
    /// # Errors
    /// A function has another type than in the WIT.
    pub(crate) fn functions(
        &self,
        store: &mut Store<Guest>,
        instance: &wasmtime::component::Instance,
    ) -> wasmtime::Result<Functions> {
        let mut find = Find {
            indices: self,
            store,
            instance,
        };
        Ok(Functions {
            open: find.required("open")?,
            read: find.required("read")?,
            describe: find.optional("describe")?,
            changes_bytes: find.optional("changes-bytes")?,
            write: find.optional("write")?,
            flush: find.optional("flush")?,
            trim: find.optional("trim")?,
            zero: find.optional("zero")?,
            report: find.optional("report")?,
            locate: find.optional("locate")?,
            cache: find.optional("cache")?,
            list_exports: find.optional("list-exports")?,
        })
    }
}

/// Finds the functions of one instance.
struct Find<'a> {
    indices: &'a Indices,
    store: &'a mut Store<Guest>,
    instance: &'a wasmtime::component::Instance,
}

impl Find<'_> {
    fn optional<P, R>(&mut self, name: &str) -> wasmtime::Result<Option<TypedFunc<P, R>>>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        let index = self.indices.0.get(name);
        index
            .map(|index| self.instance.get_typed_func(&mut *self.store, index))
            .transpose()
    }

    fn required<P, R>(&mut self, name: &str) -> wasmtime::Result<TypedFunc<P, R>>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        let found = self.optional(name)?;
        found.ok_or_else(|| wasmtime::format_err!("it has no function `{name}`"))
    }
}
