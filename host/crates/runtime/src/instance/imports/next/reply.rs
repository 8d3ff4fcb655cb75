//! Reads: by reference into the reply, and into the guest.

use device::reply::ReadReply;
use nbdbox_config::limits::DIRECT;
use wasmtime::component::{LinkerInstance, Resource};

use super::{Outcome, Store, enter, leave, refuse};
use crate::instance::guest::Guest;
use crate::instance::imports::ReadReplyHandle;
use crate::next::{Misuse, Next};

type Handle = Resource<ReadReplyHandle>;

pub(super) fn link(linker: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "redirect",
        |mut store: Store<'_>, (_, offset, length): (Handle, u64, u64)| {
            let guest = store.data_mut();
            guest.count_host_call();
            let next = guest.next()?;
            let checked = check(guest, &next, offset, length);
            let reply = guest.reply()?;
            match checked {
                Ok(()) => reply.below(offset, length),
                Err(misuse) => guest.blame_misuse(misuse),
            }
            Ok(())
        },
    )?;
    linker.func_wrap_async(
        "fill",
        |mut store: Store<'_>, (_, offset, length): (Handle, u64, u32)| {
            Box::new(async move { Ok((fill(&mut store, offset, length).await?,)) })
        },
    )?;
    linker.func_wrap_async(
        "read",
        |mut store: Store<'_>, (offset, length): (u64, u32)| {
            Box::new(async move { Ok((read(&mut store, offset, length).await?,)) })
        },
    )
}

/// What is passed on by reference.
fn check(guest: &Guest, next: &Next, offset: u64, length: u64) -> Result<(), Misuse> {
    if guest.ctx.grants.changes_bytes {
        return Err(Misuse::Changed);
    }
    next.check_transfer(offset, length)
}

async fn fill(store: &mut Store<'_>, offset: u64, length: u32) -> wasmtime::Result<Outcome<()>> {
    let next = enter(store)?;
    // Only a read has a reply to fill.
    store.data_mut().reply()?;
    if let Err(misuse) = check(store.data(), &next, offset, length.into()) {
        return Ok(refuse(store, misuse));
    }
    if length == 0 {
        return Ok(leave(store, Ok(())));
    }
    // No more than the request is worth.
    if length > store.data_mut().reply()?.missing() {
        return Ok(refuse(store, Misuse::Length));
    }
    let read = next.read(offset, length, Box::default()).await;
    let answer = leave(store, read);
    let reply = store.data_mut().reply()?;
    Ok(answer.map(|answer| reply.append(&answer)))
}

async fn read(
    store: &mut Store<'_>,
    offset: u64,
    length: u32,
) -> wasmtime::Result<Outcome<Vec<u8>>> {
    let next = enter(store)?;
    let checked = if length > DIRECT {
        Err(Misuse::Length)
    } else {
        next.check_transfer(offset, length.into())
    };
    if let Err(misuse) = checked {
        return Ok(refuse(store, misuse));
    }
    if length == 0 {
        return Ok(leave(store, Ok(Vec::new())));
    }
    let read = next.read(offset, length, Box::default()).await;
    Ok(leave(store, read).map(|reply| whole(*reply)))
}

/// The bytes of a reply in one piece.
fn whole(mut reply: ReadReply) -> Vec<u8> {
    reply.flatten();
    reply.into_bytes()
}
