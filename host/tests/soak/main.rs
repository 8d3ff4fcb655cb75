//! Repeats all attacks, next to the neighbour: memory stays flat.
//!
//! `make test` makes two rounds. `make soak` runs for ten minutes, or for `NBDBOX_SOAK_SECONDS`, and writes the plot
//! `tests/soak.svg`.

#![expect(clippy::disallowed_methods, reason = "the test's own tasks")]
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

#[path = "../hostile/attacks.rs"]
#[expect(dead_code, reason = "only the document uses the words")]
mod attacks;
#[path = "../hostile/carry_out.rs"]
mod carry_out;
mod plot;
#[path = "../hostile/scene.rs"]
#[expect(dead_code, reason = "another test loads the bytes")]
mod scene;

use std::time::{Duration, Instant};

use attacks::ATTACKS;
use carry_out::carry_out;
use plot::Sample;
use scene::{World, resident};

/// The difference of memory between two moments that allocators may cause.
const SLACK: u64 = 32 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_stays_flat_under_mixed_attack() {
    let seconds = std::env::var("NBDBOX_SOAK_SECONDS").ok();
    let time = seconds
        .as_ref()
        .map(|text| Duration::from_secs(text.parse().unwrap()));
    let world = World::new().await;
    let neighbour = world.neighbour().await;
    let start = Instant::now();
    let mut samples: Vec<Sample> = Vec::new();
    let mut round = 0;
    while round < 2 || time.is_some_and(|time| start.elapsed() < time) {
        for attack in ATTACKS {
            carry_out(&world, &neighbour, attack).await;
            world.log.clear();
        }
        round += 1;
        let (reads, p99) = neighbour.take();
        samples.push(Sample {
            at: start.elapsed(),
            resident: resident(),
            p99,
            reads,
        });
    }
    neighbour.stop().await;
    check_flat(&samples);
    let last = samples.last().unwrap();
    println!(
        "{round} rounds of {} attacks in {:?}: {} MiB resident, neighbour's p99 {:?}",
        ATTACKS.len(),
        last.at,
        last.resident >> 20,
        last.p99
    );
    if time.is_some() {
        plot::write(&samples);
    }
}

/// The last quarter of the samples may take only some slack more than the second did.
fn check_flat(samples: &[Sample]) {
    let most = |part: &[Sample]| {
        part.iter()
            .map(|one| one.resident)
            .max()
            .unwrap_or_default()
    };
    let quarter = samples.len().div_ceil(4);
    let early = most(&samples[..2 * quarter.min(samples.len() / 2)]);
    let late = most(&samples[samples.len() - quarter..]);
    assert!(
        late <= early + SLACK,
        "memory grew from {early} to {late} bytes"
    );
}
