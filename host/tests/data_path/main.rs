//! The data path over a stream in memory, with a device that fails and waits: no wasm, no sockets.

#![expect(clippy::disallowed_methods, reason = "the test's own tasks")]
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod client;
mod faulty;
mod kept;
mod options;
mod stall;
mod stints;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use device::ExtentsOnError;
use device::fault::Cause;
use device::identity;
use device::metrics::Outcome;
use nbd_proto::client::{Body, Reply, Request};
use nbd_proto::{CommandFlags, Cookie, Errno, Framing};
use nbd_server::{End, serve};
use nbdbox_config::limits::Limits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use client::Client;
use faulty::{Faulty, Only, SIZE, pattern};

const ALL: [Framing; 3] = [Framing::Simple, Framing::Structured, Framing::Extended];

struct Scene {
    device: Arc<Faulty>,
    stop: watch::Sender<bool>,
    server: JoinHandle<std::io::Result<End>>,
    client: Client,
}

async fn scene(framing: Framing, device: Faulty) -> Scene {
    let device = Arc::new(device);
    let (ours, theirs) = tokio::io::duplex(64 << 10);
    let (stop, stopped) = watch::channel(false);
    let catalog = Arc::new(Only(Arc::clone(&device)));
    let server = tokio::spawn(serve(
        theirs,
        identity::Client::default(),
        None,
        catalog,
        stopped,
    ));
    let client = Client::connect(ours, framing).await;
    Scene {
        device,
        stop,
        server,
        client,
    }
}

fn device() -> Faulty {
    Faulty::new(Limits::default())
}

fn errno(reply: &Reply) -> Option<Errno> {
    match &reply.body {
        Body::Error { errno, .. } => Some(*errno),
        _ => None,
    }
}

fn expected(offset: usize, length: usize) -> Vec<u8> {
    (offset..offset + length).map(pattern).collect()
}

/// Waits until `condition` is true. If it never is, the test hangs, and CI reports that.
async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn reads_are_answered_in_every_framing() {
    for framing in ALL {
        let mut scene = scene(framing, device()).await;
        assert_eq!(scene.client.framing(), framing);
        scene.client.read(1, 1000, 70_000).await;
        let (reply, data) = scene.client.next().await.unwrap();
        assert_eq!((reply.cookie, reply.done), (Cookie(1), true));
        assert_eq!(data, expected(1000, 70_000));
    }
}

#[tokio::test]
async fn a_failing_read_is_an_error_and_the_next_one_is_fine() {
    for framing in ALL {
        let mut broken = device();
        broken.broken.insert(512);
        let mut scene = scene(framing, broken).await;
        scene.client.read(1, 512, 512).await;
        let (reply, _) = scene.client.next().await.unwrap();
        assert_eq!(errno(&reply), Some(Errno::Eio));
        scene.client.read(2, 0, 512).await;
        let (reply, data) = scene.client.next().await.unwrap();
        assert_eq!((reply.cookie, data), (Cookie(2), expected(0, 512)));
        assert_eq!(scene.device.metrics.fault(Cause::Trap).get(), 1);
    }
}

/// A loss makes the next flush, or write with FUA, fail once. Requests that promise nothing go on.
#[tokio::test]
async fn a_loss_fails_one_request_that_promises_durability() {
    let flush = Request::flush(Cookie(1));
    let durable = Request::write(Framing::Simple, Cookie(1), 0, 4).with(CommandFlags::FUA);
    for request in [flush, durable] {
        let mut device = device();
        device.flushes = true;
        let mut scene = scene(Framing::Simple, device).await;
        scene.device.losses.note();
        for expected in [Some(Errno::Eio), None] {
            let plain = Request::write(Framing::Simple, Cookie(2), 0, 4);
            scene.client.ask(plain, b"data").await;
            assert_eq!(errno(&scene.client.next().await.unwrap().0), None);
            let payload: &[u8] = if request == flush { b"" } else { b"data" };
            scene.client.ask(request, payload).await;
            assert_eq!(errno(&scene.client.next().await.unwrap().0), expected);
        }
        assert_eq!(scene.device.metrics.operations.with(Outcome::Lost), 1);
    }
}

#[tokio::test]
async fn a_write_is_read_back_however_large() {
    let mut scene = scene(Framing::Structured, device()).await;
    // The payload is larger than the buffers on the way, and than one read of the socket.
    let bytes: Vec<u8> = (0..SIZE).map(|at| pattern(at + 7)).collect();
    let length = u32::try_from(SIZE).unwrap();
    let request = Request::write(Framing::Structured, Cookie(1), 0, length);
    scene.client.ask(request, &bytes).await;
    assert_eq!(errno(&scene.client.next().await.unwrap().0), None);
    scene.client.read(2, 0, u32::try_from(SIZE).unwrap()).await;
    assert_eq!(scene.client.next().await.unwrap().1, bytes);
}

#[tokio::test]
async fn a_waiting_request_lets_others_pass() {
    let mut slow = device();
    slow.waiting.insert(0);
    let mut scene = scene(Framing::Simple, slow).await;
    scene.client.read(1, 0, 16).await;
    scene.client.read(2, 512, 16).await;
    assert_eq!(scene.client.next().await.unwrap().0.cookie, Cookie(2));
    scene.device.release(1);
    assert_eq!(scene.client.next().await.unwrap().0.cookie, Cookie(1));
}

#[tokio::test]
async fn no_more_requests_are_begun_than_may_be_in_flight() {
    let mut slow = Faulty::new(Limits {
        requests: 4,
        ..Limits::default()
    });
    slow.waiting.insert(0);
    let mut scene = scene(Framing::Simple, slow).await;
    for cookie in 0..10 {
        scene.client.read(cookie, 0, 16).await;
    }
    until(|| scene.device.begun.load(Ordering::SeqCst) == 4).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(scene.device.begun.load(Ordering::SeqCst), 4);
    scene.device.release(10);
    for _ in 0..10 {
        assert!(errno(&scene.client.next().await.unwrap().0).is_none());
    }
}

#[tokio::test]
async fn replies_that_nobody_reads_hold_a_bounded_number_of_bytes() {
    let limits = Limits {
        inflight: 256 << 10,
        ..Limits::default()
    };
    let mut scene = scene(Framing::Simple, Faulty::new(limits)).await;
    for cookie in 0..64 {
        scene.client.read(cookie, 0, 64 << 10).await;
    }
    // Three reads of 64 KiB and their overhead fit, and the bytes that the stream has taken make room for another.
    until(|| scene.device.begun.load(Ordering::SeqCst) >= 3).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let begun = scene.device.begun.load(Ordering::SeqCst);
    assert!(begun <= 5, "{begun} reads were begun");
    for _ in 0..64 {
        assert_eq!(scene.client.next().await.unwrap().1, expected(0, 64 << 10));
    }
}

#[tokio::test]
async fn requests_that_were_begun_end_although_the_client_hung_up() {
    let mut slow = device();
    slow.waiting.insert(0);
    let mut scene = scene(Framing::Simple, slow).await;
    scene.client.read(1, 0, 16).await;
    until(|| scene.device.begun.load(Ordering::SeqCst) == 1).await;
    drop(scene.client);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!scene.server.is_finished(), "a request is still under way");
    scene.device.release(1);
    assert_eq!(scene.server.await.unwrap().unwrap(), End::HungUp);
    assert_eq!(scene.device.ended.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_disconnect_lets_earlier_requests_end_and_has_no_reply() {
    let mut slow = device();
    slow.waiting.insert(0);
    let mut scene = scene(Framing::Structured, slow).await;
    scene.client.read(1, 0, 16).await;
    scene.client.ask(Request::disconnect(Cookie(9)), &[]).await;
    scene.client.read(2, 512, 16).await;
    scene.device.release(1);
    let (reply, data) = scene.client.next().await.unwrap();
    assert_eq!((reply.cookie, data), (Cookie(1), expected(0, 16)));
    assert!(scene.client.next().await.is_none());
    assert_eq!(scene.server.await.unwrap().unwrap(), End::Disconnected);
}

#[tokio::test]
async fn stopping_finishes_requests_in_flight_and_closes() {
    let mut slow = device();
    slow.waiting.insert(0);
    let mut scene = scene(Framing::Structured, slow).await;
    scene.client.read(1, 0, 16).await;
    until(|| scene.device.begun.load(Ordering::SeqCst) == 1).await;
    scene.stop.send(true).unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!scene.server.is_finished());
    scene.device.release(1);
    assert_eq!(scene.client.next().await.unwrap().1, expected(0, 16));
    assert!(scene.client.next().await.is_none());
    assert_eq!(scene.server.await.unwrap().unwrap(), End::Stopped);
}

#[tokio::test]
async fn failing_extents_are_data_or_an_error_as_the_operator_decided() {
    for (on_error, fails) in [(ExtentsOnError::Data, false), (ExtentsOnError::Error, true)] {
        let mut broken = device();
        broken.no_extents = true;
        broken.terms.extents_on_error = on_error;
        let mut scene = scene(Framing::Extended, broken).await;
        let request = Request::block_status(Cookie(1), 4096, 8192);
        scene.client.ask(request, &[]).await;
        let (reply, _) = scene.client.next().await.unwrap();
        match &reply.body {
            Body::BlockStatus { descriptors, .. } => {
                assert!(!fails);
                let only = descriptors[0];
                assert_eq!(
                    (descriptors.len(), only.length, only.flags.bits()),
                    (1, 8192, 0)
                );
                assert_eq!(scene.device.metrics.extents_fallbacks.get(), 1);
            }
            Body::Error { errno, .. } => {
                assert!(fails);
                assert_eq!(*errno, Errno::Eio);
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(scene.device.metrics.fault(Cause::CpuTime).get(), 1);
    }
}

#[tokio::test]
async fn errors_go_only_where_the_spec_allows_them() {
    let mut scene = scene(Framing::Structured, device()).await;
    // Only fast zeroes may get ENOTSUP.
    scene
        .client
        .ask(Request::trim(Cookie(1), 0, 512), &[])
        .await;
    let (reply, _) = scene.client.next().await.unwrap();
    assert!(
        errno(&reply).is_some_and(|errno| errno != Errno::Enotsup),
        "{reply:?}"
    );
    scene
        .client
        .ask(Request::write_zeroes(Cookie(2), 0, 512), &[])
        .await;
    let (reply, _) = scene.client.next().await.unwrap();
    assert!(
        errno(&reply).is_some_and(|errno| errno != Errno::Enotsup),
        "{reply:?}"
    );
}

#[tokio::test]
async fn the_hosts_own_failures_are_counted_as_such() {
    let mut scene = scene(Framing::Structured, device()).await;
    scene.client.ask(Request::flush(Cookie(1)), &[]).await;
    assert_eq!(
        errno(&scene.client.next().await.unwrap().0),
        Some(Errno::Eio)
    );
    assert_eq!(scene.device.metrics.operations.with(Outcome::Host), 1);
    // A client's fault too: a flag without a meaning.
    let request = Request::read(Cookie(2), 0, 512).with(CommandFlags::REQ_ONE);
    scene.client.ask(request, &[]).await;
    assert_eq!(
        errno(&scene.client.next().await.unwrap().0),
        Some(Errno::Einval)
    );
    assert_eq!(scene.device.metrics.refused.get(), 1);
}

#[tokio::test]
async fn garbage_closes_after_the_requests_in_flight() {
    let mut slow = device();
    slow.waiting.insert(0);
    let mut scene = scene(Framing::Simple, slow).await;
    scene.client.read(1, 0, 16).await;
    scene.client.stream().write_all(&[0xff; 64]).await.unwrap();
    scene.device.release(1);
    assert_eq!(scene.client.next().await.unwrap().1, expected(0, 16));
    assert!(scene.client.next().await.is_none());
    assert_eq!(scene.server.await.unwrap().unwrap(), End::Broken);
}

#[tokio::test]
async fn a_payload_that_is_cut_off_changes_nothing() {
    let mut scene = scene(Framing::Simple, device()).await;
    let mut request = Vec::new();
    Request::write(Framing::Simple, Cookie(1), 0, 512)
        .encode(Framing::Simple, &mut request)
        .unwrap();
    request.extend_from_slice(&[0xee; 511]);
    scene.client.stream().write_all(&request).await.unwrap();
    scene.client.stream().shutdown().await.unwrap();
    let mut rest = Vec::new();
    scene.client.stream().read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty(), "{rest:?}");
    assert_eq!(scene.server.await.unwrap().unwrap(), End::Broken);
    assert_eq!(scene.device.metrics.operations.total(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_requests_is_closed_if_the_operator_wants_that() {
    let idle = Some(Duration::from_secs(60));
    let mut slow = Faulty::new(Limits {
        idle,
        ..Limits::default()
    });
    slow.waiting.insert(0);
    let mut scene = scene(Framing::Structured, slow).await;
    // Each request restarts the time, and a request in flight isn't idleness.
    for cookie in 1..4 {
        scene.client.read(cookie, 512, 16).await;
        assert_eq!(scene.client.next().await.unwrap().1, expected(512, 16));
        tokio::time::sleep(Duration::from_secs(50)).await;
    }
    scene.client.read(9, 0, 16).await;
    tokio::time::sleep(Duration::from_secs(200)).await;
    assert!(!scene.server.is_finished());
    scene.device.release(1);
    assert_eq!(scene.client.next().await.unwrap().1, expected(0, 16));
    assert!(scene.client.next().await.is_none());
    drop(scene.client);
    assert_eq!(scene.server.await.unwrap().unwrap(), End::Idle);
}

#[tokio::test(start_paused = true)]
async fn a_handshake_has_its_time() {
    let (ours, theirs) = tokio::io::duplex(1024);
    let (_stop, stopped) = watch::channel(false);
    let catalog = Arc::new(Only(Arc::new(device())));
    let ended = serve(theirs, identity::Client::default(), None, catalog, stopped)
        .await
        .unwrap();
    assert_eq!(ended, End::TimedOut);
    drop(ours);
}
