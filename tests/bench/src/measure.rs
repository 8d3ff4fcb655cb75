//! Measures a row, in rounds in which each server has its turn.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use crate::client::{Connected, Endpoint};
use crate::figures::{Figures, Sample};
use crate::load::{Load, Operation};
use crate::process;
use crate::rows::{FILLING, Goal, Probe, Row};
use crate::scene::{self, Scene};
use crate::servers::{Kind, Server};
use crate::tools;

/// A row and its figures.
pub(crate) struct Measured {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) goals: &'static [Goal],
    /// Whether server and client had a core each.
    pub(crate) pinned: bool,
    /// nbdbox first.
    pub(crate) figures: Vec<Figures>,
    /// The figures of a server that does nothing, if the row has one.
    pub(crate) floor: Option<Figures>,
}

/// The time after which a load that fills an export checks whether it has written everything.
const FILL: Duration = Duration::from_secs(1);

/// The exports of the row about idle ones.
const EXPORTS: u32 = 100;

pub(crate) fn row(scene: &Scene, row: &Row, rounds: u32) -> anyhow::Result<Measured> {
    let mut kinds = (row.servers)(scene)?;
    if row.floor {
        kinds.push(Kind::Floor);
    }
    let cores = match row.pinned {
        true => scene.cores,
        false => None,
    };
    let mut figures: Vec<Figures> = kinds.iter().map(|kind| Figures::of(kind.label())).collect();
    match row.probe {
        Probe::Start(times) => {
            for _ in 0..rounds {
                for (kind, figures) in kinds.iter().zip(&mut figures) {
                    figures.samples.push(start(scene, kind, times)?);
                }
            }
        }
        Probe::Idle => {
            for (kind, figures) in kinds.iter().zip(&mut figures) {
                figures.kib = Some(idle(scene, kind)?);
            }
        }
        _ => {
            let servers = kinds
                .iter()
                .map(|kind| Server::start(scene, kind, row.tcp, cores))
                .collect::<anyhow::Result<Vec<_>>>()?;
            if row.filled {
                for server in &servers {
                    fill(server)?;
                }
            }
            for round in 0..=rounds {
                for (server, figures) in servers.iter().zip(&mut figures) {
                    let sample = match cores {
                        Some(cores) => cores.as_client(|| turn(scene, row, server)),
                        None => turn(scene, row, server),
                    };
                    let sample =
                        sample.with_context(|| format!("{}: {}", row.name, server.label))?;
                    // The first round warms up caches, the servers' and the kernel's.
                    if round > 0 {
                        figures.samples.push(sample);
                    }
                }
            }
            for (server, figures) in servers.iter().zip(&mut figures) {
                figures.peak = Some(process::peak(server.pid())?);
            }
        }
    }
    Ok(Measured {
        name: row.name,
        what: row.what,
        goals: row.goals,
        pinned: cores.is_some(),
        floor: row.floor.then(|| figures.pop()).flatten(),
        figures,
    })
}

/// Loads a server that runs already as a row does. Returns the figures in one line.
pub(crate) fn only(row: &Row, endpoint: &Endpoint, time: Duration) -> anyhow::Result<String> {
    let (Probe::Load(load) | Probe::Cold(load)) = row.probe else {
        bail!("{} is no load of our own", row.name);
    };
    let sample = loaded(&load, endpoint, time)?;
    Ok(format!("{}: {:.0} a second", row.name, sample.rate))
}

/// Writes all of an export, some of it twice.
fn fill(server: &Server) -> anyhow::Result<()> {
    let size = server.wait()?.size();
    let mut written = 0;
    while written < size {
        written += FILLING.run(&server.endpoint, FILL)?.bytes;
    }
    Ok(())
}

/// One server's turn in a round.
fn turn(scene: &Scene, row: &Row, server: &Server) -> anyhow::Result<Sample> {
    let before = process::cpu_time(server.pid())?;
    let mut sample = match row.probe {
        Probe::Load(load) => loaded(&load, &server.endpoint, scene.seconds)?,
        Probe::Cold(load) => {
            scene::make_cold(&scene.full()?)?;
            let sample = loaded(&load, &server.endpoint, scene.seconds)?;
            scene::make_warm(&scene.full()?)?;
            sample
        }
        Probe::Fio(depth) => tools::fio(&server.uri(), depth, scene.seconds)?,
        Probe::Program(words) => tools::program(words, &server.uri())?,
        Probe::Start(_) | Probe::Idle => unreachable!("these rows start servers of their own"),
    };
    let used = process::cpu_time(server.pid())? - before;
    sample.cpu = Some(used.as_secs_f64() / sample.operations);
    Ok(sample)
}

fn loaded(load: &Load, endpoint: &Endpoint, time: Duration) -> anyhow::Result<Sample> {
    let done = load.run(endpoint, time)?;
    ensure!(done.operations > 0, "the server answered no request");
    // The work of block status is in the number of extents.
    let long_lists = load.operation == Operation::Status && done.extents > 1000 * done.operations;
    let count = if long_lists {
        done.extents
    } else {
        done.operations
    };
    let micros = |quantile| Duration::from_nanos(done.latency.value_at_quantile(quantile));
    Ok(Sample {
        rate: done.per_second(count),
        bytes: (load.operation != Operation::Status).then(|| done.per_second(done.bytes)),
        middle: Some(micros(0.5)),
        late: Some(micros(0.99)),
        operations: count as f64,
        cpu: None,
    })
}

/// Starts a server `times` times, and reads its first byte each time; one start is one operation.
fn start(scene: &Scene, kind: &Kind, times: u32) -> anyhow::Result<Sample> {
    let mut taken = Vec::new();
    for _ in 0..times {
        let begin = Instant::now();
        let server = Server::spawn(scene, kind, false, None)?;
        first_byte(server.wait()?)?;
        taken.push(begin.elapsed());
    }
    taken.sort_unstable();
    let middle = taken[taken.len() / 2];
    Ok(Sample {
        rate: 1.0 / middle.as_secs_f64(),
        bytes: None,
        middle: Some(middle),
        late: taken.last().copied(),
        operations: times.into(),
        cpu: None,
    })
}

fn first_byte(mut client: Connected) -> anyhow::Result<()> {
    use nbd_proto::client::Request;
    use nbd_proto::{Cookie, Framing};
    let mut bytes = Vec::new();
    Request::read(Cookie(0), 0, 1).encode(Framing::Structured, &mut bytes)?;
    client.blocking_send(&bytes)?;
    Ok(client.blocking_receive()?)
}

/// The memory of one more export in KiB: in the same process of nbdbox, or in a process of its own of a peer.
fn idle(scene: &Scene, kind: &Kind) -> anyhow::Result<f64> {
    if !matches!(kind, Kind::Nbdbox(..)) {
        let server = Server::start(scene, kind, false, None)?;
        return Ok(process::private(server.pid())? as f64);
    }
    let one = process_with(scene, 1)?;
    let more = process_with(scene, 1 + EXPORTS)?;
    Ok(more.saturating_sub(one) as f64 / f64::from(EXPORTS))
}

/// Private memory of a server with `exports` exports, after a client has read from each, in KiB.
fn process_with(scene: &Scene, exports: u32) -> anyhow::Result<u64> {
    let server = Server::with_exports(scene, exports)?;
    for number in 0..exports {
        first_byte(server.endpoint.connect_to(&format!("e{number}"))?)?;
    }
    process::private(server.pid())
}
