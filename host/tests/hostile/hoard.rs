//! Hundreds of instances, each of which takes all memory that it can get. Together they get their tenant's quota and no
//! more.

use std::sync::Arc;

use blob::Access;
use device::TenantQuota;
use nbdbox_config::limits::TenantLimits;
use runtime::PluginCatalog;

use crate::scene::{AMPLE, Neighbour, World, resident};

const INSTANCES: usize = 100;

/// The tenant's memory, which four instances alone would use up.
const QUOTA: u64 = 256 << 20;

/// The memory that the host itself needs for that many stores.
const SLACK: u64 = 64 << 20;

pub(crate) async fn by_the_hundred(world: &World, neighbour: &Neighbour) {
    let limits = TenantLimits {
        memory: QUOTA,
        instances: usize::MAX,
        ..TenantLimits::default()
    };
    let quota = TenantQuota::new(&limits, &world.process);
    let before = resident();
    let mut open = Vec::new();
    let mut refused = 0;
    for number in 0..INSTANCES {
        let name = format!("hoard-{number}");
        let spec = world.spec(&name, &["at=open", "do=hoard"], Access::ReadOnly, AMPLE);
        let mut spec = spec.unwrap();
        spec.quota = Arc::clone(&quota);
        match PluginCatalog::new(Arc::clone(&world.bad), spec).await {
            Ok(catalog) => open.push(catalog),
            Err(error) => {
                assert!(format!("{error:#}").contains("memory"), "{error:#}");
                refused += 1;
            }
        }
        assert!(quota.memory.used() <= QUOTA);
    }
    let grown = resident().saturating_sub(before);
    assert!(grown <= QUOTA + SLACK, "the process grew by {grown} bytes");
    assert!(
        refused > 0 && !open.is_empty(),
        "{refused} refused, {} open",
        open.len()
    );
    neighbour.goes_on().await;
    drop(open);
    assert_eq!(quota.memory.used(), 0, "all of it was returned");
}
