//! `interface config`: the operator's settings for the export.

use nbdbox_config::size;
use wasmtime::StoreContextMut;
use wasmtime::component::{LinkerInstance, WasmStr};

use crate::instance::guest::Guest;

pub(super) fn link(linker: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    linker.func_wrap("get", |store: Store<'_>, (key,): (WasmStr,)| {
        let key = key.to_str(&store)?;
        Ok((store
            .data()
            .ctx
            .grants
            .settings
            .get(&key)
            .map(str::to_owned),))
    })?;
    linker.func_wrap("get-size", |store: Store<'_>, (key,): (WasmStr,)| {
        let key = key.to_str(&store)?;
        let value = store.data().ctx.grants.settings.get(&key);
        let parsed = value.map(size::parse).transpose();
        Ok((parsed.map_err(|error| format!("{key}: {error}")),))
    })?;
    linker.func_wrap("all", |store: Store<'_>, (): ()| {
        let settings = store.data().ctx.grants.settings.iter();
        let all: Vec<_> = settings
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        Ok((all,))
    })
}

type Store<'a> = StoreContextMut<'a, Guest>;
