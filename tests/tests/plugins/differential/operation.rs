//! Random changes of a disk, and of a plain array.

use nbd_proto::CommandFlags;
use nbdbox_tests::{Client, Random};

/// One change.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    Write(u64, Vec<u8>, CommandFlags),
    Trim(u64, u64, CommandFlags),
    Zero(u64, u64, CommandFlags),
    Flush,
}

impl Operation {
    /// A random change within `size` bytes, whose offset and length are multiples of `grain`.
    pub(crate) fn random(random: &mut Random, size: u64, longest: u64, grain: u64) -> Self {
        let (offset, length) = random.range(size / grain, longest.div_ceil(grain));
        let (offset, length) = (offset * grain, length * grain);
        let fua = match random.of(0..8) {
            0 => CommandFlags::FUA,
            _ => CommandFlags::empty(),
        };
        match random.of(0..8) {
            0..=3 => {
                let bytes = random.bytes(usize::try_from(length).unwrap());
                Self::Write(offset, bytes, fua)
            }
            4 => Self::Trim(offset, length, fua),
            5 => Self::Zero(offset, length, fua),
            6 => Self::Zero(offset, length, fua | CommandFlags::NO_HOLE),
            _ => Self::Flush,
        }
    }

    /// Makes the change on an export.
    pub(crate) fn send(&self, client: &mut Client) {
        let done = match self {
            Self::Write(offset, bytes, flags) => client.write(*offset, bytes, *flags),
            Self::Trim(offset, length, flags) => client.trim(*offset, *length, *flags),
            Self::Zero(offset, length, flags) => client.zero(*offset, *length, *flags),
            Self::Flush => client.flush(),
        };
        done.unwrap();
    }

    /// Makes the change on an array. A trim makes zeroes, as in all servers that the tests compare.
    pub(crate) fn apply(&self, disk: &mut [u8]) {
        let place = |offset: u64, length: u64| {
            let start = usize::try_from(offset).unwrap();
            start..start + usize::try_from(length).unwrap()
        };
        match self {
            Self::Write(offset, bytes, _) => {
                disk[place(*offset, bytes.len() as u64)].copy_from_slice(bytes);
            }
            Self::Trim(offset, length, _) | Self::Zero(offset, length, _) => {
                disk[place(*offset, *length)].fill(0);
            }
            Self::Flush => {}
        }
    }
}
