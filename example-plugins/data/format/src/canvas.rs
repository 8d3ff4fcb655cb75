//! Composes a picture. Later pieces cover earlier ones.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::picture::{Content, Picture, Run};

/// A run of zeroes of this length or more isn't stored.
const GAP: usize = 4096;

/// A picture under construction.
#[derive(Default)]
pub(crate) struct Canvas {
    /// Runs by their start.
    runs: BTreeMap<u64, (u64, Content)>,
}

impl Canvas {
    /// Puts `length` zeroes at `at`.
    pub(crate) fn clear(&mut self, at: u64, length: u64) {
        let end = at + length;
        if length == 0 {
            return;
        }
        // The run before the range, which may reach into it or past it.
        if let Some((start, (reach, content))) = self.runs.range_mut(..at).next_back() {
            let (start, stop) = (*start, *start + *reach);
            if stop > at {
                *reach = at - start;
            }
            if stop > end {
                let rest = content.after(end - start);
                self.runs.insert(end, (stop - end, rest));
            }
        }
        while let Some((&start, _)) = self.runs.range(at..end).next() {
            let Some((reach, content)) = self.runs.remove(&start) else {
                break;
            };
            let stop = start + reach;
            if stop > end {
                self.runs
                    .insert(end, (stop - end, content.after(end - start)));
            }
        }
    }

    /// Puts a leaf of `length` bytes at `at`.
    pub(crate) fn put(&mut self, at: u64, length: u64, content: Content) {
        self.clear(at, length);
        if length > 0 {
            self.runs.insert(at, (length, content));
        }
    }

    /// Puts bytes, without long runs of zeroes.
    pub(crate) fn put_bytes(&mut self, at: u64, bytes: &[u8]) {
        self.clear(at, bytes.len() as u64);
        let shared: Rc<[u8]> = bytes.into();
        let mut start = 0;
        while let Some(zeroes) = bytes[start..].iter().position(|byte| *byte != 0) {
            start += zeroes;
            let length = data_length(&bytes[start..]);
            let content = Content::Bytes {
                bytes: Rc::clone(&shared),
                skip: start,
            };
            self.runs
                .insert(at + start as u64, (length as u64, content));
            start += length;
        }
    }

    /// The picture. `size` is at least the end of its last run.
    pub(crate) fn into_picture(self, size: u64) -> Picture {
        let runs: Vec<Run> = self
            .runs
            .into_iter()
            .map(|(start, (length, content))| Run {
                start,
                length,
                content,
            })
            .collect();
        let depth = |run: &Run| match &run.content {
            Content::Picture { picture, .. } => picture.depth + 1,
            _ => 0,
        };
        Picture {
            size,
            depth: runs.iter().map(depth).max().unwrap_or(0),
            runs,
        }
    }
}

/// The number of bytes before the first run of zeroes that isn't stored.
fn data_length(bytes: &[u8]) -> usize {
    let mut zeroes = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if *byte != 0 {
            zeroes = 0;
            continue;
        }
        zeroes += 1;
        if zeroes >= GAP {
            return at + 1 - zeroes;
        }
    }
    bytes.len() - zeroes
}
