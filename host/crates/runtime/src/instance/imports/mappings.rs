//! `interface mappings`: where the plugin's bytes are, as it reports them. The handle carries nothing, like those of
//! `requests`.

use device::fault::Cause;
use wasmtime::StoreContextMut;
use wasmtime::component::{LinkerInstance, Resource, ResourceType};

use super::{BlobHandle, MappingHandle};
use crate::abi::wit::Progress;
use crate::instance::guest::Guest;
use crate::mapping::Location;
use crate::meter::host_trap::HostTrap;

type Store<'a> = StoreContextMut<'a, Guest>;
type Handle = Resource<MappingHandle>;

pub(super) fn link(linker: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    linker.resource("mapping", ResourceType::host::<MappingHandle>(), |_, _| {
        Ok(())
    })?;
    linker.func_wrap(
        "[method]mapping.zeroes",
        |mut store: Store<'_>, (_, position, length): (Handle, u64, u64)| {
            Ok((add(store.data_mut(), position, length, Location::Zero)?,))
        },
    )?;
    linker.func_wrap(
        "[method]mapping.computed",
        |mut store: Store<'_>, (_, position, length): (Handle, u64, u64)| {
            Ok((add(store.data_mut(), position, length, Location::Computed)?,))
        },
    )?;
    linker.func_wrap(
        "[method]mapping.blob",
        |mut store: Store<'_>,
         (_, position, length, blob, offset): (Handle, u64, u64, Resource<BlobHandle>, u64)| {
            let guest = store.data_mut();
            if guest.blob(blob.rep())?.check(offset, length).is_err() {
                guest.blame(Cause::Range, "the plugin pointed outside a blob");
                return Ok((Progress::Full,));
            }
            let blob = blob.rep();
            Ok((add(guest, position, length, Location::Blob { blob, offset })?,))
        },
    )
}

fn add(
    guest: &mut Guest,
    position: u64,
    length: u64,
    place: Location,
) -> Result<Progress, HostTrap> {
    guest.count_host_call();
    match guest.draft()?.add(position, length, place) {
        Ok(false) => Ok(Progress::More),
        Ok(true) => Ok(Progress::Full),
        Err(_) => {
            guest.blame(
                Cause::Range,
                "the plugin's mapping isn't in ascending order",
            );
            Ok(Progress::Full)
        }
    }
}
