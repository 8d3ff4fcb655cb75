//! Listeners with a process of their own.

use std::collections::BTreeMap;
use std::fs;

use nbdbox_tests::admin::{self, ADMIN, curl, get, sample};
use nbdbox_tests::tenancy::{export, tenant, uri};
use nbdbox_tests::{Disk, Server, nbdbox, nbdsh, run, until};
use rustix::process::{Pid, Signal, kill_process};

const MIB: u64 = 1 << 20;

/// A tenant that clients reach by a listener called like it, with a process of its own, and a disk.
fn apart(name: &str, disk: &Disk) -> String {
    shared(name, disk).replace("[[listener]]\n", "[[listener]]\nprocess = \"own\"\n")
}

/// The same without a process of its own.
fn shared(name: &str, disk: &Disk) -> String {
    let blobs = format!("blobs = {{ disk = \"{}:rw\" }}", disk.path().display());
    [tenant(name, ""), export(name, "disk", "file", &blobs)].concat()
}

/// The processes of the keeper's servers, by what they serve.
fn processes(server: &Server) -> BTreeMap<String, u32> {
    let keeper = server.pid();
    let children = fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children")).unwrap();
    let serves = |pid: u32| {
        let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
        let part = command
            .split('\0')
            .find_map(|word| word.strip_prefix("--part="))?;
        Some((part.to_owned(), pid))
    };
    let children = children.split_whitespace();
    children
        .filter_map(|pid| serves(pid.parse().unwrap()))
        .collect()
}

/// Whether a process has a file open.
fn holds(pid: u32, disk: &Disk) -> bool {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let mut paths = open.map(|entry| fs::read_link(entry.unwrap().path()).unwrap_or_default());
    paths.any(|path| path == disk.path())
}

fn size(server: &Server, tenant: &str) -> String {
    let told = run("nbdinfo", ["--size", &uri(server, tenant, "disk")]);
    told.ok().trim().to_owned()
}

fn is_up(server: &Server, process: &str) -> Option<f64> {
    // While the admin listener moves to another process, nobody answers.
    let page = curl(&admin::socket(server), &["http://localhost/metrics"]).stdout;
    sample(&page, "nbdbox_process_up", &[("process", process)])
}

#[test]
fn each_has_only_the_files_of_its_own_tenants() {
    let [common, gold, silver] = [MIB, 2 * MIB, 3 * MIB].map(Disk::empty);
    let config = [
        ADMIN.to_owned(),
        shared("common", &common),
        apart("gold", &gold),
        apart("silver", &silver),
    ];
    let server = Server::hosting_with(&config.concat(), &["--sandbox=require"]);
    for (tenant, disk) in [("common", &common), ("gold", &gold), ("silver", &silver)] {
        let _ = nbdsh(&uri(&server, tenant, "disk"), "h.pwrite(b'x' * 512, 0)").ok();
        let length = fs::metadata(disk.path()).unwrap().len();
        assert_eq!(size(&server, tenant), length.to_string());
    }
    let processes = processes(&server);
    let names: Vec<&str> = processes.keys().map(|name| &name[..]).collect();
    assert_eq!(
        names,
        ["admin", "listener:gold", "listener:silver", "shared"]
    );
    // An export that nobody uses any more is kept for a while, and its files are.
    for (part, disk) in [
        ("shared", &common),
        ("listener:gold", &gold),
        ("listener:silver", &silver),
    ] {
        for (process, pid) in &processes {
            assert!(
                !holds(*pid, disk) || process == part,
                "{process} has {part}'s"
            );
        }
    }
    let exit = server.stop();
    assert_eq!(exit.code, Some(0), "{}", exit.log);
}

#[test]
fn metrics_exports_top_and_health_are_those_of_all_processes() {
    let [common, gold] = [MIB, 2 * MIB].map(Disk::empty);
    let config = [
        // A key of the whole stands before the first table.
        "memory = \"300MiB\"\n".to_owned(),
        ADMIN.to_owned(),
        shared("common", &common),
        apart("gold", &gold),
        tenant("other", ""),
    ];
    let server = Server::hosting(&config.concat());
    let _ = (size(&server, "common"), size(&server, "gold"));
    let metrics = get(&server, "/metrics");
    for (tenant, process) in [("common", "shared"), ("gold", "gold")] {
        let labels = [("process", process), ("tenant", tenant)];
        let made = sample(&metrics, "nbdbox_connections_made_total", &labels);
        assert_eq!(made, Some(1.0), "{metrics}");
    }
    let limit = |process| {
        let name = "nbdbox_metered_limit_bytes";
        sample(&metrics, name, &[("process", process)])
    };
    let portion = |thirds: u64| Some((thirds * 100 * MIB) as f64);
    assert_eq!((limit("shared"), limit("gold")), (portion(2), portion(1)));
    assert_eq!(metrics.matches("# EOF").count(), 1);
    assert_eq!(metrics.matches("# TYPE nbdbox_sockets ").count(), 1);

    let exports = get(&server, "/exports");
    assert!(
        exports.contains("\"common\"") && exports.contains("\"gold\""),
        "{exports}"
    );
    let socket = admin::socket(&server);
    let top = run(
        nbdbox(),
        ["top", "--json", "--by", "tenant", socket.to_str().unwrap()],
    )
    .ok();
    assert!(top.contains("common") && top.contains("gold"), "{top}");
    assert_eq!(get(&server, "/healthz"), "ok\n");
}

#[test]
fn one_that_dies_is_started_again_and_the_others_do_not_notice() {
    let [common, gold] = [MIB, 2 * MIB].map(Disk::empty);
    let config = [
        ADMIN.to_owned(),
        shared("common", &common),
        apart("gold", &gold),
    ];
    let server = Server::hosting(&config.concat());
    let before = processes(&server);
    // A client of the other process stays connected meanwhile.
    let script = format!(
        "import os, time\n\
         h.pwrite(b'a' * 512, 0)\n\
         os.kill({}, 9)\n\
         time.sleep(0.3)\n\
         print(h.pread(512, 0) == b'a' * 512)",
        before["listener:gold"]
    );
    let told = nbdsh(&uri(&server, "common", "disk"), &script).ok();
    assert_eq!(told.trim(), "True");
    until("gold is served again", || {
        let now = processes(&server).get("listener:gold").copied();
        now.is_some_and(|now| now != before["listener:gold"])
    });
    assert_eq!(size(&server, "gold"), (2 * MIB).to_string());
    until("gold is healthy", || is_up(&server, "gold") == Some(1.0));
    let now = processes(&server);
    for same in ["shared", "admin"] {
        assert_eq!(now[same], before[same], "{same}");
    }
    let log = server.log();
    assert!(
        log.contains("the server of listener gold was killed by signal 9"),
        "{log}"
    );
}

#[test]
fn one_that_hangs_is_seen_as_down_and_holds_up_nobody() {
    let [common, gold] = [MIB, 2 * MIB].map(Disk::empty);
    let config = [
        ADMIN.to_owned(),
        shared("common", &common),
        apart("gold", &gold),
    ];
    let server = Server::hosting(&config.concat());
    let hung = processes(&server)["listener:gold"];
    signal(hung, Signal::STOP);
    assert_eq!(is_up(&server, "gold"), Some(0.0));
    assert_eq!(is_up(&server, "shared"), Some(1.0));
    let health = curl(&admin::socket(&server), &["http://localhost/healthz"]).ok();
    assert_eq!(health, "the process of gold doesn't answer\n");
    assert_eq!(size(&server, "common"), MIB.to_string());
    signal(hung, Signal::CONT);
    until("gold is healthy", || is_up(&server, "gold") == Some(1.0));
}

#[test]
fn a_reload_starts_ends_and_merges_processes() {
    let [common, gold] = [MIB, 2 * MIB].map(Disk::empty);
    let alone = [ADMIN.to_owned(), shared("common", &common)].concat();
    let server = Server::hosting(&alone);
    let names = || processes(&server).into_keys().collect::<Vec<_>>();
    assert_eq!(names(), ["shared"]);
    let first = processes(&server)["shared"];

    server.reload(&[alone.clone(), apart("gold", &gold)].concat());
    until("gold is served", || is_up(&server, "gold") == Some(1.0));
    assert_eq!(names(), ["admin", "listener:gold", "shared"]);
    assert_eq!(size(&server, "gold"), (2 * MIB).to_string());

    // Its listener moves into the common process.
    let moved = [alone.clone(), shared("gold", &gold)].concat();
    server.reload(&moved);
    until("one process is left", || names() == ["shared"]);
    until("gold is served by it", || {
        let socket = server.folder().join("gold");
        socket.exists() && run("nbdinfo", ["--size", &uri(&server, "gold", "disk")]).code == 0
    });

    server.reload(&alone);
    until("gold's socket is gone", || {
        !server.folder().join("gold").exists()
    });
    assert_eq!(size(&server, "common"), MIB.to_string());
    assert_eq!(
        processes(&server)["shared"],
        first,
        "it was one process all along"
    );
    assert_eq!(get(&server, "/healthz"), "ok\n");
}

#[test]
fn a_tenant_of_two_processes_is_refused_and_so_is_a_process_without_a_sandbox() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nbdbox.toml");
    let disk = Disk::empty(MIB);
    let check = |config: &str, options: &[&str]| {
        fs::write(
            &path,
            config.replace("FOLDER", folder.path().to_str().unwrap()),
        )
        .unwrap();
        let path = path.to_str().unwrap();
        run(nbdbox(), ["serve", "--config", path].iter().chain(options))
    };
    let both = apart("gold", &disk).replace("{ listener = \"gold\" }", "{ uid = 0 }");
    let other = tenant("other", "");
    let refused = |config: &str, options: &[&str], words: &str| {
        let run = check(config, options);
        assert_ne!(run.code, 0);
        assert!(run.stderr.contains(words), "{}", run.stderr);
    };
    refused(&[both, other].concat(), &[], "one process serves a tenant");

    let alone = apart("gold", &disk);
    refused(&alone, &["--sandbox=off"], "the sandbox is off");
    let off = format!("sandbox = \"off\"\n{alone}");
    refused(&off, &[], "remove one of the two keys");
}

fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}
