//! A client that sends options without end, before it chooses an export.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use device::identity;
use nbd_proto::wire::{HELLO_LEN, OPTION_MAGIC, option};
use nbd_server::serve;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;
use tokio::task::yield_now;

use crate::device;
use crate::faulty::Only;

/// The options that are sent at once.
const OPTIONS: u64 = 100;

/// An INFO about an export that doesn't exist.
fn info() -> Vec<u8> {
    let data = [&3_u32.to_be_bytes()[..], b"nil", &[0, 0]].concat();
    let length = u32::try_from(data.len()).unwrap();
    let mut bytes = OPTION_MAGIC.to_be_bytes().to_vec();
    bytes.extend(option::INFO.to_be_bytes());
    bytes.extend(length.to_be_bytes());
    bytes.extend(data);
    bytes
}

/// The bytes of a reply's head; its last 4 bytes are the length of the data.
const REPLY: usize = 20;

#[tokio::test]
async fn others_have_their_turn_after_each_option() {
    let (mut ours, theirs) = tokio::io::duplex(1 << 20);
    let (_stop, stopped) = watch::channel(false);
    let catalog = Arc::new(Only(Arc::new(device())));
    let mut sent = 3_u32.to_be_bytes().to_vec();
    sent.extend(info().repeat(usize::try_from(OPTIONS).unwrap()));
    ours.write_all(&sent).await.unwrap();
    // Another task on this thread, which works whenever it has its turn.
    let turns = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&turns);
    let other = tokio::spawn(async move {
        loop {
            counted.fetch_add(1, Ordering::Relaxed);
            yield_now().await;
        }
    });
    let server = tokio::spawn(serve(
        theirs,
        identity::Client::default(),
        None,
        catalog,
        stopped,
    ));
    let mut hello = [0; HELLO_LEN];
    ours.read_exact(&mut hello).await.unwrap();
    let before = turns.load(Ordering::Relaxed);
    for _ in 0..OPTIONS {
        let mut head = [0; REPLY];
        ours.read_exact(&mut head).await.unwrap();
        let length = u32::from_be_bytes(head[16..].try_into().unwrap());
        let mut data = vec![0; length as usize];
        ours.read_exact(&mut data).await.unwrap();
    }
    let after = turns.load(Ordering::Relaxed);
    assert!(after - before >= OPTIONS, "{} turns", after - before);
    other.abort();
    drop(ours);
    assert!(server.await.unwrap().is_ok());
}
