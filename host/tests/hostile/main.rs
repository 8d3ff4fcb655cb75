//! Attacks by plugins, each beside a neighbour whose client keeps reading: what the attacker's own
//! client gets, what is counted and logged, and that nothing else happens.
//!
//! `tests/ATTACKS.md` is made from this: `NBDBOX_WRITE_DOCS=1 cargo test --workspace --test hostile`.

#![expect(clippy::disallowed_methods, reason = "the test's own tasks")]
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod attacks;
mod bytes;
mod carry_out;
mod client;
mod hoard;
#[path = "../support/negotiate.rs"]
mod negotiate;
mod report;
mod scene;
mod starts;
mod swollen;

use std::path::Path;
use std::time::Duration;

use nbdbox_config::limits::Limits;

use attacks::ATTACKS;
use carry_out::carry_out;
use scene::{World, resident};

/// What a fresh process may take beside the guests' own memory.
const SLACK: u64 = 64 << 20;

// One test: the scenes share a process, its log and its memory, as tenants would.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_worst_plugin_can_only_fail_its_own_export() {
    let world = World::new().await;
    let neighbour = world.neighbour().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (_, calm) = neighbour.take();
    let before = resident();
    for attack in ATTACKS {
        carry_out(&world, &neighbour, attack).await;
        let limits = Limits::default();
        let budget = limits.memory * limits.instances as u64 + SLACK;
        let grown = resident().saturating_sub(before);
        assert!(
            grown <= budget,
            "{attack:?}: the process grew by {grown} bytes"
        );
    }
    for start in starts::STARTS {
        starts::refuse(&world, &neighbour, start).await;
    }
    starts::boast(&world).await;
    starts::odd_lists(&world).await;
    for bytes in bytes::BYTES {
        bytes::refuse(&world, bytes).await;
        neighbour.goes_on().await;
        world.log.clear();
    }
    hoard::by_the_hundred(&world, &neighbour).await;
    swollen::contexts_are_charged(&world, &neighbour).await;
    swollen::the_host_is_to_blame_for_what_it_lacks(&world).await;
    swollen::mappings_are_charged(&world).await;
    let good = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/plugins/pattern.wasm");
    let good = std::fs::read(good).unwrap();
    bytes::cut_at_sections(&world, &good).await;
    bytes::mutations(&world, &good).await;
    bytes::slow_to_compile(Path::new(env!("CARGO_BIN_EXE_nbdbox"))).await;
    let (reads, attacked) = neighbour.take();
    neighbour.stop().await;
    println!(
        "neighbour: {reads} reads during {} attacks, p99 {attacked:?}, calm {calm:?}, ratio {:.1}; \
         memory grew by {} KiB",
        ATTACKS.len() + starts::STARTS.len(),
        attacked.as_secs_f64() / calm.as_secs_f64(),
        resident().saturating_sub(before) >> 10,
    );
    report::check();
}
