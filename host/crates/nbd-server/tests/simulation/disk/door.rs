//! The disk as a [`Device`]. It checks each call against the request that the client sent.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use device::fault::Failure;
use device::origin::Origin;
use device::reply::ReadReply;
use device::{Deadline, Device, Guest, Losses, WriteFlags};
use extent_map::{ExtentMap, Kind};
use nbd_proto::wire::command;
use nbd_proto::{CommandFlags, Errno};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};

use super::Disk;
use super::course::{Course, Wait};
use crate::ledger::Call;

/// The granularity, in bytes, at which the disk recognises zeroes.
const GRAIN: usize = 64;

/// The disk as the device of one connection.
pub(crate) struct Door {
    pub(crate) disk: Arc<Disk>,
    pub(crate) client: usize,
}

/// A call that is under way.
struct UnderWay<'a> {
    door: &'a Door,
    entry: usize,
    call: usize,
    range: Range<u64>,
    course: Course,
}

impl UnderWay<'_> {
    fn note(&self, what: impl FnOnce(&mut Call)) {
        let mut pages = self.door.disk.ledger.open();
        what(&mut pages.books[self.door.client].entries[self.entry].calls[self.call]);
    }

    /// Waits at `step` of the course. Fails if the course fails there, or the request's deadline ends.
    async fn pass(&self, deadline: &Deadline, step: usize) -> Result<(), Failure> {
        match self.course.waits[step] {
            Wait::None => {}
            Wait::Turn => yield_now().await,
            Wait::For(time) => tokio::select! {
                biased;
                ended = deadline.ended() => return Err(ended),
                () = sleep(time) => {}
            },
            Wait::Storage(time) => {
                deadline.standing(sleep(time)).await;
                self.note(|call| call.stood_still = Some(Instant::now()));
            }
            Wait::Ever => return Err(deadline.ended().await),
        }
        match &self.course.fails {
            Some((at, failure)) if *at == step => Err(failure.clone()),
            _ => Ok(()),
        }
    }

    /// Does the work on each half of the range, as the course has it.
    async fn run(
        &self,
        deadline: &Deadline,
        mut work: impl FnMut(&mut [u8], Range<usize>) + Send,
    ) -> Result<(), Failure> {
        let disk = &self.door.disk;
        let [start, end] =
            [self.range.start, self.range.end].map(|at| usize::try_from(at).unwrap());
        let middle = start + (end - start) / 2;
        self.pass(deadline, 0).await?;
        work(&mut disk.state().bytes, start..middle);
        self.pass(deadline, 1).await?;
        work(&mut disk.state().bytes, middle..end);
        self.pass(deadline, 2).await?;
        if self.course.loses {
            disk.lose();
        }
        Ok(())
    }

    fn end<T>(&self, result: Result<T, Failure>) -> Result<T, Failure> {
        let Door { disk, client } = self.door;
        let noted = result.as_ref().map(|_| ()).map_err(Clone::clone);
        let words = noted.as_ref().map_err(|failure| failure.errno);
        let words = format_args!("{} done: {words:?}", self.entry);
        disk.ledger.open().note_of(*client, words);
        self.note(|call| call.ended = Some((Instant::now(), noted)));
        result
    }
}

impl Door {
    /// Begins a call. Checks that the client sent a request for it, and that the server may begin it now.
    fn begin(&self, kind: u16, range: Range<u64>, flags: WriteFlags) -> UnderWay<'_> {
        let Self { disk, client } = self;
        let origin = Origin::current().expect("each call is on behalf of a request");
        let mut pages = disk.ledger.open();
        let entry = usize::try_from(origin.request).unwrap() - 1;
        let words = format_args!("{entry} begins: {kind} {range:?} {flags:?}");
        pages.note_of(*client, words);
        let book = &mut pages.books[*client];
        assert_eq!(book.leaves, (0, 0), "a call after leave");
        assert_eq!(book.guests, 1, "a call of somebody who wasn't let in");
        let entry_noted = book
            .entries
            .get_mut(entry)
            .expect("no such request was sent");
        let asked = &entry_noted.asked;
        assert!(
            asked.refusals.is_empty(),
            "a bad request reached the device: {asked:?}"
        );
        assert!(
            entry_noted.header_sent.is_some(),
            "it wasn't sent yet: {asked:?}"
        );
        assert_eq!(asked.meant.kind, kind, "{asked:?}");
        let done: u64 = entry_noted.calls.iter().map(|call| call.length).sum();
        let whole = asked.range();
        assert_eq!(range.start, whole.start + done, "{asked:?}");
        assert!(range.end <= whole.end, "{asked:?}");
        let length = range.end - range.start;
        assert!(
            range.end == whole.end || length == disk.longest,
            "{asked:?}"
        );
        assert_eq!(flags, flags_of(kind, asked.meant.flags), "{asked:?}");
        let call = entry_noted.calls.len();
        entry_noted.calls.push(Call {
            begun: Instant::now(),
            length,
            stood_still: None,
            ended: None,
        });
        disk.check_quotas(&pages, *client);
        UnderWay {
            door: self,
            entry,
            call,
            range,
            course: disk.course(),
        }
    }

    async fn fill_with_zeroes(
        &self,
        kind: u16,
        deadline: &Deadline,
        range: Range<u64>,
        flags: WriteFlags,
    ) -> Result<(), Failure> {
        let call = self.begin(kind, range.clone(), flags);
        // A trim may change nothing.
        let zeroes = kind == command::WRITE_ZEROES || call.course.sparse;
        let done = call.run(deadline, |bytes, part| {
            if zeroes {
                bytes[part].fill(0);
            }
        });
        call.end(done.await)
    }
}

/// The flags of a command that the device gets.
fn flags_of(kind: u16, flags: CommandFlags) -> WriteFlags {
    match kind {
        command::WRITE | command::TRIM | command::WRITE_ZEROES => {
            WriteFlags::from_bits_truncate(flags.bits())
        }
        _ => WriteFlags::empty(),
    }
}

impl Device for Door {
    async fn read(
        &self,
        deadline: &Deadline,
        offset: u64,
        length: u32,
        mut reply: Box<ReadReply>,
    ) -> Result<Box<ReadReply>, Failure> {
        let range = offset..offset + u64::from(length);
        let call = self.begin(command::READ, range.clone(), WriteFlags::empty());
        let done = call.run(deadline, |bytes, part| {
            for grain in bytes[part].chunks(GRAIN) {
                if call.course.sparse && grain.iter().all(|byte| *byte == 0) {
                    reply.zeroes(grain.len() as u64);
                } else {
                    reply.data(grain);
                }
            }
        });
        let done = done.await;
        if done.is_ok() {
            assert_eq!(reply.finish(), Ok(()));
        }
        call.end(done.map(|()| reply))
    }

    async fn write(
        &self,
        deadline: &Deadline,
        offset: u64,
        payload: Bytes,
        flags: WriteFlags,
    ) -> Result<(), Failure> {
        let range = offset..offset + payload.len() as u64;
        let call = self.begin(command::WRITE, range.clone(), flags);
        let start = usize::try_from(offset).unwrap();
        {
            let pages = self.disk.ledger.open();
            let asked = &pages.books[self.client].entries[call.entry].asked;
            let skip = start - usize::try_from(asked.meant.offset).unwrap();
            assert_eq!(
                payload,
                asked.payload_bytes()[skip..skip + payload.len()],
                "{asked:?}"
            );
        }
        let done = call.run(deadline, |bytes, part| {
            let from = &payload[part.start - start..part.end - start];
            bytes[part].copy_from_slice(from);
        });
        call.end(done.await)
    }

    async fn flush(&self, deadline: &Deadline) -> Result<(), Failure> {
        let call = self.begin(command::FLUSH, 0..0, WriteFlags::empty());
        let done = call.run(deadline, |_, _| {});
        call.end(done.await)
    }

    async fn trim(
        &self,
        deadline: &Deadline,
        offset: u64,
        length: u64,
        flags: WriteFlags,
    ) -> Result<(), Failure> {
        let range = offset..offset + length;
        self.fill_with_zeroes(command::TRIM, deadline, range, flags)
            .await
    }

    async fn zero(
        &self,
        deadline: &Deadline,
        offset: u64,
        length: u64,
        flags: WriteFlags,
    ) -> Result<(), Failure> {
        let range = offset..offset + length;
        self.fill_with_zeroes(command::WRITE_ZEROES, deadline, range, flags)
            .await
    }

    async fn cache(&self, deadline: &Deadline, offset: u64, length: u64) -> Result<(), Failure> {
        let range = offset..offset + length;
        let call = self.begin(command::CACHE, range.clone(), WriteFlags::empty());
        let done = call.run(deadline, |_, _| {});
        call.end(done.await)
    }

    async fn extents(
        &self,
        deadline: &Deadline,
        mut map: Box<ExtentMap>,
    ) -> Result<Box<ExtentMap>, Failure> {
        let range = map.range().clone();
        let call = self.begin(command::BLOCK_STATUS, range.clone(), WriteFlags::empty());
        let done = call.run(deadline, |bytes, part| {
            for at in part.clone().step_by(GRAIN) {
                let grain = &bytes[at..part.end.min(at + GRAIN)];
                let kind = match grain.iter().all(|byte| *byte == 0) {
                    true => Kind::Hole,
                    false => Kind::Data,
                };
                // Extents beyond the budget stay data.
                let _ = map.add(at as u64, grain.len() as u64, kind);
            }
        });
        let done = done.await;
        if call.course.sparse {
            let _ = map.end_at(range.start + (range.end - range.start) / 3);
        }
        call.end(done.map(|()| map))
    }

    fn losses(&self) -> Vec<Arc<Losses>> {
        vec![Arc::clone(&self.disk.losses)]
    }

    async fn enter(&self) -> Result<Guest, Failure> {
        if !self.disk.around().await {
            return Err(Failure::host(Errno::Eio, "nobody is let in"));
        }
        let (disk, client) = (Arc::clone(&self.disk), self.client);
        disk.ledger.open().books[client].guests += 1;
        let mut guest = Guest::default();
        guest.keep(Box::new(Stay(disk, client)));
        Ok(guest)
    }

    async fn leave(&self) {
        let Self { disk, client } = self;
        {
            let mut pages = disk.ledger.open();
            pages.note_of(*client, format_args!("leaves"));
            let book = &mut pages.books[*client];
            book.leaves.0 += 1;
            assert_eq!(book.guests, 1, "its guest stays until it has left");
            let mut calls = book.entries.iter().flat_map(|entry| &entry.calls);
            assert!(
                calls.all(|call| call.ended.is_some()),
                "a call is under way"
            );
        }
        disk.around().await;
        disk.ledger.open().books[*client].leaves.1 += 1;
    }
}

/// The disk's guest.
struct Stay(Arc<Disk>, usize);

impl Drop for Stay {
    fn drop(&mut self) {
        self.0.ledger.open().books[self.1].guests -= 1;
    }
}
