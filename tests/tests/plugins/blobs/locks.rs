//! No file has two writers: neither two servers, nor a server and QEMU's programs, nor two exports of one server.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nbd_proto::{CommandFlags, Framing};
use nbdbox_tests::{Client, Disk, Exit, Server, nbdbox, plugin, run};

const MIB: u64 = 1 << 20;

fn grant(path: &Path, access: &str) -> String {
    format!("--blob=disk={}:{access}", path.display())
}

/// A server that must refuse to start.
fn refused(disk: &Disk, more: &[&str]) -> String {
    refused_with(&grant(&disk.path(), "rw"), more)
}

fn refused_with(grant: &str, more: &[&str]) -> String {
    let file = plugin("file").display().to_string();
    // If the server starts, it ends by itself.
    let words = [&["serve", "--run", "true", grant], more, &[&file]].concat();
    let found = run(nbdbox(), words);
    assert_eq!(found.code, 1, "{found:?}");
    found.stderr
}

fn serve(disk: &Disk, access: &str, more: &[&str]) -> Server {
    let (file, grant) = (
        plugin("file").display().to_string(),
        grant(&disk.path(), access),
    );
    let words = [&grant[..]]
        .into_iter()
        .chain(more.iter().copied())
        .chain([&file[..]]);
    Server::start(words)
}

fn assert_reads(server: &Server) {
    let mut client = Client::connect(&server.socket(), Framing::Simple);
    assert_eq!(client.size(), MIB);
    client.read(MIB - 512, 512).unwrap();
}

/// A `qemu-nbd` that has a disk open until it's dropped.
struct QemuNbd {
    child: Child,
    folder: tempfile::TempDir,
}

impl QemuNbd {
    fn start(disk: &Disk, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let child = Command::new("qemu-nbd")
            .args(["--persistent", "--format=raw", "--socket"])
            .arg(&socket)
            .args(arguments)
            .arg(disk.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while !socket.exists() {
            assert!(Instant::now() < deadline, "qemu-nbd doesn't listen");
            std::thread::sleep(Duration::from_millis(5));
        }
        Self { child, folder }
    }
}

impl Drop for QemuNbd {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let _ = &self.folder;
    }
}

#[test]
fn a_second_server_is_refused_and_told_who_has_the_file() {
    let disk = Disk::empty(MIB);
    let server = serve(&disk, "rw", &[]);
    let error = refused(&disk, &[]);
    let holder = format!("pid {} (nbdbox)", server.serving_pid());
    assert!(error.contains(&holder), "{error}");
    assert!(
        error.contains(&disk.path().display().to_string()),
        "{error}"
    );
    assert!(error.contains("`lock`"), "what to do: {error}");
    assert_reads(&server);
    // A server that only reads excludes no reader, and no reader excludes it.
    assert_reads(&serve(&disk, "ro", &[]));
}

#[test]
fn two_servers_share_a_file_if_both_have_a_shared_lock() {
    let disk = Disk::empty(MIB);
    let shared = ["--blob-option", "disk.lock=shared"];
    let server = serve(&disk, "rw", &shared);
    assert_reads(&serve(&disk, "rw", &shared));
    let error = refused(&disk, &[]);
    assert!(error.contains("in use by"), "{error}");
    assert_reads(&serve(&disk, "rw", &["--blob-option", "disk.lock=none"]));
    assert_reads(&server);
}

/// A server that is ending holds its lock for a moment.
#[test]
fn a_second_server_waits_while_the_first_ends() {
    let disk = Disk::empty(MIB);
    for _ in 0..3 {
        let server = serve(&disk, "rw", &[]);
        let pid = server.pid().to_string();
        let ending = std::thread::spawn(move || server.stop());
        assert_reads(&serve(&disk, "rw", &[]));
        let Exit { code, log, .. } = ending.join().unwrap();
        assert_eq!(code, Some(0), "{pid}: {log}");
    }
}

#[test]
fn qemus_programs_are_refused_a_file_that_a_server_writes() {
    let disk = Disk::empty(MIB);
    let server = serve(&disk, "rw", &[]);
    let path = disk.path().display().to_string();
    let qemu_io = |options: &[&str], command| {
        let words = [options, &["-f", "raw", "-c", command, &path]].concat();
        run("qemu-io", words)
    };
    let wrote = qemu_io(&[], "write 0 512");
    assert!(
        wrote.stderr.contains("Failed to get \"write\" lock"),
        "{wrote:?}"
    );
    let resized = run("qemu-img", ["resize", "-f", "raw", &path, "2M"]);
    assert_eq!(resized.code, 1, "{resized:?}");
    assert!(resized.stderr.contains("lock"), "{resized:?}");
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket").display().to_string();
    let served = run("qemu-nbd", ["-f", "raw", "-k", &socket, &path]);
    assert!(served.stderr.contains("\"write\" lock"), "{served:?}");
    let _ = server.stop();
    let _ = qemu_io(&[], "write 0 512").ok();
}

#[test]
fn a_server_is_refused_a_file_that_qemu_writes() {
    let disk = Disk::empty(MIB);
    let qemu = QemuNbd::start(&disk, &[]);
    let error = refused(&disk, &[]);
    assert!(
        error.contains(&format!("pid {} (qemu-nbd)", qemu.child.id())),
        "{error}"
    );
    assert_reads(&serve(&disk, "ro", &[]));
    drop(qemu);
    // qemu-nbd excludes no reader while it only reads.
    let reader = QemuNbd::start(&disk, &["--read-only"]);
    assert_reads(&serve(&disk, "rw", &[]));
    drop(reader);
}

#[test]
fn a_server_that_only_reads_lets_qemu_write() {
    let disk = Disk::empty(MIB);
    let server = serve(&disk, "ro", &[]);
    let path = disk.path().display().to_string();
    let _ = run("qemu-io", ["-f", "raw", "-c", "write -P 7 0 512", &path]).ok();
    let mut client = Client::connect(&server.socket(), Framing::Simple);
    assert_eq!(client.read(0, 512).unwrap(), [7; 512]);
    // Except if the operator excludes other writers.
    let exclusive = serve(&disk, "ro", &["--blob-option", "disk.lock=exclusive"]);
    let wrote = run("qemu-io", ["-f", "raw", "-c", "write 0 512", &path]);
    assert!(
        wrote.stderr.contains("Failed to get \"write\" lock"),
        "{wrote:?}"
    );
    assert_reads(&exclusive);
}

/// Neither by the same path, nor by a link.
#[test]
fn a_file_is_granted_for_writing_once() {
    let disk = Disk::empty(MIB);
    let link = disk.path().with_file_name("link");
    std::fs::hard_link(disk.path(), &link).unwrap();
    let overlay = format!(
        "{},blob.overlay={}:rw",
        plugin("cow").display(),
        link.display()
    );
    let error = refused(&disk, &["--filter", &overlay]);
    assert!(error.contains("the same file as blob `disk`"), "{error}");
}

/// The case of the issue: of 32 blocks that were flushed, none survived.
#[test]
fn a_second_server_of_an_overlay_is_refused_and_flushed_writes_survive() {
    let (disk, overlay) = (Disk::empty(4 * MIB), Disk::empty(8 * MIB));
    let cow = format!(
        "{},blob.overlay={}:rw",
        plugin("cow").display(),
        overlay.path().display()
    );
    let start = || serve(&disk, "ro", &["--filter", &cow]);
    let server = start();
    let mut client = Client::connect(&server.socket(), Framing::Extended);
    let block = |index: u64| vec![u8::try_from(index).unwrap() + 1; 4096];
    for index in 0..32 {
        client
            .write(index * 65_536, &block(index), CommandFlags::empty())
            .unwrap();
        if index == 16 {
            let error = refused_with(&grant(&disk.path(), "ro"), &["--filter", &cow]);
            assert!(error.contains("blob `overlay`"), "{error}");
            assert!(error.contains("in use by pid"), "{error}");
        }
    }
    client.flush().unwrap();
    // Dropping it sends SIGKILL.
    drop((client, server));
    let server = start();
    let mut client = Client::connect(&server.socket(), Framing::Extended);
    for index in 0..32 {
        assert!(
            client.read(index * 65_536, 4096).unwrap() == block(index),
            "{index}"
        );
    }
}
