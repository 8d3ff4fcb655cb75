//! What a disk may hold after a cut, for each sector: it follows from the replies that its client got.

use crate::recorder::SECTOR;

/// A step of the client.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    /// The client has sent a request that gives these sectors a content, durable or not.
    Asks(Change),
    /// The client has the reply that this is done.
    IsTold(Change),
    /// The client has the reply to a flush: what was answered before it sent the flush is durable.
    IsFlushed,
}

/// Sectors that get a new content.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) first: usize,
    pub(crate) count: usize,
    pub(crate) content: u64,
    pub(crate) durable: bool,
}

/// For each sector the contents that it may have: first the durable one, then the later ones.
pub(crate) struct Model(Vec<Vec<u64>>);

impl Model {
    /// A model of sectors that all have the content 0.
    pub(crate) fn new(sectors: usize) -> Self {
        Self(vec![vec![0]; sectors])
    }

    pub(crate) fn note(&mut self, deed: &Deed) {
        match deed {
            Deed::Asks(change) => self
                .of(change)
                .for_each(|sector| sector.push(change.content)),
            Deed::IsTold(change) if change.durable => {
                self.of(change)
                    .for_each(|sector| *sector = vec![change.content]);
            }
            Deed::IsTold(_) => {}
            Deed::IsFlushed => self.0.iter_mut().for_each(|sector| {
                let last = sector.pop();
                *sector = last.into_iter().collect();
            }),
        }
    }

    fn of(&mut self, change: &Change) -> impl Iterator<Item = &mut Vec<u64>> {
        self.0[change.first..change.first + change.count].iter_mut()
    }

    /// Compares the model with a disk. `write` makes the bytes of a sector's content.
    #[track_caller]
    pub(crate) fn check(&self, disk: &[u8], what: &str, write: impl Fn(usize, u64) -> Vec<u8>) {
        for (index, (may, is)) in self.0.iter().zip(disk.chunks(SECTOR)).enumerate() {
            let holds = may.iter().any(|content| write(index, *content) == is);
            assert!(
                holds,
                "{what}: sector {index} may hold {may:?}, and doesn't"
            );
        }
    }
}
