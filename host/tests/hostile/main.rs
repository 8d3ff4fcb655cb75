//! Attacks by plugins, each next to a neighbour whose client keeps reading. The test checks what the attacker's own
//! client gets, what the host counts and logs, and that nothing else happens.
//!
//! `NBDBOX_WRITE_DOCS=1 cargo test --workspace --test hostile` makes `tests/ATTACKS.md` from this test.

#![expect(clippy::disallowed_methods, reason = "the test's own tasks")]
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod attacks;
mod bytes;
mod carry_out;
mod hoard;
mod memory;
mod report;
mod scene;
mod starts;
mod swollen;

use std::path::Path;
use std::time::Duration;

use attacks::ATTACKS;
use carry_out::carry_out;
use memory::{BESIDES, MemoryWatch};
use scene::{World, resident};

// One test: the scenes share a process, its log and its memory, as tenants do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_worst_plugin_can_only_fail_its_own_export() {
    let world = World::new().await;
    let neighbour = world.neighbour().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (_, calm) = neighbour.take();
    let (before, memory) = (resident(), MemoryWatch::start(&world.process));
    let metered = |what: &str| {
        let most = memory.take();
        assert!(most <= BESIDES, "{what}: {most} bytes that no meter sees");
        most
    };
    let (mut most, mut delays) = (metered("the start"), Vec::new());
    for attack in ATTACKS {
        carry_out(&world, &neighbour, attack).await;
        most = most.max(metered(attack.words));
        let (_, delay) = neighbour.take();
        delays.push((delay, attack.words));
    }
    for start in starts::STARTS {
        starts::refuse(&world, &neighbour, start).await;
        most = most.max(metered(start.words));
        delays.push((neighbour.take().1, start.words));
    }
    starts::boast(&world).await;
    starts::odd_lists(&world).await;
    hoard::by_the_hundred(&world, &neighbour).await;
    most = most.max(metered("instances by the hundred"));
    // From here on the test itself takes memory to make bytes, and the allocator keeps what the test returns.
    drop(memory);
    swollen::contexts_are_charged(&world, &neighbour).await;
    swollen::the_host_is_to_blame_for_what_it_lacks(&world).await;
    swollen::mappings_are_charged(&world).await;
    for bytes in bytes::BYTES {
        bytes::refuse(&world, bytes).await;
        neighbour.goes_on().await;
        world.log.clear();
    }
    let good = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/plugins/pattern.wasm");
    let good = std::fs::read(good).unwrap();
    bytes::cut_at_sections(&world, &good).await;
    bytes::mutations(&world, &good).await;
    bytes::slow_to_compile(Path::new(env!("CARGO_BIN_EXE_nbdbox"))).await;
    neighbour.stop().await;
    // The first attack is a plain loop.
    let looping = delays[0].0;
    delays.sort_unstable();
    println!(
        "neighbour's p99: calm {calm:?}, beside a loop {looping:?}; the longest of {} attacks: {:?}; at most {} KiB \
         that no meter sees, memory grew by {} KiB",
        delays.len(),
        &delays[delays.len().saturating_sub(5)..],
        most >> 10,
        resident().saturating_sub(before) >> 10,
    );
    report::check();
}
