//! A call of a layer, without the bytes.

use device::WriteFlags;

/// One call. Offsets and lengths are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Read {
        offset: u64,
        length: u64,
    },
    Write {
        offset: u64,
        length: u64,
        flags: WriteFlags,
    },
    Flush,
    Trim {
        offset: u64,
        length: u64,
        flags: WriteFlags,
    },
    Zero {
        offset: u64,
        length: u64,
        flags: WriteFlags,
    },
    Cache {
        offset: u64,
        length: u64,
    },
    Extents {
        offset: u64,
        length: u64,
        one: bool,
    },
}

/// The kind of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Read,
    Write,
    Flush,
    Trim,
    Zero,
    Cache,
    Extents,
}

impl Kind {
    /// The number of kinds.
    pub(crate) const COUNT: usize = 7;
}

impl Call {
    pub(crate) const fn kind(&self) -> Kind {
        match self {
            Self::Read { .. } => Kind::Read,
            Self::Write { .. } => Kind::Write,
            Self::Flush => Kind::Flush,
            Self::Trim { .. } => Kind::Trim,
            Self::Zero { .. } => Kind::Zero,
            Self::Cache { .. } => Kind::Cache,
            Self::Extents { .. } => Kind::Extents,
        }
    }

    /// The flags of a change; none for other calls.
    pub(crate) const fn flags(&self) -> WriteFlags {
        match self {
            Self::Write { flags, .. } | Self::Trim { flags, .. } | Self::Zero { flags, .. } => {
                *flags
            }
            _ => WriteFlags::empty(),
        }
    }
}
