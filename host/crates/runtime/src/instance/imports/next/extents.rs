//! Extents of the layer below: spliced into the answer, and as a list.

use std::ops::Range;

use extent_map::{Extent, ExtentMap, Kind, Progress as MapProgress, Wanted};
use wasmtime::component::{LinkerInstance, Resource};

use super::{Outcome, Store, enter, leave, refuse};
use crate::abi::wit::{self, Errno, Progress};
use crate::instance::guest::Guest;
use crate::instance::imports::{ExtentsHandle, requests};
use crate::meter::stop::Stop;
use crate::next::Misuse;

type Handle = Resource<ExtentsHandle>;

pub(super) fn link(linker: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    linker.func_wrap_async(
        "report",
        |mut store: Store<'_>, (_, offset, length, position): (Handle, u64, u64, u64)| {
            Box::new(async move { Ok((report(&mut store, offset, length, position).await?,)) })
        },
    )?;
    linker.func_wrap_async(
        "list-extents",
        |mut store: Store<'_>, (offset, length, most): (u64, u64, u32)| {
            Box::new(async move { Ok((list(&mut store, offset, length, most).await?,)) })
        },
    )
}

/// What of a splice is still wanted: its place in the map, and how far the layer below is shifted.
struct Splice {
    range: Range<u64>,
    wanted: Wanted,
}

/// Splices the layer's extents in. Asks only for what the map can still take.
async fn report(
    store: &mut Store<'_>,
    offset: u64,
    length: u64,
    position: u64,
) -> wasmtime::Result<Outcome<Progress>> {
    let next = enter(store)?;
    let Some(end) = position.checked_add(length) else {
        return Ok(leave_with(store, Errno::Einval));
    };
    let inside = offset.checked_add(length);
    if inside.is_none_or(|end| end > next.export().size) {
        return Ok(refuse(store, Misuse::Range));
    }
    let splice = match splice(store.data_mut(), position..end)? {
        Ok(splice) => splice,
        Err(progress) => return Ok(leave(store, Ok(progress))),
    };
    let from = offset + (splice.range.start - position);
    let to = from + (splice.range.end - splice.range.start);
    let most = store.data().ctx.limits.extents;
    let found = next.extents(from..to, splice.wanted, most).await;
    let found = match leave(store, found) {
        Ok(found) => found,
        Err(errno) => return Ok(Err(errno)),
    };
    Ok(add(store.data_mut(), &found, from..to, splice.range.start)?)
}

/// What is to be asked for; or that nothing is, and why.
fn splice(guest: &mut Guest, place: Range<u64>) -> Result<Result<Splice, Progress>, Stop> {
    let map = guest.extents()?;
    // One charge for the call itself, useful or not.
    let progress = map.add(place.start, 0, Kind::Data);
    let progress = progress.map_err(|_| Stop::Extents)?;
    let wanted = place.start.max(map.range().start)..place.end.min(map.end());
    if wanted.is_empty() || progress == MapProgress::Full {
        return Ok(Err(progress.into()));
    }
    Ok(Ok(Splice {
        range: wanted,
        wanted: map.wanted(),
    }))
}

/// Adds what was found in `range` of the layer below, shifted to `position`.
fn add(
    guest: &mut Guest,
    found: &ExtentMap,
    range: Range<u64>,
    position: u64,
) -> Result<Outcome<Progress>, Stop> {
    let changes = guest.ctx.grants.changes_bytes;
    let known = found.end().min(range.end);
    for extent in cut(found, range.start..known) {
        let at = position + (extent.offset - range.start);
        // Zeroes below aren't zeroes above where bytes are changed on their way.
        let kind = if changes { Kind::Data } else { extent.kind };
        let added = requests::add(guest, at, extent.length, kind)?;
        if added != Ok(Progress::More) {
            return Ok(added);
        }
    }
    if known < range.end {
        let end = position + known.saturating_sub(range.start);
        let ended = guest.extents()?.end_at(end);
        ended.map_err(|_| Stop::Extents)?;
        return Ok(Ok(Progress::Full));
    }
    Ok(Ok(guest.extents()?.progress().into()))
}

/// The extents of a map within a range.
fn cut(map: &ExtentMap, range: Range<u64>) -> impl Iterator<Item = Extent> + '_ {
    map.iter().filter_map(move |extent| {
        let start = extent.offset.max(range.start);
        let end = (extent.offset + extent.length).min(range.end);
        (start < end).then_some(Extent {
            offset: start,
            length: end - start,
            kind: extent.kind,
        })
    })
}

async fn list(
    store: &mut Store<'_>,
    offset: u64,
    length: u64,
    most: u32,
) -> wasmtime::Result<Outcome<Vec<wit::Extent>>> {
    let next = enter(store)?;
    let end = offset.checked_add(length);
    let Some(end) = end.filter(|&end| end <= next.export().size) else {
        return Ok(refuse(store, Misuse::Range));
    };
    if length == 0 || most == 0 {
        return Ok(leave(store, Ok(Vec::new())));
    }
    let limits = &store.data().ctx.limits;
    let most = (most as usize).min(limits.extents);
    let changes = store.data().ctx.grants.changes_bytes;
    let found = next.extents(offset..end, Wanted::All, most).await;
    let found = leave(store, found);
    let listed = |found: Box<ExtentMap>| {
        let extents = cut(&found, offset..end).take(most);
        let listed = extents.map(|extent| wit::Extent {
            offset: extent.offset,
            length: extent.length,
            kind: if changes { Kind::Data } else { extent.kind }.into(),
        });
        listed.collect()
    };
    Ok(found.map(listed))
}

fn leave_with<T>(store: &mut Store<'_>, errno: Errno) -> Outcome<T> {
    let _: Outcome<()> = leave(store, Ok(()));
    Err(errno)
}
