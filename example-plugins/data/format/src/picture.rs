//! The initial contents of a disk of any size: bytes, files and repetitions, in their places.

use std::rc::Rc;

/// A disk, or a part of one. Bytes that no run covers are zeroes.
#[derive(Clone, Debug, Default)]
pub struct Picture {
    pub(crate) size: u64,
    /// Runs in ascending order, without overlaps, none empty.
    pub(crate) runs: Vec<Run>,
    /// The nesting depth of pictures.
    pub(crate) depth: usize,
}

/// A run of bytes in one place.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) start: u64,
    pub(crate) length: u64,
    pub(crate) content: Content,
}

/// The bytes of a run.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// Bytes, from `skip` on.
    Bytes { bytes: Rc<[u8]>, skip: usize },
    /// One byte, repeated. Not zero.
    Fill(u8),
    /// Bytes of a file, from `offset` on.
    File {
        index: usize,
        offset: u64,
        readable: bool,
    },
    /// Another picture, from `skip` on, repeated from its start to fill the run.
    Picture { picture: Rc<Picture>, skip: u64 },
}

impl Content {
    /// The same run, without its first `count` bytes.
    pub(crate) fn after(&self, count: u64) -> Self {
        match self {
            Self::Bytes { bytes, skip } => Self::Bytes {
                bytes: Rc::clone(bytes),
                skip: skip + count as usize,
            },
            Self::Fill(byte) => Self::Fill(*byte),
            Self::File {
                index,
                offset,
                readable,
            } => Self::File {
                index: *index,
                offset: offset + count,
                readable: *readable,
            },
            Self::Picture { picture, skip } => Self::Picture {
                picture: Rc::clone(picture),
                // Neither is larger than 2^63 - 1.
                skip: (skip + count) % picture.size.max(1),
            },
        }
    }
}

/// The bytes from an offset on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaf<'a> {
    /// Zeroes.
    Zero,
    /// These bytes, and no more.
    Bytes(&'a [u8]),
    /// One byte, repeated.
    Fill(u8),
    /// A file's bytes, from an offset on.
    File {
        /// The index that [`Files::open`](crate::Files::open) returned.
        index: usize,
        /// The offset in the file.
        offset: u64,
        /// Whether the plugin may read the bytes.
        readable: bool,
    },
}

impl Picture {
    /// In bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// A picture of bytes.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Self {
        let mut canvas = crate::canvas::Canvas::default();
        canvas.put_bytes(0, bytes);
        canvas.into_picture(bytes.len() as u64)
    }

    /// The leaf at `at`, and the number of bytes that it covers: at least one. Past the end of the picture, all bytes
    /// are zeroes.
    #[must_use]
    pub fn leaf(&self, at: u64) -> (Leaf<'_>, u64) {
        let (mut picture, mut at, mut most) = (self, at, u64::MAX);
        loop {
            let next = picture.runs.partition_point(|run| run.start <= at);
            let before = next.checked_sub(1).map(|index| &picture.runs[index]);
            let Some(run) = before.filter(|run| at - run.start < run.length) else {
                let end = match picture.runs.get(next) {
                    Some(run) => run.start,
                    None if most == u64::MAX => u64::MAX,
                    None => picture.size,
                };
                return (Leaf::Zero, most.min(end - at));
            };
            let inside = at - run.start;
            most = most.min(run.length - inside);
            match &run.content {
                Content::Bytes { bytes, skip } => {
                    let bytes = &bytes[skip + inside as usize..][..most as usize];
                    return (Leaf::Bytes(bytes), most);
                }
                Content::Fill(byte) => return (Leaf::Fill(*byte), most),
                Content::File {
                    index,
                    offset,
                    readable,
                } => {
                    let leaf = Leaf::File {
                        index: *index,
                        offset: offset + inside,
                        readable: *readable,
                    };
                    return (leaf, most);
                }
                Content::Picture { picture: of, skip } => {
                    at = (skip + inside) % of.size;
                    most = most.min(of.size - at);
                    picture = of;
                }
            }
        }
    }

    /// From `at` on, the start of a page: the number of bytes with data, or without, at least to the end of the page. A
    /// page holds data if any of its bytes isn't zero.
    ///
    /// `budget` limits the runs that this examines. When it is used up, the answer is data, which is always safe.
    #[must_use]
    pub fn page(&self, at: u64, page: u64, budget: &mut u32) -> (bool, u64) {
        if let Some(length) = self.dense(at, page) {
            return (true, length);
        }
        let mut here = at;
        while here < at.saturating_add(page) {
            let Some(left) = budget.checked_sub(1) else {
                return (true, page);
            };
            *budget = left;
            let rest = at.saturating_add(page) - here;
            match self.leaf(here) {
                (Leaf::Zero, length) if here == at && length >= page => {
                    return (false, length - length % page);
                }
                (Leaf::Zero, length) => here = here.saturating_add(length),
                (Leaf::Bytes(bytes), length) => {
                    let part = &bytes[..bytes.len().min(rest as usize)];
                    if part.iter().any(|byte| *byte != 0) {
                        return (true, page);
                    }
                    here = here.saturating_add(length);
                }
                (Leaf::Fill(_) | Leaf::File { .. }, length) if here == at && length >= page => {
                    return (true, length - length % page);
                }
                (Leaf::Fill(_) | Leaf::File { .. }, _) => return (true, page),
            }
        }
        (false, page)
    }

    /// The number of whole pages from `at` on of which each holds data of a repetition.
    fn dense(&self, at: u64, page: u64) -> Option<u64> {
        let next = self.runs.partition_point(|run| run.start <= at);
        let run = &self.runs[next.checked_sub(1)?];
        let Content::Picture { picture, .. } = &run.content else {
            return None;
        };
        let left = (run.start + run.length).checked_sub(at)?;
        let recurs = picture.size <= page && !picture.runs.is_empty() && left >= page;
        recurs.then_some(left - left % page)
    }
}
