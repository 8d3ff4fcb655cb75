//! `file` when the kernel fails: strace makes real system calls of the running server fail, or a disk is full.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nbd_proto::{CommandFlags, Errno, Framing, StateFlags};
use nbdbox_tests::{Client, Disk, FRAMINGS, Random, Refused, Server, Strace, nbdbox, plugin, run};
use tempfile::TempDir;

const NONE: CommandFlags = CommandFlags::empty();
const MIB: u64 = 1 << 20;

/// Enough for the slowest machine: a test that waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A disk full of bytes, none of them 0.
fn full(size: u64) -> Disk {
    let mut bytes = Random::seeded(size).bytes(usize::try_from(size).unwrap());
    bytes.iter_mut().for_each(|byte| *byte |= 1);
    Disk::holding(&bytes)
}

fn connect(server: &Server) -> Client {
    Client::connect(&server.socket(), Framing::Extended)
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(outcome: Result<T, Refused>, errno: Errno) {
    assert_eq!(outcome.unwrap_err().errno, errno);
}

/// Asserts that the log names the file and the error.
#[track_caller]
fn assert_told(server: &Server, disk: &Disk, error: &str) {
    let (log, path) = (server.log(), disk.path().display().to_string());
    let told = |line: &str| line.contains("ERROR") && line.contains(&path) && line.contains(error);
    assert!(log.lines().any(told), "{path}, {error}:\n{log}");
}

#[test]
fn a_read_error_is_the_clients_and_the_operators() {
    for framing in FRAMINGS {
        let disk = full(MIB);
        let server = disk.serve();
        let mut client = Client::connect(&server.socket(), framing);
        let faults = Strace::inject(&server, &disk.path(), &["pread64,preadv2:error=EIO"]);
        assert_refused(client.read(4096, 5000), Errno::Eio);
        assert_refused(client.read(0, 1), Errno::Eio);
        // The error affects neither the other reads nor the connection.
        client.write(8192, b"written", NONE).unwrap();
        let _ = faults.detach();
        assert_told(&server, &disk, "Input/output error");
        let (offset, length) = (4000, 10_000);
        let bytes = client.read(offset, length).unwrap();
        assert!(bytes == disk.bytes()[4000..14_000]);
        assert_eq!(&bytes[4192..4199], b"written");
        server.assert_serves();
    }
}

#[test]
fn an_interrupted_call_is_repeated() {
    let disk = full(MIB);
    let server = disk.serve();
    let mut client = connect(&server);
    let mut interrupt = |action: &dyn Fn(&mut Client)| {
        let faults = [
            "preadv2,pwritev2:error=EAGAIN",
            "pread64,pwrite64:error=EINTR:when=1",
        ];
        let faults = Strace::inject(&server, &disk.path(), &faults);
        action(&mut client);
        let log = faults.detach();
        assert!(log.contains("EINTR"), "{log}");
    };
    interrupt(&|client| assert!(client.read(10, 5000).unwrap() == disk.bytes()[10..5010]));
    interrupt(&|client| client.write(20, b"written", NONE).unwrap());
    interrupt(&|client| client.write(40, b"durable", CommandFlags::FUA).unwrap());
    let bytes = disk.bytes();
    assert_eq!(bytes[20..27], *b"written");
    assert_eq!(bytes[40..47], *b"durable");
}

#[test]
fn a_write_without_progress_ends() {
    let disk = full(MIB);
    let before = disk.bytes();
    let server = disk.serve();
    let mut client = connect(&server);
    let faults = Strace::inject(&server, &disk.path(), &["pwrite64,pwritev2:retval=0"]);
    for flags in [NONE, CommandFlags::FUA] {
        assert_refused(client.write(0, &[7; 9999], flags), Errno::Eio);
    }
    let _ = faults.detach();
    assert_told(&server, &disk, "made no progress");
    assert!(disk.bytes() == before);
    server.assert_serves();
}

#[test]
fn a_full_disk_refuses_writes_and_changes_nothing() {
    for framing in FRAMINGS {
        let disk = full(MIB);
        let before = disk.bytes();
        let server = disk.serve();
        let mut client = Client::connect(&server.socket(), framing);
        let faults = Strace::inject(&server, &disk.path(), &["pwrite64,pwritev2:error=ENOSPC"]);
        for flags in [NONE, CommandFlags::FUA] {
            assert_refused(client.write(4097, &[7; 9999], flags), Errno::Enospc);
        }
        assert!(client.read(0, 65_536).unwrap() == before[..65_536]);
        let _ = faults.detach();
        assert_told(&server, &disk, "No space left on device");
        assert!(disk.bytes() == before);
        client.write(4097, &[7; 9999], NONE).unwrap();
        server.assert_serves();
    }
}

#[test]
fn another_write_error_is_eio() {
    let disk = full(MIB);
    let before = disk.bytes();
    let server = disk.serve();
    let mut client = connect(&server);
    let faults = Strace::inject(&server, &disk.path(), &["pwrite64,pwritev2:error=EIO"]);
    for flags in [NONE, CommandFlags::FUA] {
        assert_refused(client.write(0, &[7; 9999], flags), Errno::Eio);
    }
    let _ = faults.detach();
    assert_told(&server, &disk, "Input/output error");
    assert!(disk.bytes() == before);
}

#[test]
fn what_cannot_be_made_durable_is_never_a_success() {
    for framing in FRAMINGS {
        let disk = full(MIB);
        let server = disk.serve();
        let mut client = Client::connect(&server.socket(), framing);
        let faults = Strace::inject(&server, &disk.path(), &["fdatasync:error=EIO"]);
        client.write(0, b"in the cache", NONE).unwrap();
        for _ in 0..3 {
            assert_refused(client.flush(), Errno::Eio);
            let written = client.write(100, b"durable", CommandFlags::FUA);
            assert_refused(written, Errno::Eio);
            assert_refused(client.zero(4096, 4096, CommandFlags::FUA), Errno::Eio);
            assert_refused(client.trim(8192, 4096, CommandFlags::FUA), Errno::Eio);
        }
        // A flush of another connection fails too.
        assert_refused(connect(&server).flush(), Errno::Eio);
        let _ = faults.detach();
        assert_told(&server, &disk, "Input/output error");
        // The kernel has reported the loss, so it would call the next flush a success.
        let written = client.write(100, b"durable", CommandFlags::FUA);
        assert_refused(written, Errno::Eio);
        assert_refused(connect(&server).flush(), Errno::Eio);
        client.write(100, b"cached", NONE).unwrap();
        assert_eq!(client.read(100, 6).unwrap(), b"cached");
        server.assert_serves();
    }
}

#[test]
fn a_full_disk_refuses_zeroes_and_trims() {
    let disk = full(MIB);
    let before = disk.bytes();
    let server = disk.serve();
    let mut client = connect(&server);
    let faults = Strace::inject(&server, &disk.path(), &["fallocate:error=ENOSPC"]);
    let modes = [NONE, CommandFlags::NO_HOLE, CommandFlags::FAST_ZERO];
    for flags in modes {
        assert_refused(client.zero(4096, 65_536, flags), Errno::Enospc);
    }
    assert_refused(client.trim(4096, 65_536, NONE), Errno::Enospc);
    let _ = faults.detach();
    assert_told(&server, &disk, "No space left on device");
    assert!(disk.bytes() == before);
    server.assert_serves();
}

#[test]
fn zeroes_are_written_where_the_file_system_has_no_other_way() {
    for flags in [NONE, CommandFlags::NO_HOLE, CommandFlags::FUA] {
        let disk = full(4 * MIB);
        let mut expected = disk.bytes();
        let server = disk.serve();
        let mut client = connect(&server);
        let faults = Strace::inject(&server, &disk.path(), &["fallocate:error=EOPNOTSUPP"]);
        // More bytes than one write has, at offsets that aren't aligned.
        client.zero(4097, 3 * MIB, flags).unwrap();
        let _ = faults.detach();
        expected[4097..4097 + 3 * (1 << 20)].fill(0);
        assert!(disk.bytes() == expected, "{flags:?}");
    }
}

#[test]
fn fast_zeroes_are_refused_where_they_would_be_written() {
    let disk = full(MIB);
    let before = disk.bytes();
    let server = disk.serve();
    let mut client = connect(&server);
    let faults = Strace::inject(&server, &disk.path(), &["fallocate:error=EOPNOTSUPP"]);
    for flags in [NONE, CommandFlags::NO_HOLE, CommandFlags::FUA] {
        let zeroed = client.zero(4096, 65_536, CommandFlags::FAST_ZERO | flags);
        assert_refused(zeroed, Errno::Enotsup);
    }
    let _ = faults.detach();
    assert!(disk.bytes() == before);
}

#[test]
fn a_trim_is_a_hint() {
    let disk = full(MIB);
    let before = disk.bytes();
    let server = disk.serve();
    let mut client = connect(&server);
    let faults = Strace::inject(&server, &disk.path(), &["fallocate:error=EOPNOTSUPP"]);
    client.trim(4096, 65_536, NONE).unwrap();
    client.trim(4096, 65_536, CommandFlags::FUA).unwrap();
    let _ = faults.detach();
    assert!(disk.bytes() == before);
}

#[test]
fn a_disk_that_fills_up_during_zeroing_is_enospc() {
    let disk = full(32 * MIB);
    let before = disk.bytes();
    let server = disk.serve();
    let mut client = connect(&server);
    // strace counts the calls of each thread, and a lane has eight: with 18 pieces one of them writes twice.
    let faults = [
        "fallocate:error=EOPNOTSUPP",
        "pwrite64:error=ENOSPC:when=2+",
    ];
    let faults = Strace::inject(&server, &disk.path(), &faults);
    assert_refused(client.zero(MIB, 18 * MIB, NONE), Errno::Enospc);
    let _ = faults.detach();
    let (bytes, [start, end]) = (disk.bytes(), [1 << 20, 19 << 20]);
    assert!(bytes[..start] == before[..start]);
    assert!(bytes[end..] == before[end..]);
    server.assert_serves();
}

/// A disk with data in its first 64 KiB, and a hole behind.
fn sparse() -> Disk {
    let disk = Disk::holding(&[1; 65_536]);
    disk.resize(MIB);
    disk
}

/// The lengths and flags of the whole disk.
fn map(client: &mut Client) -> Result<Vec<(u64, StateFlags)>, Refused> {
    let found = client.status(0, MIB, NONE)?;
    Ok(found.iter().map(|part| (part.length, part.flags)).collect())
}

#[test]
fn an_unknown_map_is_data() {
    let disk = sparse();
    let server = disk.serve();
    let mut client = connect(&server);
    let hole = StateFlags::HOLE | StateFlags::ZERO;
    let expected = [(65_536, StateFlags::empty()), (MIB - 65_536, hole)];
    assert_eq!(map(&mut client).unwrap(), expected);
    let faults = Strace::inject(&server, &disk.path(), &["lseek:error=EIO"]);
    // The server remembers the map until something changes.
    client.write(0, &[1; 512], NONE).unwrap();
    assert_eq!(map(&mut client).unwrap(), [(MIB, StateFlags::empty())]);
    let _ = faults.detach();
    assert_told(&server, &disk, "Input/output error");
    assert_eq!(map(&mut client).unwrap(), expected);
}

#[test]
fn an_unknown_map_is_an_error_if_the_operator_wants_that() {
    let disk = sparse();
    let grant = format!("disk={}:rw", disk.path().display());
    let arguments = ["--blob", &grant, "--extents-on-error", "error"];
    let server = Server::plugin("file", &arguments);
    let mut client = connect(&server);
    let faults = Strace::inject(&server, &disk.path(), &["lseek:error=EIO"]);
    assert_refused(map(&mut client), Errno::Eio);
    assert!(client.read(0, 100).unwrap() == [1; 100]);
    let _ = faults.detach();
    assert_told(&server, &disk, "Input/output error");
    assert_eq!(map(&mut client).unwrap().len(), 2);
}

/// strace's log, one letter per call: `w` a finished write to the disk, `s` a finished fdatasync of the disk, `r` a
/// reply that has begun.
fn letters(log: &str) -> String {
    let letter = |line: &str| {
        // One call has two lines if another thread's call came in between.
        let done = !line.ends_with("<unfinished ...>");
        if line.contains("fdatasync") && done {
            assert!(line.ends_with("= 0"), "{line}");
            Some('s')
        } else if line.contains("pwrite") {
            // A call that would block is tried again on another thread.
            (done && !line.contains("= -1 ")).then_some('w')
        } else {
            line.contains("<socket:").then_some('r')
        }
    };
    let mut letters: Vec<char> = log.lines().filter_map(letter).collect();
    // One write may take two calls.
    letters.dedup_by(|next, last| (*next, *last) == ('w', 'w'));
    letters.into_iter().collect()
}

/// The calls that change a disk, make it durable, or send a reply.
const TELLING: &str = "pwrite64,pwritev2,fdatasync,write,writev,sendto,sendmsg";

/// Runs `action` while strace watches.
fn seen(server: &Server, action: impl FnOnce()) -> String {
    let strace = Strace::attach(server, TELLING);
    action();
    strace.detach()
}

/// Point 49 of the checklist: FUA and FLUSH are durable before their reply.
#[test]
fn durability_comes_before_the_reply() {
    for framing in FRAMINGS {
        let disk = full(MIB);
        let server = disk.serve();
        let mut client = Client::connect(&server.socket(), framing);
        let mut check = |what: &str, expected: &str, action: &dyn Fn(&mut Client)| {
            let log = seen(&server, || action(&mut client));
            assert_eq!(letters(&log), expected, "{what}, {framing:?}:\n{log}");
            let synced = format!("<{}>", disk.path().display());
            let mut syncs = log.lines().filter(|line| line.contains("fdatasync("));
            assert!(syncs.all(|line| line.contains(&synced)), "{log}");
        };
        let fua = CommandFlags::FUA;
        check("write", "wr", &|client| {
            client.write(10, &[1; 5000], NONE).unwrap();
        });
        check("write, FUA", "wsr", &|client| {
            client.write(10, &[1; 5000], fua).unwrap();
        });
        check("flush", "sr", &|client| client.flush().unwrap());
        check("zero", "r", &|client| client.zero(0, 9000, NONE).unwrap());
        check("zero, FUA", "sr", &|client| {
            client.zero(0, 9000, fua).unwrap();
        });
        check("trim", "r", &|client| client.trim(0, 9000, NONE).unwrap());
        check("trim, FUA", "sr", &|client| {
            client.trim(0, 9000, fua).unwrap();
        });
    }
}

/// The host moved the bytes, so it makes them durable: this plugin's own flush does nothing.
#[test]
fn a_flush_syncs_what_was_stored_by_reference_whatever_the_plugin_does() {
    let disk = full(MIB);
    let grant = format!("--blob=b={}:rw", disk.path().display());
    let plugin = nbdbox_tests::guest("bad").display().to_string();
    let settings = ["mode=parallel", "blob=b", "at=write", "do=store"];
    let words = [grant.as_str(), plugin.as_str()]
        .into_iter()
        .chain(settings);
    let server = Server::start(words);
    let mut client = connect(&server);
    let log = seen(&server, || {
        client.write(0, &[1; 512], NONE).unwrap();
        client.flush().unwrap();
        client.flush().unwrap();
    });
    assert_eq!(letters(&log), "wrsrr", "{log}");
}

/// The plugin stored the bytes by reference, so only the host knows whether there is anything to sync.
#[test]
fn a_flush_does_not_answer_while_another_one_syncs() {
    let disk = full(MIB);
    let grant = format!("--blob=b={}:rw", disk.path().display());
    let plugin = nbdbox_tests::guest("bad").display().to_string();
    let settings = ["mode=parallel", "blob=b", "at=write", "do=store"];
    let words = [grant.as_str(), plugin.as_str()]
        .into_iter()
        .chain(settings);
    let server = Server::start(words);
    let (mut one, mut two) = (connect(&server), connect(&server));
    one.write(0, &[1; 512], NONE).unwrap();
    let delay = ["fdatasync:delay_enter=500000"];
    let strace = Strace::attach_and_inject(&server, TELLING, &delay);
    thread::scope(|scope| {
        scope.spawn(|| one.flush().unwrap());
        // This flush should come while the first one syncs. On a slow machine it may come later, and then the test
        // shows nothing.
        thread::sleep(Duration::from_millis(100));
        two.flush().unwrap();
    });
    let log = strace.detach();
    let first = |what: &dyn Fn(&str) -> bool| log.lines().position(what);
    let synced = first(&|line| line.contains("fdatasync") && line.contains("= 0"));
    let answered = first(&|line| line.contains("<socket:"));
    assert!(synced.unwrap() < answered.unwrap(), "{log}");
}

#[test]
fn a_flush_syncs_what_other_connections_wrote() {
    let disk = full(MIB);
    let server = disk.serve();
    let mut clients = [connect(&server), connect(&server), connect(&server)];
    let log = seen(&server, || {
        let [one, two, flusher] = &mut clients;
        one.write(0, &[1; 5000], NONE).unwrap();
        two.write(500_000, &[2; 5000], NONE).unwrap();
        flusher.flush().unwrap();
    });
    assert_eq!(letters(&log), "wrwrsr", "{log}");
}

/// A server whose disk is a sparse file of 4 MiB in a tmpfs of 1 MiB. Only the server sees the tmpfs.
struct Cramped {
    child: Child,
    folder: TempDir,
}

impl Cramped {
    /// Returns the reason if the test may not mount.
    fn start() -> Result<Self, String> {
        let may = run(
            "unshare",
            [
                "-rm", "mount", "-t", "tmpfs", "-o", "size=1m", "none", "/tmp",
            ],
        );
        if may.code != 0 {
            return Err(may.stderr);
        }
        let folder = TempDir::with_prefix("nbdbox-test-").unwrap();
        fs::create_dir(folder.path().join("small")).unwrap();
        let script = r#"
            cd "$1"
            mount -t tmpfs -o size=1m none small
            truncate -s 4M small/disk
            exec "$2" serve -v -U socket -P pid "$3" --blob disk=small/disk:rw
        "#;
        let child = Command::new("unshare")
            .args(["-rm", "sh", "-ec", script, "sh"])
            .args([folder.path(), &nbdbox(), &plugin("file")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(folder.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let mut server = Self { child, folder };
        let start = Instant::now();
        while !server.file("pid").exists() {
            let ended = server.child.try_wait().unwrap();
            assert!(
                ended.is_none() && start.elapsed() < PATIENCE,
                "{}",
                server.log()
            );
            thread::sleep(Duration::from_millis(2));
        }
        Ok(server)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.file("log")).unwrap()
    }
}

impl Drop for Cramped {
    fn drop(&mut self) {
        nbdbox_tests::kill(&mut self.child);
    }
}

/// Other tests assert with strace that ENOSPC reaches the client. This test has a disk that is really full.
#[test]
fn a_disk_that_is_really_full() {
    let server = match Cramped::start() {
        Ok(server) => server,
        Err(why) => {
            return println!(
                "NOT TESTED with a really full disk, because this test may not mount: {why}"
            );
        }
    };
    let mut client = Client::connect(&server.file("socket"), Framing::Extended);
    let half = 1 << 19;
    client.write(0, &vec![1; half], CommandFlags::FUA).unwrap();
    let too_much = vec![2; 1 << 20];
    for flags in [NONE, CommandFlags::FUA] {
        let written = client.write(2 * MIB, &too_much, flags);
        assert_refused(written, Errno::Enospc);
    }
    assert!(server.log().contains("small/disk: No space left on device"));
    let zeroed = client.zero(MIB, 2 * MIB, CommandFlags::NO_HOLE);
    assert_refused(zeroed, Errno::Enospc);
    // The earlier bytes are still there, and can be written again. After the last byte that was written, there is
    // nothing.
    assert!(client.read(0, 1 << 19).unwrap() == vec![1; half]);
    client.write(4096, &[3; 4096], NONE).unwrap();
    assert!(client.read(4096, 4096).unwrap() == [3; 4096]);
    assert!(client.read(3 * MIB, 1 << 20).unwrap() == vec![0; 1 << 20]);
    // Space that was returned can be used again.
    client.trim(0, 4 * MIB, NONE).unwrap();
    client.write(3 * MIB, &vec![4; half], NONE).unwrap();
    assert!(client.read(3 * MIB, 1 << 19).unwrap() == vec![4; half]);
    client.flush().unwrap();
}
