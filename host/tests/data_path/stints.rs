//! Connections of tenants that share one core, whose clients send as many requests as they can.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use device::{ExportQuota, ProcessQuota, TenantQuota};
use fair_cores::Cores;
use nbd_proto::client::Request;
use nbd_proto::{Cookie, Framing};
use nbdbox_config::limits::{Limits, TenantLimits};
use tokio::io::AsyncWriteExt as _;

use crate::client::Client;
use crate::faulty::Faulty;
use crate::{Scene, scene};

/// The requests of each connection, all sent at once.
const REQUESTS: u64 = 500;

/// The connections of the tenant that floods.
const FLOOD: usize = 16;

/// The connections of a tenant that has the same weight as any other.
async fn tenant(cores: &Arc<Cores>, connections: usize) -> Vec<Scene> {
    let free = TenantLimits {
        requests: usize::MAX,
        inflight: u64::MAX,
        ..TenantLimits::default()
    };
    let quota = ExportQuota::new(
        &Limits::default(),
        &TenantQuota::sharing("tenant", &free, &ProcessQuota::unlimited(), cores),
    );
    let mut scenes = Vec::new();
    for _ in 0..connections {
        let mut device = Faulty::new(Limits::default());
        device.terms.quota = Some(Arc::clone(&quota));
        device.work = Duration::from_micros(50);
        scenes.push(scene(Framing::Structured, device).await);
    }
    scenes
}

async fn ask_for_all(client: &mut Client) {
    let mut requests = Vec::new();
    for cookie in 0..REQUESTS {
        let request = Request::read(Cookie(cookie), cookie, 1);
        request.encode(Framing::Structured, &mut requests).unwrap();
        client.expect(request);
    }
    client.stream().write_all(&requests).await.unwrap();
}

async fn receive_all(client: &mut Client) {
    for _ in 0..REQUESTS {
        assert!(client.next().await.is_some());
    }
}

fn done(scenes: &[Scene]) -> u64 {
    let done = |scene: &Scene| scene.device.ended.load(Ordering::SeqCst);
    scenes.iter().map(done).sum()
}

#[tokio::test(flavor = "current_thread")]
async fn cores_are_shared_by_tenants_not_by_their_connections() {
    let cores = Cores::new(1);
    let mut flood = tenant(&cores, FLOOD).await;
    let mut fair = tenant(&cores, 1).await;
    for scene in &mut flood {
        ask_for_all(&mut scene.client).await;
    }
    let before = done(&flood);
    ask_for_all(&mut fair[0].client).await;
    receive_all(&mut fair[0].client).await;
    let theirs = done(&flood) - before;
    // If connections shared the cores, it would be sixteen for each of its own. The rest is room for slices at the
    // beginning and the end.
    assert!(
        theirs <= REQUESTS * 5 / 4 + 100,
        "{theirs} against {REQUESTS}"
    );
}

#[tokio::test(flavor = "current_thread")]
async fn a_connection_cut_off_while_it_waits_or_works_keeps_no_place() {
    let cores = Cores::new(1);
    let mut flood = tenant(&cores, FLOOD).await;
    let mut fair = tenant(&cores, 2).await;
    for scene in flood.iter_mut().chain(&mut fair) {
        ask_for_all(&mut scene.client).await;
    }
    for scene in flood {
        tokio::task::yield_now().await;
        scene.server.abort();
    }
    for scene in &mut fair {
        receive_all(&mut scene.client).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_of_many_tenants_are_served() {
    let cores = Cores::new(2);
    let mut all = Vec::new();
    for _ in 0..8 {
        all.extend(tenant(&cores, 2).await);
    }
    for scene in &mut all {
        ask_for_all(&mut scene.client).await;
    }
    for scene in &mut all {
        receive_all(&mut scene.client).await;
    }
}
