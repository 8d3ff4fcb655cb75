//! The changes: pages in memory, and ranges of pages that became zeroes.

use std::collections::BTreeMap;

use nbdbox_plugin::{Errno, Error, Result};

/// Size of a page, the unit of changes and extents, in bytes.
pub(crate) const PAGE: u64 = 32 * 1024;

/// Bytes of memory that the changes leave to the plugin's own needs.
const SPARE: usize = 256 * 1024;

/// The new contents of a page.
pub(crate) enum Change {
    /// These bytes.
    Bytes(Box<[u8]>),
    /// Zeroes, like all pages up to this one (exclusive).
    Zero { end: u64 },
}

/// Changes by the number of their first page.
#[derive(Default)]
pub(crate) struct Changes(BTreeMap<u64, Change>);

impl Changes {
    /// The change of a page, and the pages from it on that share it; `None` for an unchanged page.
    pub(crate) fn at(&self, page: u64) -> (Option<&Change>, u64) {
        if let Some((start, change)) = self.0.range(..=page).next_back() {
            match change {
                Change::Bytes(_) if *start == page => return (Some(change), page + 1),
                Change::Zero { end } if *end > page => return (Some(change), *end),
                _ => {}
            }
        }
        let next = self.0.range(page..).next();
        (None, next.map_or(u64::MAX, |(start, _)| *start))
    }

    /// The bytes of a changed page.
    pub(crate) fn bytes(&mut self, page: u64) -> Option<&mut [u8]> {
        match self.0.get_mut(&page) {
            Some(Change::Bytes(bytes)) => Some(bytes),
            _ => None,
        }
    }

    /// Adds a page, if there is memory for it and for the rest of the call.
    pub(crate) fn keep(&mut self, page: u64, bytes: Box<[u8]>) -> Result<()> {
        room()?;
        self.forget(page, page + 1);
        self.0.insert(page, Change::Bytes(bytes));
        Ok(())
    }

    /// Makes whole pages zeroes.
    pub(crate) fn zero(&mut self, first: u64, end: u64) -> Result<()> {
        if first < end {
            room()?;
            self.forget(first, end);
            self.0.insert(first, Change::Zero { end });
        }
        Ok(())
    }

    fn forget(&mut self, first: u64, end: u64) {
        if let Some((_, Change::Zero { end: reach })) = self.0.range_mut(..first).next_back()
            && *reach > first
        {
            let rest = *reach;
            *reach = first;
            if rest > end {
                self.0.insert(end, Change::Zero { end: rest });
            }
        }
        while let Some((&start, _)) = self.0.range(first..end).next() {
            if let Some(Change::Zero { end: rest }) = self.0.remove(&start)
                && rest > end
            {
                self.0.insert(end, Change::Zero { end: rest });
            }
        }
    }
}

/// Allocates a page, if that leaves enough memory for the rest of the call.
pub(crate) fn page() -> Result<Box<[u8]>> {
    let mut bytes = Vec::new();
    if bytes.try_reserve_exact(PAGE as usize).is_err() {
        return Err(full());
    }
    bytes.resize(PAGE as usize, 0);
    Ok(bytes.into_boxed_slice())
}

fn room() -> Result<()> {
    if Vec::<u8>::new().try_reserve_exact(SPARE).is_err() {
        return Err(full());
    }
    Ok(())
}

fn full() -> Error {
    Error::new(
        Errno::Enospc,
        "the plugin's memory limit is reached: raise --limit memory=",
    )
}
