//! Opens any bytes as a VMDK image, and as the files that its descriptor lists. Every call returns an error or an
//! answer, and never panics. Every answer covers at least one byte.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vmdk_format::{Bytes, Disk, ExtentKind, Image, Stretch};

fuzz_target!(|bytes: &[u8]| {
    // A descriptor ends at a NUL. The bytes after it are those of its files.
    let rest = bytes.iter().position(|byte| *byte == 0);
    let rest = Bytes(bytes.get(rest.unwrap_or_default()..).unwrap_or_default());
    let disk = match Image::open(Bytes(bytes), 1 << 16) {
        Ok(Image::Whole(disk)) => disk,
        Ok(Image::Parts(descriptor)) => {
            let wanted = descriptor
                .extents
                .iter()
                .filter(|one| one.kind != ExtentKind::Zero);
            let files = vec![rest; wanted.count()];
            let Ok(disk) = Disk::of(&descriptor, files, 1 << 16) else {
                return;
            };
            disk
        }
        Err(_) => return,
    };
    walk(disk);
});

fn walk(mut disk: Disk<Bytes<&[u8]>>) {
    let size = disk.size();
    let mut at = 0;
    for _ in 0..64 {
        if at >= size {
            break;
        }
        let reach = disk.reach(at);
        assert!(reach.contains(&at) && reach.end <= size);
        let Ok((stretch, length)) = disk.stretch(at, size - at) else {
            break;
        };
        assert!(length > 0 && length <= size - at);
        if let Stretch::Compressed { part, offset, skip } = stretch {
            let _ = disk.decode(part, offset, skip);
        }
        at += length;
    }
}
