//! `make shares`: the throughput that a tenant keeps while four others misbehave.
//!
//! One loops, one allocates, one floods and one reads slowly. The run measures the fifth's throughput and p99 with and
//! without them, for nbdbox with five tenants and for five nbdkit processes. The servers have the first core and the
//! load generators the second, so that neither uses the other's.

mod attackers;
mod plot;
mod report;
mod world;

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::thread::{CpuSet, sched_setaffinity};

pub(crate) use attackers::attack;

use crate::load::{Load, Operation, Order};
use crate::scene::Scene;
use world::World;

/// The well-behaved tenant.
const HONEST: &str = "fifth";

/// Its load, which is enough to keep the server busy alone.
const FIFTH: Load = Load {
    operation: Operation::Read,
    order: Order::Random,
    length: 4096,
    depth: 16,
    connections: 4,
};

/// The time in which one figure of throughput and of p99 is measured.
const WINDOW: Duration = Duration::from_millis(500);

/// The number of windows before, during and after the attacks.
const WINDOWS: [usize; 3] = [8, 16, 8];

/// The time for the attacks to take full effect, or to stop having one.
const SETTLING: Duration = Duration::from_secs(2);

/// The core of the servers, and that of the load.
const CORES: [usize; 2] = [0, 1];

/// The figures of the fifth in one window.
#[derive(Clone, Copy, Debug)]
struct Window {
    /// Reads per second.
    rate: f64,
    p99: Duration,
    attacked: bool,
}

/// The outcome for one kind of server.
struct Outcome {
    label: String,
    windows: Vec<Window>,
}

impl Outcome {
    /// The median of the figure `of` over the windows with or without attacks.
    fn middle(&self, attacked: bool, of: impl Fn(&Window) -> f64) -> f64 {
        let windows = self.windows.iter();
        let windows = windows.filter(|window| window.attacked == attacked);
        let mut values: Vec<f64> = windows.map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    }

    /// The throughput that the fifth's weight promises: its share of what the server alone reaches.
    fn promised(&self) -> f64 {
        self.middle(false, |one| one.rate) * world::promised(HONEST)
    }

    /// The throughput under attack, as a fraction of the promise.
    fn kept(&self) -> f64 {
        self.middle(true, |one| one.rate) / self.promised()
    }
}

/// Runs the scene with both kinds of servers, prints a table, and writes SHARES.md and shares.svg to `folder`.
pub(crate) fn run(scene: &Scene, folder: Option<&Path>) -> anyhow::Result<()> {
    let mut cpus = CpuSet::new();
    cpus.set(CORES[1]);
    sched_setaffinity(None, &cpus).context("make shares needs two cores")?;
    let mut outcomes = Vec::new();
    for start in [World::nbdbox, World::nbdkit] {
        let outcome = measure(&start(scene)?)?;
        println!("{}", report::line(&outcome));
        outcomes.push(outcome);
    }
    if let Some(folder) = folder {
        std::fs::write(folder.join("SHARES.md"), report::document(scene, &outcomes))?;
        std::fs::write(folder.join("shares.svg"), plot::svg(&outcomes))?;
        println!("written to {}", folder.display());
    }
    let kept = outcomes[0].kept();
    ensure!(kept >= 0.8, "the fifth kept {kept:.2} of its share");
    Ok(())
}

fn measure(world: &World) -> anyhow::Result<Outcome> {
    let endpoint = world.endpoint(HONEST);
    // This warms up caches, and the plugin's code.
    FIFTH.run(&endpoint, WINDOW)?;
    let mut windows = Vec::new();
    for (phase, count) in WINDOWS.into_iter().enumerate() {
        let attacked = phase == 1;
        let attackers = attacked.then(|| world.attackers()).transpose()?;
        if phase > 0 {
            sleep(SETTLING);
        }
        for _ in 0..count {
            let done = FIFTH.run(&endpoint, WINDOW)?;
            windows.push(Window {
                rate: done.per_second(done.operations),
                p99: Duration::from_nanos(done.latency.value_at_quantile(0.99)),
                attacked,
            });
        }
        drop(attackers);
    }
    Ok(Outcome {
        label: world.label.clone(),
        windows,
    })
}
