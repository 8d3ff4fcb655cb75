//! A map, asked for one extent at a time, as `qemu-img` does.

use nbd_proto::CommandFlags;
use nbdbox_tests::{Client, Extent};

/// The map by way of REQ_ONE.
pub(crate) fn one_by_one(client: &mut Client, size: u64) -> Vec<Extent> {
    let mut map: Vec<Extent> = Vec::new();
    let mut offset = 0;
    while offset < size {
        let status = client
            .status(offset, size - offset, CommandFlags::REQ_ONE)
            .unwrap();
        let [one] = status[..] else {
            panic!("{status:?} for one extent");
        };
        let (length, flags) = (one.length, one.flags);
        match map.last_mut() {
            Some(last) if last.flags == flags => last.length += length,
            _ => map.push(Extent {
                offset,
                length,
                flags,
            }),
        }
        offset += length;
    }
    map
}
