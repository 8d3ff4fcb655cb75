//! The extents of the layer below: added to the guest's answer, or as a list.

use std::ops::Range;

use device::Deadline;
use device::fault::Failure;
use extent_map::{Extent, ExtentMap, Kind, Progress as MapProgress, Wanted};
use wasmtime::component::{LinkerInstance, Resource};

use super::{Outcome, answer, question, refuse};
use crate::abi::wit::{self, Errno, Progress};
use crate::instance::guest::Guest;
use crate::instance::imports::waiting::{Asked, Asking, waiting};
use crate::instance::imports::{ExtentsHandle, requests};
use crate::meter::call::WaitsFor;
use crate::meter::host_trap::HostTrap;
use crate::next::{Misuse, Next};

type Handle = Resource<ExtentsHandle>;

pub(super) fn link(linker: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    waiting(
        linker,
        "report",
        WaitsFor::LayerBelow,
        |store, (_, offset, length, position): (Handle, u64, u64, u64)| {
            ask_splice(store.data_mut(), offset, length, position)
        },
        |guest, answered| Ok((answer_splice(guest, answered)?,)),
    )?;
    waiting(
        linker,
        "list-extents",
        WaitsFor::LayerBelow,
        |store, (offset, length, most): (u64, u64, u32)| {
            ask_list(store.data_mut(), offset, length, most)
        },
        |guest, answered| Ok((answer_list(guest, answered),)),
    )
}

type Found = Result<Box<ExtentMap>, Failure>;

/// The part of a splice that the map can still take.
struct Splice {
    /// The range of the map.
    range: Range<u64>,
    /// Whether the map needs all extents, or only the first one.
    wanted: Wanted,
}

/// The layer's answer for a splice.
struct ForSplice {
    found: Found,
    /// The range of the layer below that the request was for.
    range: Range<u64>,
    /// Where that range begins in the map.
    position: u64,
}

/// Requests the extents of a range of the layer below, at most `most` of them.
async fn ask(
    next: &Next,
    deadline: &Deadline,
    range: Range<u64>,
    wanted: Wanted,
    most: usize,
) -> Found {
    deadline.ask()?;
    next.extents(deadline, range, wanted, most).await
}

/// Requests the layer's extents for a splice, for the part that the map can still take.
fn ask_splice(
    guest: &mut Guest,
    offset: u64,
    length: u64,
    position: u64,
) -> Asking<(Outcome<Progress>,), impl Future<Output = ForSplice> + Send + use<>> {
    let (next, deadline) = question(guest)?;
    let Some(end) = position.checked_add(length) else {
        return Ok(Asked::Answer((Err(Errno::Einval),)));
    };
    let inside = offset.checked_add(length);
    if inside.is_none_or(|end| end > next.export().size) {
        return Ok(Asked::Answer((refuse(guest, Misuse::Range),)));
    }
    let Splice {
        range: place,
        wanted,
    } = match splice(guest, position..end)? {
        Ok(splice) => splice,
        Err(progress) => return Ok(Asked::Answer((Ok(progress),))),
    };
    let from = offset + (place.start - position);
    let range = from..from + (place.end - place.start);
    let most = guest.ctx.limits.extents;
    Ok(Asked::Wait(async move {
        ForSplice {
            found: ask(&next, &deadline, range.clone(), wanted, most).await,
            range,
            position: place.start,
        }
    }))
}

fn answer_splice(guest: &mut Guest, answered: ForSplice) -> Result<Outcome<Progress>, HostTrap> {
    match answer(guest, answered.found) {
        Ok(found) => add(guest, &found, answered.range, answered.position),
        Err(errno) => Ok(Err(errno)),
    }
}

/// Returns the part of the map that the splice is for; or, if there's nothing to request, the map's progress.
///
/// # Errors
/// The call may add no more extents, or it isn't a report.
fn splice(guest: &mut Guest, place: Range<u64>) -> Result<Result<Splice, Progress>, HostTrap> {
    let map = guest.extents()?;
    // Charged for the call itself, even if it adds nothing.
    let progress = map.add(place.start, 0, Kind::Data);
    let progress = progress.map_err(|_| HostTrap::Extents)?;
    let wanted = place.start.max(map.range().start)..place.end.min(map.end());
    if wanted.is_empty() || progress == MapProgress::Full {
        return Ok(Err(progress.into()));
    }
    Ok(Ok(Splice {
        range: wanted,
        wanted: map.wanted(),
    }))
}

/// Adds the extents of `range` of the layer below to the map, shifted to `position`.
fn add(
    guest: &mut Guest,
    found: &ExtentMap,
    range: Range<u64>,
    position: u64,
) -> Result<Outcome<Progress>, HostTrap> {
    let changes = guest.ctx.grants.changes_bytes;
    let known = found.end().min(range.end);
    for extent in cut(found, range.start..known) {
        let at = position + (extent.offset - range.start);
        // Where a filter changes bytes, zeroes below may be something else above.
        let kind = if changes { Kind::Data } else { extent.kind };
        let added = requests::add(guest, at, extent.length, kind)?;
        if added != Ok(Progress::More) {
            return Ok(added);
        }
    }
    if known < range.end {
        let end = position + known.saturating_sub(range.start);
        let ended = guest.extents()?.end_at(end);
        ended.map_err(|_| HostTrap::Extents)?;
        return Ok(Ok(Progress::Full));
    }
    Ok(Ok(guest.extents()?.progress().into()))
}

/// The extents of a map, cut to a range.
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

/// The layer's answer for a list.
struct ForList {
    found: Found,
    /// The range of the layer below that the request was for.
    range: Range<u64>,
    /// The most extents of the list.
    most: usize,
}

fn ask_list(
    guest: &mut Guest,
    offset: u64,
    length: u64,
    most: u32,
) -> Asking<(Outcome<Vec<wit::Extent>>,), impl Future<Output = ForList> + Send + use<>> {
    let (next, deadline) = question(guest)?;
    let end = offset.checked_add(length);
    let Some(end) = end.filter(|&end| end <= next.export().size) else {
        return Ok(Asked::Answer((refuse(guest, Misuse::Range),)));
    };
    if length == 0 || most == 0 {
        return Ok(Asked::Answer((Ok(Vec::new()),)));
    }
    let (range, most) = (offset..end, (most as usize).min(guest.ctx.limits.extents));
    Ok(Asked::Wait(async move {
        ForList {
            found: ask(&next, &deadline, range.clone(), Wanted::All, most).await,
            range,
            most,
        }
    }))
}

fn answer_list(guest: &mut Guest, answered: ForList) -> Outcome<Vec<wit::Extent>> {
    let found = answer(guest, answered.found)?;
    let changes = guest.ctx.grants.changes_bytes;
    let extents = cut(&found, answered.range).take(answered.most);
    let listed = extents.map(|extent| wit::Extent {
        offset: extent.offset,
        length: extent.length,
        kind: if changes { Kind::Data } else { extent.kind }.into(),
    });
    Ok(listed.collect())
}
