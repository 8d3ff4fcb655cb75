//! Where a picture is put together: what is put later covers what was there.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::picture::{Content, Picture, Run};

/// Zeroes of this length within bytes are left out.
const GAP: usize = 4096;

/// A picture under construction.
#[derive(Default)]
pub(crate) struct Canvas {
    /// By where they start.
    runs: BTreeMap<u64, (u64, Content)>,
}

impl Canvas {
    /// Makes `length` bytes at `at` zeroes.
    pub(crate) fn clear(&mut self, at: u64, length: u64) {
        let end = at + length;
        if length == 0 {
            return;
        }
        // The run that begins before, and may reach into the range or past it.
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

    /// Puts `length` bytes of something at `at`.
    pub(crate) fn put(&mut self, at: u64, length: u64, content: Content) {
        self.clear(at, length);
        if length > 0 {
            self.runs.insert(at, (length, content));
        }
    }

    /// Puts bytes, and leaves out long zeroes.
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

    /// The picture, of a size that no run exceeds.
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

/// How many bytes there are before the zeroes that are long enough to be left out.
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
