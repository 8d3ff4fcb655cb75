//! Reads big-endian numbers from a slice, and never past its end.

/// Reads numbers and pieces from the front of a slice. Each method returns `None` and consumes nothing if too few
/// bytes are left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next `n` bytes.
    pub(crate) const fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let Some((head, tail)) = self.0.split_at_checked(n) else {
            return None;
        };
        self.0 = tail;
        Some(head)
    }

    const fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let Some((head, tail)) = self.0.split_first_chunk::<N>() else {
            return None;
        };
        self.0 = tail;
        Some(*head)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }
}
