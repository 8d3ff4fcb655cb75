//! One test of a blob over three sources: a file that is called directly, a file behind the trait, and memory.

use std::sync::Mutex;

use device::reply::ReadReply;
use lanes::Lane;
use nbdbox_config::lock::Lock;
use tempfile::NamedTempFile;

use super::*;
use crate::fill_from_blobs;
use crate::source::{Answer, Identity};

const SIZE: usize = 64 << 10;

fn work() -> Work {
    Lane::new("alice").charging(None)
}

/// Bytes in memory, of which `read_cached` finds only the first half, and a record of the calls.
#[derive(Debug)]
struct Memory {
    facts: Facts,
    unflushed: Unflushed,
    bytes: Mutex<Vec<u8>>,
    asked: Mutex<Vec<&'static str>>,
}

impl Memory {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            facts: Facts {
                size: SIZE as u64,
                identity: Identity::Address("memory:".to_owned()),
                pinned: false,
                writable: true,
                extents_known: false,
            },
            unflushed: Unflushed::new(),
            bytes: Mutex::new(vec![0; SIZE]),
            asked: Mutex::default(),
        })
    }

    fn note(&self, what: &'static str) {
        self.asked.lock().unwrap().push(what);
    }

    fn change(&self, offset: u64, bytes: &[u8]) -> Answer<'_, ()> {
        let start = usize::try_from(offset).unwrap();
        self.bytes.lock().unwrap()[start..start + bytes.len()].copy_from_slice(bytes);
        self.unflushed.note_change();
        Box::pin(async { Ok(()) })
    }
}

impl Source for Memory {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn unflushed(&self) -> &Unflushed {
        &self.unflushed
    }

    fn read_cached(&self, offset: u64, bytes: &mut [u8]) -> usize {
        self.note("read cached");
        let (start, count) = (usize::try_from(offset).unwrap(), bytes.len() / 2);
        bytes[..count].copy_from_slice(&self.bytes.lock().unwrap()[start..start + count]);
        count
    }

    fn read(&self, offset: u64, length: usize) -> Answer<'_, Vec<u8>> {
        self.note("read");
        Box::pin(async move {
            let start = usize::try_from(offset).unwrap();
            tokio::task::yield_now().await;
            Ok(self.bytes.lock().unwrap()[start..start + length].to_vec())
        })
    }

    fn write(&self, offset: u64, bytes: Bytes, _: WriteFlags) -> Answer<'_, ()> {
        self.note("write");
        self.change(offset, &bytes)
    }

    fn zero(&self, offset: u64, length: u64, _: WriteFlags) -> Answer<'_, ()> {
        self.note("zero");
        self.change(offset, &vec![0; usize::try_from(length).unwrap()])
    }

    fn trim(&self, offset: u64, length: u64, _: WriteFlags) -> Answer<'_, ()> {
        self.note("trim");
        self.change(offset, &vec![0; usize::try_from(length).unwrap()])
    }

    fn flush(&self) -> Answer<'_, ()> {
        self.note("flush");
        let epoch = self.unflushed.begin_flush();
        Box::pin(async {
            self.unflushed.finish_flush(epoch);
            Ok(())
        })
    }

    fn extents(&self, offset: u64, length: u64, _: usize) -> Answer<'_, Vec<SourceExtent>> {
        self.note("extents");
        let all = SourceExtent {
            offset,
            length,
            data: true,
        };
        Box::pin(async move { Ok(vec![all]) })
    }

    fn prefetch(&self, _: u64, _: u64) {
        self.note("prefetch");
    }
}

fn grant(file: &NamedTempFile) -> Grant {
    file.as_file().set_len(SIZE as u64).unwrap();
    Grant {
        name: "disk".to_owned(),
        path: file.path().to_owned(),
        access: Access::ReadWrite,
        lock: None,
    }
}

fn opened(file: &NamedTempFile) -> Blob {
    Blob::open(grant(file), &Opener::new("an export"), work()).unwrap()
}

fn over(source: Arc<dyn Source>) -> Blob {
    Blob::over("disk".to_owned(), Access::ReadWrite, source)
}

/// A reply by reference: for each read the blob, the offset and the length.
fn reply(reads: &[(u32, u64, u32)]) -> Box<ReadReply> {
    let mut reply = Box::<ReadReply>::default();
    reply.reset(reads.iter().map(|read| read.2).sum());
    for (blob, offset, length) in reads {
        reply.blob(*blob, *offset, (*length).into());
    }
    reply.finish().unwrap();
    reply
}

async fn works(blob: Blob) {
    let fua = WriteFlags::FUA;
    assert_eq!((blob.name(), blob.access()), ("disk", Access::ReadWrite));
    assert_eq!(blob.size(), SIZE as u64);
    assert!(!blob.is_unsynced());
    blob.write(100, Bytes::from_static(&[7; 1000]), WriteFlags::empty())
        .await
        .unwrap();
    assert!(blob.is_unsynced());
    blob.write(5000, Bytes::from_static(&[8; 100]), fua)
        .await
        .unwrap();
    blob.flush().await.unwrap();
    assert!(!blob.is_unsynced());
    blob.zero(200, 100, WriteFlags::NO_HOLE).await.unwrap();
    blob.trim(8192, 4096, WriteFlags::empty()).await.unwrap();
    assert!(blob.is_unsynced());
    blob.flush().await.unwrap();

    let mut expected = vec![0; SIZE];
    expected[100..1100].fill(7);
    expected[200..300].fill(0);
    expected[5000..5100].fill(8);
    assert!(blob.read(0, SIZE).await.unwrap() == expected);
    blob.prefetch(0, 4096).unwrap();
    let extents = blob.extents(0, SIZE as u64, 100).await.unwrap();
    let covered: u64 = extents.iter().map(|extent| extent.length).sum();
    assert_eq!(covered, SIZE as u64);

    let blobs = [blob.clone(), blob.clone()];
    let reads = [(0, 50, 200), (1, 4990, 20), (0, 0, 4096)];
    let filled = fill_from_blobs(&blobs, reply(&reads)).await.unwrap();
    let wanted: Vec<u8> = [50..250, 4990..5010, 0..4096]
        .into_iter()
        .flat_map(|range| expected[range].to_vec())
        .collect();
    assert!(filled.bytes() == wanted);

    let past = SIZE as u64 - 10;
    let outside = |done: Result<(), BlobError>| matches!(done, Err(BlobError::Range { .. }));
    assert!(outside(blob.read(past, 11).await.map(|_| ())));
    assert!(outside(blob.zero(past, 11, fua).await));
    assert!(outside(blob.trim(u64::MAX, 2, fua).await));
    assert!(outside(blob.prefetch(past, 11)));
    let written = blob.write(past, Bytes::from_static(&[1; 11]), fua).await;
    assert!(outside(written));
}

#[tokio::test]
async fn over_a_file() {
    let file = NamedTempFile::new().unwrap();
    works(opened(&file)).await;
}

#[tokio::test]
async fn over_a_file_behind_the_trait() {
    let file = NamedTempFile::new().unwrap();
    let grant = grant(&file);
    let source = FileSource::open(&grant.path, true, work()).unwrap();
    works(over(Arc::new(source))).await;
}

#[tokio::test]
async fn over_memory() {
    let memory = Memory::new();
    works(over(memory.clone())).await;
    let asked = memory.asked.lock().unwrap();
    for what in [
        "read cached",
        "read",
        "write",
        "zero",
        "trim",
        "flush",
        "extents",
        "prefetch",
    ] {
        assert!(asked.contains(&what), "{what}");
    }
}

/// The reads of a reply alternate between a file and another source.
#[tokio::test]
async fn a_reply_of_both_kinds() {
    let file = NamedTempFile::new().unwrap();
    let blobs = [opened(&file), over(Memory::new())];
    for (blob, byte) in blobs.iter().zip([1, 2]) {
        let bytes = Bytes::from(vec![byte; SIZE]);
        blob.write(0, bytes, WriteFlags::FUA).await.unwrap();
    }
    let reads = [(0, 0, 100), (1, 50, 100), (0, 4096, 100), (1, 9000, 101)];
    let filled = fill_from_blobs(&blobs, reply(&reads)).await.unwrap();
    let wanted = [vec![1; 100], vec![2; 100], vec![1; 100], vec![2; 101]].concat();
    assert!(filled.bytes() == wanted);
}

/// Blobs of the same file have the same identity.
#[test]
fn a_file_is_known_by_its_inode() {
    let (one, two) = (NamedTempFile::new().unwrap(), NamedTempFile::new().unwrap());
    let identity = |file| opened(file).facts().identity.clone();
    assert_eq!(identity(&one), identity(&one));
    assert_ne!(identity(&one), identity(&two));
}

#[test]
fn a_file_has_no_two_writers_in_one_process() {
    let file = NamedTempFile::new().unwrap();
    let (one, two) = (Opener::new("export `one`"), Opener::new("export `two`"));
    let first = Blob::open(grant(&file), &one, work()).unwrap();
    let error = Blob::open(grant(&file), &two, work())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("the same file as blob `disk` of export `one`"),
        "{error}"
    );
    let error = Blob::open(grant(&file), &one, work())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("the same file"),
        "twice in one generation: {error}"
    );
    let reader = Grant {
        access: Access::ReadOnly,
        ..grant(&file)
    };
    Blob::open(reader, &two, work()).unwrap();
    drop(first);
    Blob::open(grant(&file), &two, work()).unwrap();
}

#[test]
fn two_writers_that_share_a_file_share_its_description() {
    let file = NamedTempFile::new().unwrap();
    let shared = || Grant {
        lock: Some(Lock::Shared),
        ..grant(&file)
    };
    let one = Blob::open(shared(), &Opener::new("export `one`"), work()).unwrap();
    let two = Blob::open(shared(), &Opener::new("export `two`"), work()).unwrap();
    one.unflushed().note_change();
    assert!(two.is_unsynced(), "one flushes the changes of the other");
}

/// The next generation of an export opens a file that has grown.
#[tokio::test]
async fn generations_share_a_description_and_each_has_its_size() {
    let file = NamedTempFile::new().unwrap();
    let old = Opener::new("an export");
    let before = Blob::open(grant(&file), &old, work()).unwrap();
    let grown = grant(&file);
    file.as_file().set_len(2 * SIZE as u64).unwrap();
    let after = Blob::open(grown, &old.next_generation(), work()).unwrap();
    assert_eq!(
        (before.size(), after.size()),
        (SIZE as u64, 2 * SIZE as u64)
    );
    let end = Bytes::from_static(b"end");
    after
        .write(2 * SIZE as u64 - 3, end, WriteFlags::empty())
        .await
        .unwrap();
    assert!(before.is_unsynced());
}
