//! A disk that records the order in which it was changed and flushed, and can show what would be on it if the power
//! were cut at any moment.

use std::sync::{Arc, Mutex};

use blob::{Answer, Facts, Identity, Source, SourceExtent, Unflushed};
use bytes::Bytes;
use device::WriteFlags;
use fastrand::Rng;

/// The bytes that a disk writes whole or not at all.
pub(crate) const SECTOR: usize = 512;

/// An event, recorded in order.
#[derive(Clone, Debug)]
pub(crate) enum Event<M> {
    /// Bytes were written. `durable`: with FUA.
    Written {
        start: usize,
        bytes: Bytes,
        durable: bool,
    },
    /// Everything that was written before is durable.
    Flushed,
    /// A note of the test.
    Noted(M),
}

/// A disk in memory, and its events.
#[derive(Debug)]
pub(crate) struct Recorder<M> {
    facts: Facts,
    unflushed: Unflushed,
    before: Vec<u8>,
    state: Mutex<State<M>>,
}

#[derive(Debug)]
struct State<M> {
    bytes: Vec<u8>,
    events: Vec<Event<M>>,
}

impl<M: Clone> Recorder<M> {
    pub(crate) fn over(bytes: Vec<u8>) -> Arc<Self> {
        Arc::new(Self {
            facts: Facts {
                size: bytes.len() as u64,
                identity: Identity::Address("recorder:".to_owned()),
                pinned: false,
                writable: true,
                extents_known: false,
            },
            unflushed: Unflushed::new(),
            before: bytes.clone(),
            state: Mutex::new(State {
                bytes,
                events: Vec::new(),
            }),
        })
    }

    pub(crate) fn note(&self, mark: M) {
        let mut state = self.state.lock().unwrap();
        state.events.push(Event::Noted(mark));
    }

    pub(crate) fn events(&self) -> Vec<Event<M>> {
        self.state.lock().unwrap().events.clone()
    }

    /// A possible content of the disk if the power is cut after these events: everything that was flushed, and a random
    /// selection of the rest, whole or in part.
    pub(crate) fn after_a_cut(&self, events: &[Event<M>], random: &mut Rng) -> Vec<u8> {
        let mut bytes = self.before.clone();
        let last = events
            .iter()
            .rposition(|event| matches!(event, Event::Flushed));
        for (index, event) in events.iter().enumerate() {
            let Event::Written {
                start,
                bytes: written,
                durable,
            } = event
            else {
                continue;
            };
            let is_sure = *durable || last.is_some_and(|last| index < last);
            let fate = random.usize(..4);
            let mut at = *start;
            for sector in cut_at_sectors(at, written) {
                let arrives = is_sure || fate == 0 || (fate == 1 && random.usize(..2) == 0);
                if arrives {
                    bytes[at..at + sector.len()].copy_from_slice(sector);
                }
                at += sector.len();
            }
        }
        bytes
    }

    fn change(&self, offset: u64, bytes: Bytes, flags: WriteFlags) -> Answer<'_, ()> {
        let start = usize::try_from(offset).unwrap();
        {
            let mut state = self.state.lock().unwrap();
            state.bytes[start..start + bytes.len()].copy_from_slice(&bytes);
            state.events.push(Event::Written {
                start,
                bytes,
                durable: flags.contains(WriteFlags::FUA),
            });
        }
        self.unflushed.note_change();
        Box::pin(async { Ok(()) })
    }

    fn zeroes(&self, offset: u64, length: u64, flags: WriteFlags) -> Answer<'_, ()> {
        let zeroes = vec![0; usize::try_from(length).unwrap()];
        self.change(offset, zeroes.into(), flags)
    }
}

/// The bytes that are written at `start`, cut at the borders of sectors.
fn cut_at_sectors(start: usize, bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let first = (SECTOR - start % SECTOR).min(bytes.len());
    let (head, rest) = bytes.split_at(first);
    std::iter::once(head).chain(rest.chunks(SECTOR))
}

impl<M: Clone + Send + Sync + std::fmt::Debug + 'static> Source for Recorder<M> {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn unflushed(&self) -> &Unflushed {
        &self.unflushed
    }

    fn read_cached(&self, offset: u64, bytes: &mut [u8]) -> usize {
        let start = usize::try_from(offset).unwrap();
        bytes.copy_from_slice(&self.state.lock().unwrap().bytes[start..start + bytes.len()]);
        bytes.len()
    }

    fn read(&self, offset: u64, length: usize) -> Answer<'_, Vec<u8>> {
        let mut bytes = vec![0; length];
        self.read_cached(offset, &mut bytes);
        Box::pin(async { Ok(bytes) })
    }

    fn write(&self, offset: u64, bytes: Bytes, flags: WriteFlags) -> Answer<'_, ()> {
        self.change(offset, bytes, flags)
    }

    fn zero(&self, offset: u64, length: u64, flags: WriteFlags) -> Answer<'_, ()> {
        self.zeroes(offset, length, flags)
    }

    fn trim(&self, offset: u64, length: u64, flags: WriteFlags) -> Answer<'_, ()> {
        self.zeroes(offset, length, flags)
    }

    fn flush(&self) -> Answer<'_, ()> {
        let epoch = self.unflushed.begin_flush();
        self.state.lock().unwrap().events.push(Event::Flushed);
        self.unflushed.finish_flush(epoch);
        Box::pin(async { Ok(()) })
    }

    fn extents(&self, offset: u64, length: u64, _: usize) -> Answer<'_, Vec<SourceExtent>> {
        let all = SourceExtent {
            offset,
            length,
            data: true,
        };
        Box::pin(async move { Ok(vec![all]) })
    }

    fn prefetch(&self, _: u64, _: u64) {}
}
