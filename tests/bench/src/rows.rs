//! The kinds of work, the servers that do it, and the goals of nbdbox.

use std::path::Path;

use crate::load::{Load, Operation, Order};
use crate::scene::Scene;
use crate::servers::Kind;

/// One kind of work.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// The work in words, for tables.
    pub(crate) what: &'static str,
    pub(crate) probe: Probe,
    pub(crate) goals: &'static [Goal],
    /// The servers: first nbdbox, then its peers.
    pub(crate) servers: fn(&Scene) -> anyhow::Result<Vec<Kind>>,
    pub(crate) tcp: bool,
    /// Whether the whole export is written first: ranges that were never written are holes, and quick to read.
    pub(crate) filled: bool,
    /// Whether server and client have a core each. If not, both may run anywhere.
    pub(crate) pinned: bool,
    /// Whether a server without work has turns too. Its figures are an upper bound for any server.
    pub(crate) floor: bool,
}

impl Row {
    /// Whether a word of the command line names this row: its name, or the beginning of it up to a dash.
    pub(crate) fn is_called(&self, word: &str) -> bool {
        let rest = self.name.strip_prefix(word);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    }
}

/// The measurement of a row.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Probe {
    /// The benchmark's own load, on data in memory.
    Load(Load),
    /// The same load, after the file's pages were dropped from the page cache.
    Cold(Load),
    /// 4 KiB random reads by fio's nbd engine, with this many in flight.
    Fio(u32),
    /// A program that runs to its end; `URI` stands for the server's URI.
    Program(&'static [&'static str]),
    /// The time from exec to the first byte read, this many times in a round.
    Start(u32),
    /// The memory of one more export that is open and idle.
    Idle,
}

/// A goal of nbdbox, relative to the best of its peers in the same round.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    /// At least this many times their rate.
    Rate(f64),
    /// At most 1/n of their CPU time per operation.
    Cpu(f64),
    /// At most this much memory, in KiB.
    Kib(f64),
}

const fn load(operation: Operation, order: Order, length: u32, depth: usize) -> Load {
    Load {
        operation,
        order,
        length,
        depth,
        connections: 1,
    }
}

const fn random(operation: Operation, depth: usize) -> Load {
    load(operation, Order::Random, 4096, depth)
}

/// The load that writes a whole export.
pub(crate) const FILLING: Load = sequential(Operation::Write);

const fn sequential(operation: Operation) -> Load {
    load(operation, Order::Sequential, 1 << 20, 8)
}

const fn row(
    name: &'static str,
    what: &'static str,
    probe: Probe,
    goals: &'static [Goal],
    servers: fn(&Scene) -> anyhow::Result<Vec<Kind>>,
) -> Row {
    Row {
        name,
        what,
        probe,
        goals,
        servers,
        tcp: false,
        filled: false,
        pinned: matches!(probe, Probe::Load(_) | Probe::Cold(_)),
        floor: matches!(probe, Probe::Load(_) | Probe::Fio(_)),
    }
}

use Operation::{Read, Status, Write};

/// All rows, in the order of the issue that set the goals.
pub(crate) fn all() -> Vec<Row> {
    vec![
        row(
            "pattern-read",
            "4 KiB random reads, depth 64, `pattern`",
            Probe::Load(random(Read, 64)),
            &[Goal::Rate(2.1), Goal::Cpu(2.1)],
            pattern,
        ),
        row(
            "pattern-one",
            "4 KiB random reads, depth 1, `pattern`",
            Probe::Load(random(Read, 1)),
            &[Goal::Rate(1.5)],
            pattern,
        ),
        Row {
            filled: true,
            ..row(
                "memory-read",
                "4 KiB random reads, depth 64, `memory`",
                Probe::Load(random(Read, 64)),
                &[Goal::Rate(1.4)],
                memory,
            )
        },
        row(
            "memory-write",
            "4 KiB random writes, depth 64, `memory`",
            Probe::Load(random(Write, 64)),
            &[Goal::Rate(1.0)],
            memory,
        ),
        row(
            "pattern-stream",
            "1 MiB sequential reads, depth 8, `pattern`",
            Probe::Load(sequential(Read)),
            &[Goal::Rate(1.3)],
            pattern,
        ),
        row(
            "file-read",
            "4 KiB random reads in cache, depth 64, `file`",
            Probe::Load(random(Read, 64)),
            &[Goal::Rate(1.8)],
            file,
        ),
        row(
            "file-one",
            "4 KiB random reads in cache, depth 1, `file`",
            Probe::Load(random(Read, 1)),
            &[Goal::Rate(1.5)],
            file,
        ),
        row(
            "file-small",
            "4 KiB random writes, depth 64, `file`",
            Probe::Load(random(Write, 64)),
            &[Goal::Rate(1.0)],
            file,
        ),
        row(
            "file-stream",
            "1 MiB sequential reads, depth 8, `file`",
            Probe::Load(sequential(Read)),
            &[Goal::Rate(1.3)],
            file,
        ),
        row(
            "file-write",
            "1 MiB sequential writes, depth 8, `file`",
            Probe::Load(sequential(Write)),
            &[Goal::Rate(1.1)],
            file,
        ),
        row(
            "file-cold",
            "4 KiB random reads from disk, depth 32, `file`",
            Probe::Cold(random(Read, 32)),
            &[Goal::Rate(1.0)],
            file,
        ),
        row(
            "status",
            "block status over 1 MiB, depth 64, `sparse`",
            Probe::Load(load(Status, Order::Random, 1 << 20, 64)),
            &[Goal::Rate(4.0)],
            sparse,
        ),
        Row {
            floor: false,
            ..row(
                "extents",
                "block status with about 100,000 extents, in extents",
                Probe::Load(load(Status, Order::Sequential, EXTENTS, 1)),
                &[Goal::Rate(20.0)],
                many_extents,
            )
        },
        row(
            "map-nbdinfo",
            "`nbdinfo --map` of a sparse file of 1 TiB",
            Probe::Program(&["nbdinfo", "--map", "URI"]),
            &[Goal::Rate(1.1)],
            huge,
        ),
        row(
            "map-qemu-img",
            "`qemu-img map` of a sparse file of 1 TiB",
            Probe::Program(&["qemu-img", "map", "--output=json", "URI"]),
            &[Goal::Rate(1.1)],
            huge,
        ),
        row(
            "nbdcopy",
            "nbdcopy of a file of 4 GiB in which every other MiB is a hole",
            Probe::Program(&["nbdcopy", "URI", "null:"]),
            &[Goal::Rate(1.1)],
            half,
        ),
        Row {
            pinned: false,
            ..row(
                "connections",
                "4 KiB random reads, 8 connections, depth 16 each, `file`",
                Probe::Load(Load {
                    connections: 8,
                    ..random(Read, 16)
                }),
                &[Goal::Rate(2.0)],
                file,
            )
        },
        Row {
            tcp: true,
            pinned: false,
            ..row(
                "tcp",
                "4 KiB random reads over TCP, depth 64, `file`",
                Probe::Load(random(Read, 64)),
                &[Goal::Rate(2.5)],
                file,
            )
        },
        row(
            "fio",
            "fio: 4 KiB random reads, depth 64, `file`",
            Probe::Fio(64),
            &[Goal::Rate(1.15)],
            file,
        ),
        row(
            "start",
            "from exec to the first byte read, plugin compiled before",
            Probe::Start(10),
            &[Goal::Rate(0.5)],
            start,
        ),
        row(
            "image-read",
            "4 KiB random reads in cache, depth 64, `qcow2`",
            Probe::Load(random(Read, 64)),
            &[Goal::Rate(4.5)],
            image,
        ),
        row(
            "image-stream",
            "1 MiB sequential reads, depth 8, `qcow2`",
            Probe::Load(sequential(Read)),
            &[Goal::Rate(2.5)],
            image,
        ),
        row(
            "image-compressed",
            "1 MiB sequential reads, depth 8, `qcow2`, compressed",
            Probe::Load(sequential(Read)),
            &[Goal::Rate(0.7)],
            compressed_image,
        ),
        row(
            "image-copy",
            "nbdcopy of a `qcow2` image of 10 GiB with 2 GiB of data",
            Probe::Program(&["nbdcopy", "URI", "null:"]),
            &[Goal::Rate(1.3)],
            sparse_image,
        ),
        row(
            "image-map",
            "`qemu-img map` of a `qcow2` image of 10 GiB",
            Probe::Program(&["qemu-img", "map", "--output=json", "URI"]),
            &[Goal::Rate(1.0)],
            sparse_image,
        ),
        row(
            "image-start",
            "from exec to the first byte of a `qcow2` image",
            Probe::Start(10),
            &[Goal::Rate(0.5)],
            image,
        ),
        row(
            "idle",
            "private memory of one more export after its client has read and disconnected",
            Probe::Idle,
            &[Goal::Kib(100.0)],
            start,
        ),
    ]
}

/// The bytes of 100,000 pages.
const EXTENTS: u32 = 409_600_000;

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|word| (*word).to_owned()).collect()
}

/// nbdkit with its default number of threads, and with two.
fn nbdkits(list: &[&str]) -> [Kind; 2] {
    [None, Some(2)].map(|threads| Kind::Nbdkit(words(list), threads))
}

fn pattern(_: &Scene) -> anyhow::Result<Vec<Kind>> {
    let [one, two] = nbdkits(&["pattern", "1G"]);
    Ok(vec![Kind::Nbdbox("pattern", words(&["size=1G"])), one, two])
}

fn start(_: &Scene) -> anyhow::Result<Vec<Kind>> {
    let nbdkit = Kind::Nbdkit(words(&["pattern", "1G"]), None);
    Ok(vec![Kind::Nbdbox("pattern", words(&["size=1G"])), nbdkit])
}

fn memory(_: &Scene) -> anyhow::Result<Vec<Kind>> {
    let [one, two] = nbdkits(&["memory", "256M"]);
    let settings = words(&["--limit", "memory=320M", "size=256M"]);
    Ok(vec![Kind::Nbdbox("memory", settings), one, two])
}

fn sparse(_: &Scene) -> anyhow::Result<Vec<Kind>> {
    let [random, two] = nbdkits(&["sparse-random", "1G"]);
    let pattern = Kind::Nbdkit(words(&["pattern", "1G"]), None);
    let settings = words(&["size=1G", "runlength=64K"]);
    Ok(vec![Kind::Nbdbox("sparse", settings), random, two, pattern])
}

fn many_extents(scene: &Scene) -> anyhow::Result<Vec<Kind>> {
    let size = format!("size={EXTENTS}");
    let limits = "extents=1000000,cpu=10s";
    let settings = words(&["--limit", limits, &size, "runlength=4K"]);
    let plugin = scene.c_plugin()?.display().to_string();
    let nbdkit = Kind::Nbdkit(vec![plugin], None);
    Ok(vec![Kind::Nbdbox("sparse", settings), nbdkit])
}

/// All servers that serve a raw file.
fn files(path: &Path) -> Vec<Kind> {
    let named = path.display();
    let grant = format!("disk={named}:rw");
    let mut servers = vec![Kind::Nbdbox("file", words(&["--blob", &grant]))];
    servers.extend(nbdkits(&["file", &named.to_string()]));
    servers.push(Kind::QemuNbd(path.to_owned(), "io_uring"));
    servers.push(Kind::QemuNbd(path.to_owned(), "threads"));
    servers
}

fn file(scene: &Scene) -> anyhow::Result<Vec<Kind>> {
    scene.full().map(|path| files(&path))
}

fn half(scene: &Scene) -> anyhow::Result<Vec<Kind>> {
    scene.half().map(|path| files(&path))
}

fn huge(scene: &Scene) -> anyhow::Result<Vec<Kind>> {
    scene.huge().map(|path| files(&path))
}

/// All servers that serve a qcow2 image.
fn images(path: &Path) -> Vec<Kind> {
    let named = path.display();
    let grant = format!("image={named}:ro");
    let mut servers = vec![Kind::Nbdbox("qcow2", words(&["--blob", &grant]))];
    if has_filter("qcow2dec") {
        let list = words(&["--filter=qcow2dec", "file", &named.to_string()]);
        servers.push(Kind::Nbdkit(list, None));
    }
    servers.push(Kind::QemuNbdImage(path.to_owned(), "io_uring"));
    servers.push(Kind::QemuNbdImage(path.to_owned(), "threads"));
    servers
}

/// Whether the installed nbdkit has a filter.
fn has_filter(name: &str) -> bool {
    let asked = std::process::Command::new("nbdkit")
        .args([format!("--filter={name}").as_str(), "null", "--dump-plugin"])
        .output();
    asked.is_ok_and(|output| output.status.success())
}

fn image(scene: &Scene) -> anyhow::Result<Vec<Kind>> {
    scene.image().map(|path| images(&path))
}

fn compressed_image(scene: &Scene) -> anyhow::Result<Vec<Kind>> {
    scene.compressed_image().map(|path| images(&path))
}

fn sparse_image(scene: &Scene) -> anyhow::Result<Vec<Kind>> {
    scene.sparse_image().map(|path| images(&path))
}
