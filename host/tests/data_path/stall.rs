//! Clients that stop half-way, while others wait for what they hold. The clock is a fake, so hours pass at once.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use device::{ExportQuota, TenantQuota};
use nbd_proto::client::Request;
use nbd_proto::{Cookie, Framing};
use nbd_server::End;
use nbdbox_config::limits::Limits;
use tokio::io::AsyncWriteExt as _;
use tokio::time::{sleep, timeout};

use crate::faulty::{Faulty, SIZE};
use crate::{Scene, errno, scene, until};

const HOUR: Duration = Duration::from_secs(3600);

/// Connections to an export that admits one request at a time. Reads at offset 0 wait for the disk.
async fn connections<const COUNT: usize>() -> [Scene; COUNT] {
    let limits = Limits {
        total_requests: Some(1),
        ..Limits::default()
    };
    let quota = ExportQuota::new(&limits, &TenantQuota::unlimited());
    let mut scenes = Vec::new();
    for _ in 0..COUNT {
        let mut device = Faulty::new(limits.clone());
        device.terms.quota = Some(Arc::clone(&quota));
        device.waiting.insert(0);
        scenes.push(scene(Framing::Structured, device).await);
    }
    scenes.try_into().ok().unwrap()
}

/// Sends a write of 1024 bytes without the second half of the payload.
async fn begin_to_write(scene: &mut Scene) {
    let request = Request::write(Framing::Structured, Cookie(1), 0, 1024);
    let mut bytes = Vec::new();
    request.encode(Framing::Structured, &mut bytes).unwrap();
    bytes.extend_from_slice(&[7; 512]);
    scene.client.expect(request);
    scene.client.stream().write_all(&bytes).await.unwrap();
    // The server has admitted the write.
    sleep(Duration::from_millis(1)).await;
}

/// Requests more bytes than fit between client and server, and reads none.
async fn ask_and_read_nothing(scene: &mut Scene) {
    let length = u32::try_from(SIZE / 2).unwrap();
    scene.client.read(1, 512, length).await;
    until(|| scene.device.ended.load(Ordering::SeqCst) == 1).await;
}

/// Reads a few bytes, and expects the reply without a wait.
async fn is_served(scene: &mut Scene) {
    scene.client.read(9, 4096, 1).await;
    let answer = timeout(HOUR, scene.client.next()).await;
    let (reply, _) = answer.expect("the read needn't wait").unwrap();
    assert_eq!((reply.cookie, errno(&reply)), (Cookie(9), None));
}

async fn end(scene: Scene) -> End {
    timeout(HOUR, scene.server).await.unwrap().unwrap().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stops_in_the_middle_of_a_write_is_closed_for_others() {
    let [mut stops, mut waits] = connections().await;
    begin_to_write(&mut stops).await;
    is_served(&mut waits).await;
    assert_eq!(end(stops).await, End::Stalled);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_reads_its_replies_is_closed_for_others() {
    let [mut deaf, mut waits] = connections().await;
    ask_and_read_nothing(&mut deaf).await;
    is_served(&mut waits).await;
    assert_eq!(end(deaf).await, End::Stalled);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_or_reads_a_byte_now_and_then_is_closed_for_others() {
    let [mut slow, mut waits] = connections().await;
    begin_to_write(&mut slow).await;
    let dribble = async {
        while slow.client.stream().write_all(&[7]).await.is_ok() {
            sleep(Duration::from_secs(5)).await;
        }
    };
    tokio::join!(dribble, is_served(&mut waits));
    assert_eq!(end(slow).await, End::Stalled);
}

#[tokio::test(start_paused = true)]
async fn a_stalled_client_is_left_alone_if_nobody_waits() {
    let [mut stops, mut reads] = connections().await;
    begin_to_write(&mut stops).await;
    sleep(HOUR).await;
    stops.client.stream().write_all(&[7; 512]).await.unwrap();
    let (reply, _) = stops.client.next().await.unwrap();
    assert_eq!(errno(&reply), None);
    ask_and_read_nothing(&mut stops).await;
    sleep(HOUR).await;
    assert_eq!(stops.client.next().await.unwrap().1.len(), SIZE / 2);
    is_served(&mut reads).await;
}

#[tokio::test(start_paused = true)]
async fn a_later_client_need_not_wait_again() {
    let [mut stops, mut waits] = connections().await;
    begin_to_write(&mut stops).await;
    sleep(HOUR).await;
    assert!(!stops.server.is_finished());
    waits.client.read(9, 4096, 1).await;
    let answer = timeout(Duration::from_secs(1), waits.client.next()).await;
    assert!(
        answer.is_ok(),
        "the gate woke the client, not the client's clock"
    );
    assert_eq!(end(stops).await, End::Stalled);
}

#[tokio::test(start_paused = true)]
async fn a_slow_disk_is_not_the_clients_stall() {
    let [mut slow, mut waits] = connections().await;
    slow.client.read(1, 0, 512).await;
    until(|| slow.device.begun.load(Ordering::SeqCst) == 1).await;
    waits.client.read(9, 4096, 1).await;
    sleep(HOUR).await;
    assert!(!slow.server.is_finished());
    slow.device.release(1);
    assert_eq!(slow.client.next().await.unwrap().0.cookie, Cookie(1));
    assert_eq!(waits.client.next().await.unwrap().0.cookie, Cookie(9));
}
