//! `interface host`: the log, the text for an errno, and clocks.

use std::time::{SystemTime, UNIX_EPOCH};

use nbdbox_config::limits::LOG_LINE;
use wasmtime::StoreContextMut;
use wasmtime::component::{LinkerInstance, WasmStr};

use crate::abi::wit::Level;
use crate::instance::guest::Guest;

pub(super) fn link(linker: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "log",
        |mut store: Store<'_>, (level, text): (Level, WasmStr)| {
            let text = text.to_str(&store)?;
            // Cut before the copy: the guest's line may be as long as its memory.
            let text = text[..text.floor_char_boundary(LOG_LINE)].to_owned();
            store.data_mut().log(level, &text);
            Ok(())
        },
    )?;
    linker.func_wrap("explain", |mut store: Store<'_>, (text,): (WasmStr,)| {
        let text = text.to_str(&store)?.into_owned();
        store.data_mut().explain(&text);
        Ok(())
    })?;
    linker.func_wrap("monotonic-ms", |store: Store<'_>, (): ()| {
        Ok((millis(store.data().born.elapsed()),))
    })?;
    linker.func_wrap("wall-ms", |_: Store<'_>, (): ()| {
        // If the host's clock is before 1970, this is 0.
        Ok((millis(
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default(),
        ),))
    })
}

type Store<'a> = StoreContextMut<'a, Guest>;

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
