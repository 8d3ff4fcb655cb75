//! `make bench`: loads nbdbox and its peers in turn, within the same minutes.
//!
//! A [`row`](rows) is one kind of work and its servers. All of them run; a round loads each once, A B C A B C …, so
//! that other work of the machine affects all alike. Ratios are taken within a round, and their median and range are
//! the result. `README.md` describes the method.

mod client;
mod cores;
mod figures;
mod floor;
mod load;
mod machine;
mod measure;
mod process;
mod report;
mod rows;
mod scene;
mod servers;
mod shares;
mod tools;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};

use crate::client::Endpoint;
use crate::scene::Scene;

/// Measures nbdbox, nbdkit and qemu-nbd under the same load, and writes a table and a chart.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    /// Rounds: each loads every server of a row once
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,

    /// Seconds of load on one server in one round
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,

    /// Only rows with one of these names, or whose name starts with one of them and a dash
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,

    /// Also writes RESULTS.md and results.svg, or SHARES.md and shares.svg, to this folder
    #[arg(long, value_name = "FOLDER")]
    write: Option<PathBuf>,

    /// The server to measure
    #[arg(long, default_value = "target/release/nbdbox")]
    nbdbox: PathBuf,

    /// Loads a server that already listens on this unix socket, as one row does, for profiling
    #[arg(long, value_name = "SOCKET", requires = "rows")]
    load: Option<PathBuf>,

    /// Measures a tenant's throughput while others misbehave, instead of the rows
    #[arg(long)]
    shares: bool,

    /// Misbehaves at the sockets of this folder
    #[arg(long, value_name = "FOLDER", hide = true)]
    attack: Option<PathBuf>,

    /// Serves nothing in particular on this unix socket, or on this port of 127.0.0.1
    #[arg(long, value_name = "ENDPOINT", hide = true)]
    floor: Option<String>,

    /// Only lists the rows
    #[arg(long)]
    list: bool,
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    if let Some(folder) = &cli.attack {
        return shares::attack(folder);
    }
    if let Some(endpoint) = &cli.floor {
        let port = endpoint.parse().map(Endpoint::Tcp);
        return floor::serve(&port.unwrap_or_else(|_| Endpoint::Unix(endpoint.into())));
    }
    if cli.shares {
        let scene = Scene::new(&cli.nbdbox, Duration::from_secs_f64(cli.seconds))?;
        return shares::run(&scene, cli.write.as_deref());
    }
    let rows: Vec<_> = rows::all()
        .into_iter()
        .filter(|row| cli.rows.is_empty() || cli.rows.iter().any(|word| row.is_called(word)))
        .collect();
    ensure!(!rows.is_empty(), "no row has the name {:?}", cli.rows);
    if cli.list {
        rows.iter()
            .for_each(|row| println!("{:<16} {}", row.name, row.what));
        return Ok(());
    }
    if let Some(socket) = cli.load {
        let time = Duration::from_secs_f64(cli.seconds);
        for row in rows {
            println!(
                "{}",
                measure::only(&row, &Endpoint::Unix(socket.clone()), time)?
            );
        }
        return Ok(());
    }
    let scene = Scene::new(&cli.nbdbox, Duration::from_secs_f64(cli.seconds))?;
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} ({elapsed})")?;
    let bar = ProgressBar::new(rows.len() as u64).with_style(style);
    let mut measured = Vec::new();
    for row in rows {
        bar.set_message(row.name);
        let result = measure::row(&scene, &row, cli.rounds)?;
        bar.suspend(|| println!("{}", report::one(&result)));
        measured.push(result);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let machine = machine::describe(cli.rounds, cli.seconds, scene.cores);
    let all: Vec<_> = measured.iter().collect();
    println!("\n{}", report::table(&all));
    if let Some(folder) = &cli.write {
        std::fs::write(
            folder.join("RESULTS.md"),
            report::document(&machine, &measured),
        )?;
        std::fs::write(folder.join("results.svg"), report::chart(&measured))?;
        println!("written to {}", folder.display());
    }
    Ok(())
}
