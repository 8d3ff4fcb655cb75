//! How often the host enters the plugin of an export that never changes: once per table, then never.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use blob::{Access, Blob, Grant, Opener};
use device::reply::ReadReply;
use device::{Deadline, Device as _, TenantQuota};
use extent_map::{ExtentMap, Wanted};
use nbdbox_config::settings::Settings;
use runtime::{PluginExport, Policy};

use crate::{ALONE, catalog};

/// The bytes of the disk: four L2 tables of 4 KiB clusters describe them.
const SIZE: u64 = 8 << 20;

/// The bytes that one L2 table describes.
const TABLE: u64 = 2 << 20;

async fn open(plugin: &str, blob: &str, path: &Path, policy: Policy) -> Arc<PluginExport> {
    let grant = Grant {
        name: blob.to_owned(),
        path: path.to_owned(),
        access: Access::ReadOnly,
        lock: None,
    };
    let quota = TenantQuota::unlimited();
    let work = quota.lane.charging(None);
    let blobs = vec![Blob::open(grant, &Opener::new("an export"), work).unwrap()];
    let catalog = catalog(plugin, Settings::default(), blobs, policy, quota).await;
    catalog.join("").await.unwrap()
}

/// A deadline of a call that no client waits for.
fn unattended() -> Deadline {
    Deadline::unattended(std::time::Duration::from_secs(3600))
}

async fn read(export: &PluginExport, offset: u64) -> Vec<u8> {
    let mut reply = Box::<ReadReply>::default();
    reply.reset(4096);
    let mut reply = export
        .read(&unattended(), offset, 4096, reply)
        .await
        .unwrap();
    reply.flatten();
    reply.bytes().to_vec()
}

/// The number of times that the host enters the guest during `work`.
async fn entries(export: &PluginExport, work: impl AsyncFnOnce()) -> u64 {
    let before = export.metrics().guest_calls.get();
    work().await;
    export.metrics().guest_calls.get() - before
}

/// An image with these options, in the plugin `qcow2`.
async fn image(folder: &Path, options: &str, writes: &[&str]) -> Arc<PluginExport> {
    let image = folder.join("image");
    let create = ["create", "-q", "-f", "qcow2", "-o", options];
    qemu("qemu-img", &create, &image);
    let mut words = vec!["-f", "qcow2"];
    words.extend(writes.iter().flat_map(|write| ["-c", write]));
    qemu("qemu-io", &words, &image);
    open("qcow2", "image", &image, Policy::default()).await
}

fn qemu(program: &str, words: &[&str], image: &Path) {
    let ran = Command::new(program).args(words).arg(image).output();
    let ran = ran.unwrap_or_else(|error| panic!("{program}: {error}; run `make setup`"));
    assert!(ran.status.success(), "{ran:?}");
}

#[tokio::test(flavor = "current_thread")]
async fn an_image_is_asked_once_per_table() {
    let _alone = ALONE.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let writes = ["write -P 5 64k 1M", "write -P 6 5M 1M"];
    let export = image(folder.path(), "size=8M,cluster_size=4k", &writes).await;

    let mut tables_seen = [false; 4];
    for offset in [
        64 << 10,
        0,
        1 << 20,
        5 << 20,
        7 << 20,
        100 << 10,
        2 << 20,
        4096,
    ] {
        let table = usize::try_from(offset / TABLE).unwrap();
        let expected = u64::from(!tables_seen[table]);
        tables_seen[table] = true;
        let entered = entries(&export, async || {
            let byte = match offset {
                0x1_0000..0x11_0000 => 5,
                0x50_0000..0x60_0000 => 6,
                _ => 0,
            };
            assert_eq!(read(&export, offset).await, [byte; 4096], "{offset}");
        });
        assert_eq!(entered.await, expected, "{offset}");
    }
    let again = entries(&export, async || {
        for offset in (0..SIZE).step_by(4096) {
            let _bytes = read(&export, offset).await;
        }
    });
    assert_eq!(again.await, 0);
    assert_eq!(export.metrics().located.get(), 4);
}

#[tokio::test(flavor = "current_thread")]
async fn extents_are_asked_for_once() {
    let _alone = ALONE.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let export = image(folder.path(), "size=8M", &["write 1M 1M"]).await;
    let ask = async |wanted| {
        let map = ExtentMap::new(0..SIZE, wanted, 1000).unwrap();
        let map = export.extents(&unattended(), Box::new(map)).await.unwrap();
        map.iter()
            .map(|one| (one.offset, one.kind))
            .collect::<Vec<_>>()
    };
    let first = ask(Wanted::All).await;
    assert_eq!(first.len(), 3, "{first:?}");
    let again = entries(&export, async || {
        assert_eq!(ask(Wanted::All).await, first);
        assert_eq!(ask(Wanted::One).await, first[..1]);
    });
    assert_eq!(again.await, 0);
}

/// A client requests one extent at a time, as QEMU does; the host requests all of them from the plugin.
#[tokio::test(flavor = "current_thread")]
async fn extents_requested_one_by_one_are_reported_once() {
    let _alone = ALONE.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let writes = ["write 1M 1M", "write 4M 64k"];
    let export = image(folder.path(), "size=8M", &writes).await;
    let (mut ends, mut added) = (Vec::new(), Vec::new());
    let entered = entries(&export, async || {
        let mut at = 0;
        while at < SIZE {
            let map = ExtentMap::new(at..SIZE, Wanted::One, 1000).unwrap();
            let map = export.extents(&unattended(), Box::new(map)).await.unwrap();
            assert_eq!(map.iter().count(), 1);
            at = map.end();
            ends.push(at >> 10);
            added.push(export.metrics().extents_added.get());
        }
    });
    assert_eq!(entered.await, 1);
    // The counter has all extents that the plugin reported, and none that the host reported again.
    assert!(added[0] >= 4, "{added:?}");
    assert_eq!(added, [added[0]; 5]);
    assert_eq!(ends, [1024, 2048, 4096, 4096 + 64, 8192]);
}

/// The host calls the plugin once for a file that the operator calls immutable, and each time for one that isn't.
#[tokio::test(flavor = "current_thread")]
async fn a_file_is_asked_once_if_it_never_changes() {
    let _alone = ALONE.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, vec![3; 1 << 20]).unwrap();
    for immutable in [true, false] {
        let policy = Policy {
            immutable,
            ..Policy::default()
        };
        let export = open("file", "disk", &file, policy).await;
        let entered = entries(&export, async || {
            for offset in (0..1 << 20).step_by(4096) {
                assert_eq!(read(&export, offset).await, [3; 4096]);
            }
        });
        assert_eq!(entered.await, if immutable { 1 } else { 256 });
    }
}
