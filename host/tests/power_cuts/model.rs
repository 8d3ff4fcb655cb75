//! What a disk may hold after a cut, sector by sector, by what its client was told before.

use crate::recorder::SECTOR;

/// What a client did.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    /// It asked for these sectors to hold something, durably or not.
    Asks(Change),
    /// It was told that this is done.
    IsTold(Change),
    /// It was told that all is durable that it had been told of before it asked for that.
    IsFlushed,
}

/// Sectors that get another content.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) first: usize,
    pub(crate) count: usize,
    pub(crate) content: u64,
    pub(crate) durable: bool,
}

/// For each sector all that it may hold: what is durable first, what came later behind it.
pub(crate) struct Model(Vec<Vec<u64>>);

impl Model {
    /// Sectors with the content 0.
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

    /// Compares it with a disk, whose contents `write` writes down.
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
