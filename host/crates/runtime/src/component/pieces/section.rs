//! The sections of a module or component. Each has an identifier, a length and content; an eight-byte header precedes
//! them.

use anyhow::{Context as _, ensure};
use wasmparser::BinaryReader;

/// Length of the header, in bytes: magic and version.
const HEADER: usize = 8;

/// The sections that remain to be read.
pub(super) struct Sections<'a> {
    rest: &'a [u8],
}

/// A section of a module or component.
#[derive(Clone, Copy)]
pub(super) struct Section<'a> {
    pub(super) id: u8,
    pub(super) content: &'a [u8],
    /// The content with its identifier and length.
    pub(super) whole: &'a [u8],
}

/// A module or component that is being rewritten.
#[derive(Default)]
pub(super) struct Writer(Vec<u8>);

impl<'a> Sections<'a> {
    /// The sections of `bytes`. Copies the header to `written`.
    pub(super) fn of(bytes: &'a [u8], written: &mut Writer) -> anyhow::Result<Self> {
        let (header, rest) = bytes.split_at_checked(HEADER).context("it is cut off")?;
        written.copy(header);
        Ok(Self { rest })
    }

    pub(super) fn next(&mut self) -> anyhow::Result<Option<Section<'a>>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let mut reader = BinaryReader::new(self.rest, 0);
        let id = reader.read_u8()?;
        let length = reader.read_var_u32()? as usize;
        let start = reader.original_position();
        let end = start.checked_add(length);
        let end = end.filter(|&end| end <= self.rest.len());
        let (whole, rest) = self.rest.split_at(end.context("a section is cut off")?);
        self.rest = rest;
        Ok(Some(Section {
            id,
            content: &whole[start..],
            whole,
        }))
    }
}

impl Writer {
    /// Appends bytes as they are.
    pub(super) fn copy(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Appends a section with its identifier and length.
    pub(super) fn section(&mut self, id: u8, content: &[u8]) -> anyhow::Result<()> {
        self.0.push(id);
        self.length(content.len())?;
        self.copy(content);
        Ok(())
    }

    /// Appends a number of bytes or items.
    pub(super) fn length(&mut self, length: usize) -> anyhow::Result<()> {
        let length = u32::try_from(length);
        ensure!(length.is_ok(), "a section grows past 4 GiB");
        self.number(length.unwrap_or_default());
        Ok(())
    }

    /// Appends a number in LEB128.
    pub(super) fn number(&mut self, mut number: u32) {
        loop {
            let low = u8::try_from(number & 0x7f).unwrap_or_default();
            number >>= 7;
            if number == 0 {
                return self.0.push(low);
            }
            self.0.push(low | 0x80);
        }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}
