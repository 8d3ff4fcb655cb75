//! A plugin of the first published nbdbox:plugin 0.1.0. Its own `wit/` is a copy that nobody edits, and it uses no kit.
//! It exports every interface and calls every function, so that a change of any of them keeps it from loading.

use std::cell::RefCell;

wit_bindgen::generate!({ path: "wit", world: "full", generate_all });

use exports::nbdbox::plugin::device::{BlockSizes, DeviceInfo, InstanceMode};
use exports::nbdbox::plugin::export_list::ListedExport;
use exports::nbdbox::plugin::manifest::{PluginInfo, Setting, ValueKind};
use exports::nbdbox::plugin::{
    device, export_list, manifest, prefetch, sparse, writable, zeroable,
};
use nbdbox::plugin::blobs::{Access, Blob};
use nbdbox::plugin::requests::{Extents, ReadReply, WritePayload};
use nbdbox::plugin::types::{Errno, Extent, ExtentKind, Progress, WriteFlags};
use nbdbox::plugin::{config, host};

const SIZE: usize = 64 * 1024;

/// The name of a setting and a blob. With them the plugin calls every function of `blobs`.
const TRIAL: &str = "trial";

thread_local! {
    static DISK: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

struct Frozen;

impl manifest::Guest for Frozen {
    fn describe() -> PluginInfo {
        PluginInfo {
            name: "frozen".to_owned(),
            version: "0.1.0".to_owned(),
            summary: "64 KiB of memory, as of nbdbox:plugin 0.1.0".to_owned(),
            settings: vec![Setting {
                key: TRIAL.to_owned(),
                kind: ValueKind::Size,
                required: false,
                default: None,
                help: "try every function on the blob `trial`, which has this size".to_owned(),
            }],
            blobs: vec![],
        }
    }
}

impl device::Guest for Frozen {
    fn open(name: String) -> Result<DeviceInfo, Errno> {
        if let Some(size) = config::get_size(TRIAL).map_err(|_| Errno::Einval)? {
            try_all(size)?;
        }
        let earlier = host::monotonic_ms();
        if host::wall_ms() == 0 || host::monotonic_ms() < earlier {
            return Err(Errno::Eio);
        }
        host::log(host::Level::Info, &format!("open {name}"));
        DISK.set(vec![0; SIZE]);
        Ok(DeviceInfo {
            size: SIZE as u64,
            block_sizes: Some(BlockSizes {
                minimum: 1,
                preferred: 4096,
                maximum: 1 << 20,
            }),
            description: Some("frozen".to_owned()),
            mode: InstanceMode::Single,
            read_only: false,
            immutable: false,
        })
    }

    fn read(reply: &ReadReply, offset: u64, length: u32) -> Result<(), Errno> {
        DISK.with_borrow(|disk| {
            let bytes = &disk[offset as usize..][..length as usize];
            match bytes.iter().all(|byte| *byte == 0) {
                true => reply.zeroes(length.into()),
                false => reply.data(bytes),
            }
        });
        Ok(())
    }
}

/// Calls every function of `config` and `blobs`.
fn try_all(size: u64) -> Result<(), Errno> {
    let blob = Blob::open(TRIAL)?;
    let all = config::all();
    let known = all.iter().any(|(key, _)| key == TRIAL) && config::get(TRIAL).is_some();
    if !known || blob.access() != Access::ReadWrite || blob.size()? != size {
        host::explain("the trial's settings or blob aren't those that were given");
        return Err(Errno::Einval);
    }
    blob.write(0, b"frozen", WriteFlags::FUA)?;
    if blob.read(0, 6)? != b"frozen" {
        return Err(Errno::Eio);
    }
    blob.prefetch(0, size)?;
    blob.trim(0, 6, WriteFlags::empty())?;
    blob.zero(0, size, WriteFlags::NO_HOLE)?;
    blob.flush()
}

impl writable::Guest for Frozen {
    fn write(payload: &WritePayload, offset: u64, _mode: WriteFlags) -> Result<(), Errno> {
        let bytes = payload.read(0, payload.length());
        DISK.with_borrow_mut(|disk| disk[offset as usize..][..bytes.len()].copy_from_slice(&bytes));
        if let Ok(blob) = Blob::open(TRIAL) {
            payload.store(&blob, 0, 0, 1);
        }
        Ok(())
    }

    fn flush() -> Result<(), Errno> {
        Ok(())
    }
}

impl zeroable::Guest for Frozen {
    fn trim(_offset: u64, _length: u64, _mode: WriteFlags) -> Result<(), Errno> {
        Ok(())
    }

    fn zero(offset: u64, length: u64, _mode: WriteFlags) -> Result<(), Errno> {
        DISK.with_borrow_mut(|disk| disk[offset as usize..][..length as usize].fill(0));
        Ok(())
    }
}

impl sparse::Guest for Frozen {
    fn report(extents: &Extents, offset: u64, length: u64, one: bool) -> Result<(), Errno> {
        if let Ok(blob) = Blob::open(TRIAL) {
            extents.blob(&blob, 0, 1, offset)?;
        }
        let end = offset + length;
        let kind = DISK.with_borrow(|disk| {
            let zero = disk[offset as usize..end as usize]
                .iter()
                .all(|byte| *byte == 0);
            if zero {
                ExtentKind::Zero
            } else {
                ExtentKind::Data
            }
        });
        if extents.add(offset, length, kind)? == Progress::More && !one {
            extents.add_all(&[Extent {
                offset,
                length,
                kind,
            }])?;
        }
        extents.end_at(end);
        Ok(())
    }
}

impl prefetch::Guest for Frozen {
    fn cache(_offset: u64, _length: u64) -> Result<(), Errno> {
        Ok(())
    }
}

impl export_list::Guest for Frozen {
    fn list_exports() -> Result<Vec<ListedExport>, Errno> {
        Ok(vec![ListedExport {
            name: "old".to_owned(),
            description: None,
        }])
    }
}

export!(Frozen);
