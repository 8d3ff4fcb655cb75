//! Reads of the layer below: by reference into the reply, and into the guest.

use device::fault::Failure;
use device::reply::ReadReply;
use nbdbox_config::limits::DIRECT;
use wasmtime::component::{LinkerInstance, Resource};

use super::{Outcome, Store, answer, question, refuse};
use crate::instance::guest::Guest;
use crate::instance::imports::ReadReplyHandle;
use crate::instance::imports::waiting::{Asked, Asking, waiting};
use crate::meter::call::WaitsFor;
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
    waiting(
        linker,
        "fill",
        WaitsFor::LayerBelow,
        |store, (_, offset, length): (Handle, u64, u32)| fill(store.data_mut(), offset, length),
        |guest, read| {
            let answered = answer(guest, read);
            let reply = guest.reply()?;
            Ok((answered.map(|read| reply.append(&read)),))
        },
    )?;
    waiting(
        linker,
        "read",
        WaitsFor::LayerBelow,
        |store, (offset, length): (u64, u32)| read(store.data_mut(), offset, length),
        |guest, read| Ok((answer(guest, read).map(|reply| whole(*reply)),)),
    )
}

/// Checks a read by reference.
fn check(guest: &Guest, next: &Next, offset: u64, length: u64) -> Result<(), Misuse> {
    if guest.ctx.grants.changes_bytes {
        return Err(Misuse::Changed);
    }
    next.check_transfer(offset, length)
}

type Read = Result<Box<ReadReply>, Failure>;

fn fill(
    guest: &mut Guest,
    offset: u64,
    length: u32,
) -> Asking<(Outcome<()>,), impl Future<Output = Read> + Send + use<>> {
    let (next, deadline) = question(guest)?;
    // At most the bytes that the reply still lacks. Only a read has a reply to fill.
    let missing = guest.reply()?.missing();
    let checked = match check(guest, &next, offset, length.into()) {
        Ok(()) if length > missing => Err(Misuse::Length),
        checked => checked,
    };
    if let Err(misuse) = checked {
        return Ok(Asked::Answer((refuse(guest, misuse),)));
    }
    if length == 0 {
        return Ok(Asked::Answer((Ok(()),)));
    }
    Ok(Asked::Wait(async move {
        deadline.ask()?;
        next.read(&deadline, offset, length, Box::default()).await
    }))
}

fn read(
    guest: &mut Guest,
    offset: u64,
    length: u32,
) -> Asking<(Outcome<Vec<u8>>,), impl Future<Output = Read> + Send + use<>> {
    let (next, deadline) = question(guest)?;
    let checked = if length > DIRECT {
        Err(Misuse::Length)
    } else {
        next.check_transfer(offset, length.into())
    };
    if let Err(misuse) = checked {
        return Ok(Asked::Answer((refuse(guest, misuse),)));
    }
    if length == 0 {
        return Ok(Asked::Answer((Ok(Vec::new()),)));
    }
    Ok(Asked::Wait(async move {
        deadline.ask()?;
        next.read(&deadline, offset, length, Box::default()).await
    }))
}

/// The bytes of a reply in one piece.
fn whole(mut reply: ReadReply) -> Vec<u8> {
    reply.flatten();
    reply.into_bytes()
}
