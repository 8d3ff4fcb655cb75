//! The guest's functions, found by name and checked by type.

use wasmtime::Store;
use wasmtime::component::{
    Component, ComponentExportIndex, ComponentNamedList, Lift, Lower, Resource, TypedFunc,
};

use crate::abi::wit::{self, DeviceInfo, Errno, ListedExport, PluginInfo, WriteFlags};
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

/// A guest's functions; of the optional ones those that it exports.
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

/// Where the functions are in the component: looked up by name once, not in every instance.
pub(crate) struct Indices {
    describe: Option<ComponentExportIndex>,
    changes_bytes: Option<ComponentExportIndex>,
    open: ComponentExportIndex,
    read: ComponentExportIndex,
    write: Option<ComponentExportIndex>,
    flush: Option<ComponentExportIndex>,
    trim: Option<ComponentExportIndex>,
    zero: Option<ComponentExportIndex>,
    report: Option<ComponentExportIndex>,
    locate: Option<ComponentExportIndex>,
    cache: Option<ComponentExportIndex>,
    list_exports: Option<ComponentExportIndex>,
}

impl Indices {
    pub(crate) fn of(component: &Component, world: &World) -> anyhow::Result<Self> {
        let function = |interface: &str, name: &str| {
            let interface_index = component.get_export_index(None, interface);
            interface_index
                .and_then(|index| component.get_export_index(Some(&index), name))
                .ok_or_else(|| anyhow::anyhow!("its {interface} has no function `{name}`"))
        };
        let optional = |has: bool, interface: &str, name: &str| {
            has.then(|| function(interface, name)).transpose()
        };
        let (writable, zeroable) = (wit::interface!("writable"), wit::interface!("zeroable"));
        Ok(Self {
            describe: optional(world.manifest, wit::interface!("manifest"), "describe")?,
            changes_bytes: optional(world.filter, wit::interface!("filter"), "changes-bytes")?,
            open: function(wit::interface!("device"), "open")?,
            read: function(wit::interface!("device"), "read")?,
            write: optional(world.writable, writable, "write")?,
            flush: optional(world.writable, writable, "flush")?,
            trim: optional(world.zeroable, zeroable, "trim")?,
            zero: optional(world.zeroable, zeroable, "zero")?,
            report: optional(world.sparse, wit::interface!("sparse"), "report")?,
            locate: optional(world.mappable, wit::interface!("mappable"), "locate")?,
            cache: optional(world.prefetch, wit::interface!("prefetch"), "cache")?,
            list_exports: optional(
                world.export_list,
                wit::interface!("export-list"),
                "list-exports",
            )?,
        })
    }

    /// The functions of an instance, with their types checked.
    pub(crate) fn functions(
        &self,
        store: &mut Store<Guest>,
        instance: &wasmtime::component::Instance,
    ) -> wasmtime::Result<Functions> {
        let indices = self;
        macro_rules! typed {
            ($index:expr) => {
                $index
                    .as_ref()
                    .map(|index| typed(instance, store, index))
                    .transpose()?
            };
        }
        Ok(Functions {
            open: typed(instance, store, &indices.open)?,
            read: typed(instance, store, &indices.read)?,
            describe: typed!(indices.describe),
            changes_bytes: typed!(indices.changes_bytes),
            write: typed!(indices.write),
            flush: typed!(indices.flush),
            trim: typed!(indices.trim),
            zero: typed!(indices.zero),
            report: typed!(indices.report),
            locate: typed!(indices.locate),
            cache: typed!(indices.cache),
            list_exports: typed!(indices.list_exports),
        })
    }
}

fn typed<P, R>(
    instance: &wasmtime::component::Instance,
    store: &mut Store<Guest>,
    index: &ComponentExportIndex,
) -> wasmtime::Result<TypedFunc<P, R>>
where
    P: ComponentNamedList + Lower,
    R: ComponentNamedList + Lift,
{
    instance.get_typed_func(store, index)
}
