//! The figures match what the clients and the plugins did.

use std::process::{Command, Stdio};

use nbdbox_tests::{Server, guest, nbdsh, plugin, run};

use super::scene::{ADMIN, curl, get, hosting, sample, tenant, uri, value};

#[test]
fn what_a_client_did_is_what_is_counted() {
    let server = hosting();
    let reads: Vec<String> = (0..10)
        .flat_map(|index| ["-c".to_owned(), format!("read {} 4096", index * 8192)])
        .collect();
    let alice = uri(&server, "alice", "disk");
    let image = ["-r", "-f", "raw"].map(str::to_owned);
    let arguments = image.iter().chain(&reads).chain([&alice]);
    let _ = run("qemu-io", arguments).ok();
    let script = "
for i in range(3):
    h.pwrite(bytearray([7]) * 1000, i * 1000)
h.flush()
try:
    h.pread(512, 2 << 20)
    sys.exit('past the end')
except nbd.Error:
    pass
";
    let _ = nbdsh(&uri(&server, "bob", "ram"), script).ok();

    let text = get(&server, "/metrics");
    let of = |tenant, name, labels: &[(&str, &str)]| {
        let all: Vec<_> = [("tenant", tenant)].iter().chain(labels).copied().collect();
        sample(&text, name, &all)
    };
    let count = |tenant, operation, outcome| {
        let labels = [("operation", operation), ("outcome", outcome)];
        of(tenant, "nbdbox_operations_total", &labels)
    };
    assert_eq!(count("alice", "read", "ok"), Some(10.0), "{text}");
    assert_eq!(of("alice", "nbdbox_read_bytes_total", &[]), Some(40960.0));
    assert_eq!(count("alice", "write", "ok"), None);
    let reads = [("operation", "read")];
    let durations = "nbdbox_operation_seconds_count";
    assert_eq!(of("alice", durations, &reads), Some(10.0));
    assert_eq!(count("bob", "write", "ok"), Some(3.0));
    assert_eq!(count("bob", "flush", "ok"), Some(1.0));
    assert_eq!(count("bob", "refused", "client"), Some(1.0));
    assert_eq!(of("bob", "nbdbox_written_bytes_total", &[]), Some(3000.0));
    for tenant in ["alice", "bob"] {
        assert_eq!(of(tenant, "nbdbox_export_open", &[]), Some(1.0));
        assert_eq!(of(tenant, "nbdbox_connections_made_total", &[]), Some(1.0));
        assert!(of(tenant, "nbdbox_guest_cpu_seconds_total", &[]).unwrap() > 0.0);
        assert!(of(tenant, "nbdbox_memory_peak_bytes", &[]).unwrap() >= 65536.0);
        assert_eq!(of(tenant, "nbdbox_failed_opens_total", &[]), Some(0.0));
    }
    assert_eq!(
        of("alice", "nbdbox_export_size_bytes", &[]),
        Some(1_048_576.0)
    );
    assert_eq!(
        of("bob", "nbdbox_export_size_bytes", &[]),
        Some(2_097_152.0)
    );
    assert_eq!(of("carol", "nbdbox_export_open", &[]), Some(0.0));
    let carol = text.lines().filter(|line| line.contains("quiet")).count();
    assert_eq!(
        carol, 1,
        "nothing else about an export that no client requested"
    );
}

#[test]
fn how_connections_end_is_counted() {
    let server = hosting();
    let alice = uri(&server, "alice", "disk");
    // The first client disconnects; the next one only ends.
    let _ = run("qemu-io", ["-r", "-f", "raw", "-c", "read 0 512", &alice]).ok();
    let _ = nbdsh(&alice, "import os\nos._exit(0)").ok();
    for end in ["disconnected", "hung-up"] {
        while value(
            &get(&server, "/metrics"),
            "nbdbox_connection_ends_total",
            &[("end", end)],
        ) < 1.0
        {
            // Until the server has seen that the client has gone.
        }
    }
    assert_eq!(value(&get(&server, "/metrics"), "nbdbox_sockets", &[]), 0.0);
}

#[test]
fn a_scrape_while_an_attack_runs_names_whose_fault_it_is() {
    let server = hosting();
    let script = "import nbd, sys
h = nbd.NBD()
h.connect_uri(sys.argv[1])
for i in range(1000000):
    try:
        h.pread(512, 0)
    except nbd.Error:
        pass
";
    let mut attack = Command::new("/usr/bin/python3")
        .args(["-c", script, &uri(&server, "mallory", "loop")])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let stopped = [("tenant", "mallory"), ("cause", "cpu-time")];
    let text = loop {
        let text = get(&server, "/metrics");
        let stopped = sample(&text, "nbdbox_plugin_faults_total", &stopped);
        if stopped.unwrap_or(0.0) >= 2.0 {
            break text;
        }
    };
    let script = "h.pread(4096, 0)";
    let _ = nbdsh(&uri(&server, "alice", "disk"), script).ok();
    assert!(
        attack.try_wait().unwrap().is_none(),
        "the attack is still running"
    );
    let cpu = [("tenant", "mallory")];
    let cpu = sample(&text, "nbdbox_guest_cpu_seconds_total", &cpu).unwrap();
    assert!(cpu >= 0.1, "two loops of 100 ms took {cpu} s");
    let now = get(&server, "/metrics");
    attack.kill().unwrap();
    attack.wait().unwrap();
    let alices = |line: &&str| line.starts_with("nbdbox_plugin_faults") && line.contains("alice");
    for line in now.lines().filter(alices) {
        assert!(line.ends_with(" 0"), "{line}");
    }
    let plugins = [("tenant", "mallory"), ("outcome", "plugin")];
    assert!(sample(&now, "nbdbox_operations_total", &plugins).unwrap() >= 2.0);
}

#[test]
fn waits_and_refusals_are_counted() {
    let limits = "[tenant.alice.limits]\nrequests = 1\nconnections = 1\n";
    let alice = tenant("alice", "disk", &plugin("pattern"), "size = \"1M\"");
    let server = Server::hosting(&format!("{alice}{limits}{ADMIN}"));
    let alice = uri(&server, "alice", "disk");
    let copy = "--connections=1 --requests=64 --request-size=4096";
    let copy = copy.split(' ').chain([&alice[..], "null:"]);
    let _ = run("nbdcopy", copy).ok();
    let script = "
second = nbd.NBD()
try:
    second.connect_uri(uri)
    sys.exit('there was a place')
except nbd.Error:
    pass
";
    while nbdsh(&alice, "").code != 0 {
        // nbdcopy's place is free when the server has seen that it has gone.
    }
    let refused = value(&get(&server, "/metrics"), REFUSALS, &[]);
    while nbdsh(&alice, script).code != 0 {
        // So is that of the last client.
    }
    let text = get(&server, "/metrics");
    assert!(value(&text, REFUSALS, &[]) > refused);
    let waits = sample(&text, "nbdbox_admission_wait_seconds_count", &[]);
    assert!(waits.unwrap() > 0.0, "{text}");
}

const REFUSALS: &str = "nbdbox_connections_refused_total";

#[test]
fn exports_that_a_plugin_lists_are_counted_together() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin");
    let many = guest("many");
    let server = Server::start(["--admin", path.to_str().unwrap(), many.to_str().unwrap()]);
    for name in ["small", "pages"] {
        let _ = nbdsh(&server.uri_of(name), "h.pread(4096, 0)").ok();
    }
    let text = curl(&path, &["--fail", "http://localhost/metrics"]).ok();
    let reads = [("operation", "read"), ("outcome", "ok"), ("export", "")];
    let reads = sample(&text, "nbdbox_operations_total", &reads);
    assert_eq!(reads, Some(2.0), "{text}");
    assert!(!text.contains("small") && !text.contains("pages"), "{text}");
}

#[test]
fn another_program_can_read_it() {
    let server = hosting();
    let _ = nbdsh(&uri(&server, "alice", "disk"), "h.pread(4096, 0)").ok();
    let text = server.folder().join("metrics");
    std::fs::write(&text, get(&server, "/metrics")).unwrap();
    let script = "import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
names = [family.name for family in text_string_to_metric_families(open(sys.argv[1]).read())]
assert len(names) == len(set(names)), names
print(len(names))
";
    let read = run("/usr/bin/python3", ["-c", script, text.to_str().unwrap()]);
    assert!(read.ok().trim().parse::<usize>().unwrap() > 30);
}
