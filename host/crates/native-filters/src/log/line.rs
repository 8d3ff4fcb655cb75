//! The text of a line, after the time and the connection.

use std::fmt;

use device::WriteFlags;
use extent_map::{ExtentMap, Kind};
use nbd_proto::{Errno, Export, ExportFlags};

use crate::call::Call;

/// The most extents in one line.
const EXTENTS: usize = 64;

/// A client has connected.
pub(super) struct Connected<'a>(pub(super) &'a Export);

/// A call begins.
pub(super) struct Asked<'a> {
    pub(super) call: &'a Call,
    pub(super) id: u64,
}

/// A call has completed.
pub(super) struct Answered<'a> {
    pub(super) call: &'a Call,
    pub(super) id: u64,
    pub(super) extents: Option<&'a ExtentMap>,
    pub(super) errno: Option<Errno>,
}

impl fmt::Display for Connected<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Export {
            name,
            size,
            flags,
            block,
            allocation,
            ..
        } = self.0;
        let is = |flag: ExportFlags| u8::from(flags.contains(flag));
        // In nbdkit's format, 2 means that the operation is native, not emulated.
        let (zero, fua, cache) = (
            2 * is(ExportFlags::SEND_WRITE_ZEROES),
            2 * is(ExportFlags::SEND_FUA),
            2 * is(ExportFlags::SEND_CACHE),
        );
        write!(
            f,
            "Connect export=\"{}\" size={size:#x} minsize={:#x} prefsize={:#x} maxsize={:#x} write={} flush={} \
             rotational=0 trim={} zero={zero} fua={fua} extents={} cache={cache} fast_zero={}",
            name.escape_default(),
            block.minimum(),
            block.preferred(),
            block.maximum(),
            1 - is(ExportFlags::READ_ONLY),
            is(ExportFlags::SEND_FLUSH),
            is(ExportFlags::SEND_TRIM),
            u8::from(*allocation),
            is(ExportFlags::SEND_FAST_ZERO),
        )
    }
}

impl fmt::Display for Asked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, id } = self;
        let is = |flag: WriteFlags| u8::from(call.flags().contains(flag));
        write!(f, "{} id={id} ", action(call))?;
        if let Some((offset, length)) = range(call) {
            write!(f, "offset={offset:#x} count={length:#x} ")?;
        }
        match call {
            Call::Write { .. } | Call::Trim { .. } => {
                write!(f, "fua={} ", is(WriteFlags::FUA))?;
            }
            Call::Zero { .. } => write!(
                f,
                "trim={} fua={} fast={} ",
                1 - is(WriteFlags::NO_HOLE),
                is(WriteFlags::FUA),
                is(WriteFlags::FAST_ZERO)
            )?,
            Call::Extents { one, .. } => write!(f, "req_one={} ", u8::from(*one))?,
            Call::Read { .. } | Call::Flush | Call::Cache { .. } => {}
        }
        f.write_str("...")
    }
}

impl fmt::Display for Answered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, id, .. } = self;
        write!(f, "...{} id={id} ", action(call))?;
        if let Some(map) = self.extents {
            f.write_str("extents=(")?;
            for (index, extent) in map.iter().take(EXTENTS).enumerate() {
                let blank = if index > 0 { " " } else { "" };
                let (offset, length) = (extent.offset, extent.length);
                write!(
                    f,
                    "{blank}{offset:#x} {length:#x} \"{}\"",
                    kind(extent.kind)
                )?;
            }
            if map.iter().nth(EXTENTS).is_some() {
                f.write_str(" ...")?;
            }
            f.write_str(") ")?;
        }
        match self.errno {
            None => f.write_str("return=0"),
            Some(errno) => write!(f, "return=-1 error={errno}"),
        }
    }
}

fn action(call: &Call) -> &'static str {
    match call {
        Call::Read { .. } => "Read",
        Call::Write { .. } => "Write",
        Call::Flush => "Flush",
        Call::Trim { .. } => "Trim",
        Call::Zero { .. } => "Zero",
        Call::Cache { .. } => "Cache",
        Call::Extents { .. } => "Extents",
    }
}

fn range(call: &Call) -> Option<(u64, u64)> {
    match *call {
        Call::Flush => None,
        Call::Read { offset, length }
        | Call::Write { offset, length, .. }
        | Call::Trim { offset, length, .. }
        | Call::Zero { offset, length, .. }
        | Call::Cache { offset, length }
        | Call::Extents { offset, length, .. } => Some((offset, length)),
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Data => "",
        Kind::Zero => "zero",
        Kind::Hole => "hole,zero",
        Kind::Undefined => "hole",
    }
}
