//! The memory that a connection keeps between its requests.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use device::{ExportQuota, ProcessQuota, TenantQuota};
use nbd_proto::Framing;
use nbdbox_config::limits::{Limits, TenantLimits};
use tokio::time::timeout;

use crate::faulty::SIZE;
use crate::{device, scene, until};

/// Much longer than a connection at rest keeps memory, on any machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// An export's quota, in a tenant that may use `memory` bytes.
fn quota(memory: u64) -> Arc<ExportQuota> {
    let limits = TenantLimits {
        memory,
        ..TenantLimits::default()
    };
    let tenant = TenantQuota::new(&limits, &ProcessQuota::unlimited());
    ExportQuota::new(&Limits::default(), &tenant)
}

#[tokio::test]
async fn memory_kept_for_the_next_reply_is_charged_and_returned_at_rest() {
    let quota = quota(1 << 30);
    let mut device = device();
    device.terms.quota = Some(Arc::clone(&quota));
    let mut scene = scene(Framing::Structured, device).await;
    let length = u32::try_from(SIZE).unwrap();
    for cookie in 1..=2 {
        scene.client.read(cookie, 0, length).await;
        assert_eq!(scene.client.next().await.unwrap().1.len(), SIZE);
        // The server keeps it after its last byte was sent, and the client may receive that byte earlier.
        let kept = until(|| quota.tenant.memory.used() >= SIZE as u64);
        timeout(DEADLINE, kept)
            .await
            .expect("the memory is charged");
        let rested = until(|| quota.tenant.memory.used() == 0);
        timeout(DEADLINE, rested)
            .await
            .expect("the memory is returned");
    }
    drop(scene);
}

#[tokio::test]
async fn without_memory_left_nothing_is_kept_and_every_read_is_answered() {
    let quota = quota(64 << 10);
    let mut device = device();
    device.terms.quota = Some(Arc::clone(&quota));
    let mut scene = scene(Framing::Structured, device).await;
    let length = u32::try_from(SIZE).unwrap();
    for cookie in 1..=3 {
        scene.client.read(cookie, 0, length).await;
        assert_eq!(scene.client.next().await.unwrap().1.len(), SIZE);
    }
    assert_eq!(scene.device.ended.load(Ordering::SeqCst), 3);
    assert!(quota.tenant.memory.used() <= 64 << 10);
}
