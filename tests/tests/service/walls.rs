//! The second wall: a server without paths, and its keeper.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use nbdbox_tests::tenancy::{export, tenant, uri};
use nbdbox_tests::{Disk, Server, nbdbox, nbdsh, plugin, run, serving_pid, until};
use rustix::process::{Pid, Signal, kill_process};

const MIB: u64 = 1 << 20;

/// The attempts in SECURITY.md's table, with the result of each in the server and in the compiler.
fn documented() -> BTreeMap<String, [String; 2]> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../SECURITY.md");
    let security = fs::read_to_string(path).unwrap();
    let section = security.split("\n## The second wall\n").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| {
        let cells: Vec<&str> = line.strip_prefix("| ")?.split(" | ").collect();
        let [attempt, server, compiler, ..] = cells[..] else {
            return None;
        };
        let is_attempt = server.starts_with('E') || compiler.starts_with('E');
        let meets = [server, compiler.trim_end_matches(" |")].map(str::to_owned);
        is_attempt.then(|| (attempt.to_owned(), meets))
    });
    rows.collect()
}

/// The results of `nbdbox intrude`.
fn met(options: &[&str]) -> BTreeMap<String, String> {
    let mut program = Command::new(nbdbox());
    program.arg("intrude").args(options);
    let output = program.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}{words}");
    let lines = text.lines().map(|line| line.split_once(": ").unwrap());
    lines
        .map(|(attempt, outcome)| (attempt.to_owned(), outcome.to_owned()))
        .collect()
}

/// Whether the outcome is this error. The program prints the error's text.
fn is(errno: &str, outcome: &str) -> bool {
    let words = match errno {
        "EPERM" => "Operation not permitted",
        other => panic!("{other} isn't in the table"),
    };
    outcome.contains(words)
}

#[test]
fn each_attempt_of_an_intruder_fails_as_the_table_says() {
    let documented = documented();
    let server = met(&["--sandbox=require", "--requests", "10000"]);
    let compiler = met(&["--compiler"]);
    assert_eq!(
        documented.keys().collect::<Vec<_>>(),
        server.keys().collect::<Vec<_>>(),
        "left: SECURITY.md, right: nbdbox intrude"
    );
    for (attempt, [by_server, by_compiler]) in &documented {
        assert!(
            is(by_server, &server[attempt]),
            "{attempt}: {}",
            server[attempt]
        );
        match compiler.get(attempt) {
            Some(outcome) => assert!(is(by_compiler, outcome), "{attempt}: {outcome}"),
            None => assert_eq!(by_compiler, "–", "{attempt}"),
        }
    }
}

#[test]
fn a_server_has_the_walls_and_holds_what_was_handed_to_it() {
    let disk = Disk::empty(MIB);
    let server = serve(&disk, &[]);
    let serving = server.serving_pid();
    assert_ne!(serving, server.pid(), "there is a keeper");
    let status = fs::read_to_string(format!("/proc/{serving}/status")).unwrap();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().trim().to_owned()
    };
    assert_eq!(
        (field("NoNewPrivs:"), field("Seccomp:")),
        ("1".to_owned(), "2".to_owned())
    );
    let open = fs::read_dir(format!("/proc/{serving}/fd")).unwrap();
    for entry in open {
        let path = fs::read_link(entry.unwrap().path()).unwrap_or_default();
        let name = path.to_string_lossy();
        let known = [
            "socket:",
            "pipe:",
            "anon_inode:",
            "/memfd:",
            "/dev/null",
            "/proc/",
            "/sys/fs/cgroup",
        ];
        let is_known = known.iter().any(|known| name.starts_with(known));
        let is_own = path == disk.path() || path.starts_with(server.folder());
        assert!(is_known || is_own || name.is_empty(), "{name}");
    }
}

#[test]
fn a_descriptor_that_the_shell_left_open_does_not_reach_the_server() {
    let disk = Disk::empty(MIB);
    let secret = tempfile::NamedTempFile::new().unwrap();
    let mut program = Command::new("bash");
    program.args(["-c", "exec 9< \"$0\"; exec \"$@\""]);
    program.arg(secret.path()).arg(nbdbox());
    let grant = format!("disk={}:rw", disk.path().display());
    let file = plugin("file").display().to_string();
    let server = Server::started_by(program, &["--blob", &grant, &file]);
    let holds = |pid: u32| {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
        let mut paths = open.map(|entry| fs::read_link(entry.unwrap().path()).unwrap_or_default());
        paths.any(|path| path == secret.path())
    };
    assert!(holds(server.pid()), "the keeper has it from the shell");
    assert!(!holds(server.serving_pid()));
}

#[test]
fn without_a_sandbox_one_process_does_everything() {
    let disk = Disk::empty(MIB);
    let server = serve(&disk, &["--sandbox=off"]);
    assert_eq!(server.serving_pid(), server.pid());
    let told = run("nbdinfo", ["--size", &server.uri()]).ok();
    assert_eq!(told.trim(), MIB.to_string());
}

#[test]
fn a_killed_server_comes_back_and_has_lost_nothing_that_was_flushed() {
    let disk = Disk::empty(MIB);
    let server = serve(&disk, &[]);
    let uri = server.uri();
    for round in 1..=3u8 {
        let before = server.serving_pid();
        let script = format!("h.pwrite(bytes([{round}]) * 65536, {round} * 65536)\nh.flush()");
        let _ = nbdsh(&uri, &script).ok();
        kill(before, Signal::KILL);
        until("another server", || {
            let now = serving_pid(server.pid());
            now != before && now != server.pid()
        });
        let script = format!("print(h.pread(65536, {round} * 65536) == bytes([{round}]) * 65536)");
        assert_eq!(nbdsh(&uri, &script).ok().trim(), "True");
    }
    assert!(
        server.log().contains("the server was killed by signal 9"),
        "{}",
        server.log()
    );
}

#[test]
fn a_server_ends_in_order_when_its_keeper_is_killed() {
    let disk = Disk::empty(MIB);
    let server = serve(&disk, &[]);
    let serving = server.serving_pid();
    kill(server.pid(), Signal::KILL);
    until("the server has ended", || {
        !Path::new(&format!("/proc/{serving}")).exists()
    });
    assert!(server.log().contains("stopping"), "{}", server.log());
}

#[test]
fn what_a_reload_grants_can_be_had_and_what_it_takes_away_cannot() {
    let (one, two) = (Disk::empty(MIB), Disk::empty(2 * MIB));
    let config = |disk: &Disk| {
        let blobs = format!("blobs = {{ disk = \"{}:rw\" }}", disk.path().display());
        [tenant("alice", ""), export("alice", "disk", "file", &blobs)].concat()
    };
    let server = Server::hosting_with(&config(&one), &["--sandbox=require"]);
    let size = || {
        let told = run("nbdinfo", ["--size", &uri(&server, "alice", "disk")]);
        told.ok().trim().to_owned()
    };
    assert_eq!(size(), MIB.to_string());
    server.reload(&config(&two));
    assert_eq!(size(), (2 * MIB).to_string());
}

#[test]
fn a_reload_that_fails_takes_nothing_away() {
    let (one, two) = (Disk::empty(MIB), Disk::empty(2 * MIB));
    let config = |disk: &Disk, more: &str| {
        let blobs = format!("blobs = {{ disk = \"{}:rw\" }}", disk.path().display());
        [
            tenant("alice", ""),
            export("alice", "disk", "file", &blobs),
            more.to_owned(),
        ]
        .concat()
    };
    let server = Server::hosting(&config(&one, ""));
    // The words of the configuration are right, but the plugin doesn't exist. No client has opened the first disk yet.
    let wrong = "[[tenant.alice.export]]\nname = \"other\"\nplugin = \"/nowhere.wasm\"\n";
    server.reload(&config(&two, wrong));
    assert!(
        server.log().contains("the previous one stays in force"),
        "{}",
        server.log()
    );
    let told = run("nbdinfo", ["--size", &uri(&server, "alice", "disk")]);
    assert_eq!(told.ok().trim(), MIB.to_string());
}

#[test]
fn a_keeper_tidies_the_cache_that_a_killed_one_left() {
    let cache = tempfile::tempdir().unwrap();
    let folder = cache.path().join("nbdbox");
    let mut builder = fs::DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(&folder).unwrap();
    let left = folder.join(".compiling-left");
    fs::write(&left, "half").unwrap();
    let config = [
        tenant("alice", ""),
        export("alice", "disk", "sparse", "settings = { size = \"1M\" }"),
    ];
    let _server = Server::hosting_with_cache(&config.concat(), cache.path());
    until("the left file is gone", || !left.exists());
}

fn serve(disk: &Disk, options: &[&str]) -> Server {
    let grant = format!("disk={}:rw", disk.path().display());
    let file = plugin("file").display().to_string();
    let fixed = ["--blob", &grant, &file];
    Server::start(options.iter().copied().chain(fixed))
}

fn kill(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}
