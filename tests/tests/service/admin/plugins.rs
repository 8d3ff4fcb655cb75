//! The work and the use of plugins change exactly the figures that are for them.

use std::fs;

use nbdbox_tests::{Server, guest, nbdsh, plugin, run};

use super::scene::{ADMIN, export, get, mallorys, sample, scraped, tenant, value};

/// An export of the plugin that misbehaves. Any call may go to a fresh instance.
fn bad(name: &str, at: &str, deed: &str, more: &str) -> String {
    let settings = format!("at = \"{at}\", do = \"{deed}\", mode = \"parallel\"");
    export(name, &guest("bad"), &settings, more)
}

/// A call that may fail.
fn attempt(what: &str) -> String {
    format!("try:\n    {what}\nexcept nbd.Error:\n    pass\n")
}

const READ: &str = "h.pread(512, 0)";
const WRITE: &str = "h.pwrite(bytearray(512), 0)";
const ASK: &str = "h.block_status(200, 0, lambda *_: 0)";

/// All causes, each with an export that has only this fault, and the call that provokes it.
fn causes() -> [(&'static str, String, &'static str); 8] {
    let slow = "limits = { cpu = \"1min\", wall = \"200ms\" }";
    let quick = "limits = { cpu = \"50ms\" }";
    let small = "limits = { memory = \"8MiB\" }";
    [
        ("trap", bad("trap", "read", "trap", ""), READ),
        ("cpu-time", bad("cpu-time", "read", "loop", quick), READ),
        ("wall-time", bad("wall-time", "read", "wait", slow), READ),
        ("memory", bad("memory", "read", "grow", small), READ),
        ("budget", bad("budget", "report", "same", ""), ASK),
        ("abi", bad("abi", "read", "forged-handle", ""), READ),
        ("reply", bad("reply", "read", "short", ""), READ),
        ("range", bad("range", "write", "past-payload", ""), WRITE),
    ]
}

#[test]
fn each_cause_is_counted_where_it_happened_and_nowhere_else() {
    let causes = causes();
    let exports = causes.clone().map(|(_, export, _)| export);
    let server = mallorys("", &exports);
    for (name, _, call) in &causes {
        let _ = nbdsh(&server.uri_of(name), &attempt(call)).ok();
    }
    let text = get(&server, "/metrics");
    for (name, _, _) in &causes {
        for (cause, _, _) in &causes {
            let labels = [("export", *name), ("cause", *cause)];
            let expected = f64::from(u8::from(name == cause));
            let count = value(&text, "nbdbox_plugin_faults_total", &labels);
            assert_eq!(count, expected, "{name} {cause}");
        }
    }
    let fallbacks = |export| {
        let labels = [("export", export)];
        value(&text, "nbdbox_extents_fallbacks_total", &labels)
    };
    assert_eq!((fallbacks("budget"), fallbacks("trap")), (1.0, 0.0));
    let refused = [("export", "memory"), ("budget", "memory")];
    assert!(value(&text, "nbdbox_budget_refusals_total", &refused) > 0.0);
    let memory = [("export", "memory")];
    let peak = value(&text, "nbdbox_memory_peak_bytes", &memory);
    // The memory's limit, and the stacks of its calls.
    assert!(peak > 4e6 && peak <= 9.0 * 1_048_576.0, "{peak}");
}

#[test]
fn a_lost_export_and_one_that_changes_its_mind_are_counted() {
    let lost = "at = \"read\", do = \"trap\"";
    let (deed, mark) = (
        "changes-size\", blob = \"b",
        "blobs = { b = \"FOLDER/mark:rw\" }",
    );
    let changed = bad("changed", "describe", deed, mark);
    let server = mallorys(
        "",
        &[
            export("lost", &guest("bad"), lost, ""),
            changed,
            bad("refuses", "open", "einval", ""),
            bad("traps", "open", "trap", ""),
        ],
    );
    let twice = attempt(READ) + &attempt(READ);
    let _ = nbdsh(&server.uri_of("lost"), &twice).ok();
    let faults = |export, cause| {
        let labels = [("export", export), ("cause", cause)];
        sample(
            &get(&server, "/metrics"),
            "nbdbox_plugin_faults_total",
            &labels,
        )
    };
    assert_eq!(
        (faults("lost", "trap"), faults("lost", "lost")),
        (Some(1.0), Some(1.0))
    );
    // The first instance goes when nobody is connected any more, and each later one describes another disk. libnbd
    // requests the export twice in its handshake and lets it go in between, so its first read meets a second instance.
    std::fs::write(server.folder().join("mark"), [0; 4096]).unwrap();
    for _ in 0..2 {
        let _ = nbdsh(&server.uri_of("changed"), &attempt(READ)).ok();
    }
    assert_eq!(faults("changed", "changed"), Some(2.0));
    for (export, traps) in [("refuses", 0.0), ("traps", 1.0)] {
        assert_ne!(nbdsh(&server.uri_of(export), "").code, 0);
        assert_eq!(faults(export, "trap"), Some(traps), "{export}");
        let text = get(&server, "/metrics");
        let failed = value(&text, "nbdbox_failed_opens_total", &[("export", export)]);
        assert_eq!(failed, 1.0, "{export}");
    }
}

#[test]
fn each_operation_and_outcome_is_counted() {
    let answers = bad("answers", "read", "einval", "");
    let disk = "blobs = { disk = \"FOLDER/disk:rw\" }";
    let shrinks = export("shrinks", &plugin("file"), "", disk);
    let server = mallorys("", &[bad("all", "", "", ""), answers, shrinks]);
    let script = "
h.pread(512, 0)
h.pwrite(bytearray(512), 0)
h.flush()
h.trim(512, 0)
h.zero(512, 0)
h.cache(512, 0)
h.block_status(512, 0, lambda *_: 0)
";
    let _ = nbdsh(&server.uri_of("all"), script).ok();
    let _ = nbdsh(&server.uri_of("answers"), &attempt(READ)).ok();
    let image = server.folder().join("disk");
    fs::write(&image, [1; 8192]).unwrap();
    let script = format!("import os\nos.truncate('{}', 0)\n", image.display()) + &attempt(READ);
    let _ = nbdsh(&server.uri_of("shrinks"), &script).ok();
    let text = get(&server, "/metrics");
    let count = |export, operation, outcome| {
        let labels = [
            ("export", export),
            ("operation", operation),
            ("outcome", outcome),
        ];
        sample(&text, "nbdbox_operations_total", &labels)
    };
    for operation in [
        "read",
        "write",
        "flush",
        "trim",
        "zero",
        "cache",
        "block-status",
    ] {
        assert_eq!(count("all", operation, "ok"), Some(1.0), "{operation}");
        let labels = [("export", "all"), ("operation", operation)];
        let took = value(&text, "nbdbox_operation_seconds_count", &labels);
        assert_eq!(took, 1.0, "{operation}");
        let labels = [&labels[..], &[("le", "+Inf")]].concat();
        let took = value(&text, "nbdbox_operation_seconds_bucket", &labels);
        assert_eq!(took, 1.0, "{operation}");
    }
    assert_eq!(count("answers", "read", "answered"), Some(1.0), "{text}");
    assert_eq!(count("shrinks", "read", "host"), Some(1.0), "{text}");
}

#[test]
fn extents_that_are_added_clipped_and_dropped_are_counted() {
    let few = "limits = { extents = 16 }";
    let exports = [
        bad("adds", "report", "alternating", ""),
        bad("clips", "report", "hole", ""),
        bad("drops", "report", "alternating", few),
    ];
    let server = mallorys("", &exports);
    for export in ["adds", "clips", "drops"] {
        let _ = nbdsh(&server.uri_of(export), ASK).ok();
    }
    let text = get(&server, "/metrics");
    let count = |export, what| {
        let name = format!("nbdbox_extents_{what}_total");
        value(&text, &name, &[("export", export)])
    };
    assert_eq!(
        count("adds", "added"),
        101.0,
        "every second byte, and the whole"
    );
    assert_eq!(
        (count("adds", "clipped"), count("adds", "dropped")),
        (0.0, 0.0)
    );
    assert_eq!(
        (count("clips", "added"), count("clips", "clipped")),
        (1.0, 1.0)
    );
    assert!(count("drops", "dropped") > 0.0, "{text}");
}

#[test]
fn instances_and_the_waits_for_them_are_counted() {
    let size = "size = \"1M\"";
    let slow = "at = \"read\", do = \"counting\"";
    let exports = [
        export("one", &guest("bad"), slow, ""),
        export("two", &plugin("pattern"), size, ""),
    ];
    let server = mallorys("instances = 1", &exports);
    let second = attempt(&format!(
        "nbd.NBD().connect_uri('{}')",
        server.uri_of("two")
    ));
    // Four reads at once for a single instance, each of which takes longer than a turn.
    let script = "
buffers = [nbd.Buffer(512) for index in range(4)]
for buffer in buffers:
    h.aio_pread(buffer, 0)
while h.aio_in_flight() > 0:
    h.poll(-1)
";
    let text = scraped(
        &server,
        &server.uri_of("one"),
        &(script.to_owned() + &second),
    );
    let one = [("export", "one")];
    for name in ["instances", "instances_peak", "instances_made_total"] {
        assert_eq!(value(&text, &format!("nbdbox_{name}"), &one), 1.0, "{name}");
    }
    assert!(
        value(&text, "nbdbox_instance_wait_seconds_count", &one) > 0.0,
        "{text}"
    );
    assert!(
        value(&text, "nbdbox_instance_wait_seconds_sum", &one) > 0.0,
        "{text}"
    );
    assert!(value(&text, "nbdbox_memory_bytes", &one) > 0.0);
    let refused = [("export", "two"), ("budget", "instances")];
    assert!(
        value(&text, "nbdbox_budget_refusals_total", &refused) > 0.0,
        "{text}"
    );
    let mallory = [("tenant", "mallory")];
    assert_eq!(value(&text, "nbdbox_tenant_instances", &mallory), 1.0);
    assert!(value(&text, "nbdbox_tenant_memory_bytes", &mallory) > 0.0);
}

#[test]
fn remembered_mappings_are_counted_until_nobody_is_connected() {
    let image = "blobs = { image = \"FOLDER/image\" }";
    let server = mallorys("", &[export("disk", &plugin("qcow2"), "", image)]);
    let path = server.folder().join("image");
    let path = path.to_str().unwrap();
    let _ = run("qemu-img", ["create", "-q", "-f", "qcow2", path, "8M"]).ok();
    let write = ["-f", "qcow2", "-c", "write -P 5 1M 1M", path];
    let _ = run("qemu-io", write).ok();
    let script = "
for round in range(3):
    assert h.pread(4096, 1 << 20) == bytes([5]) * 4096
    h.block_status(4 << 20, 0, lambda *_: 0)
";
    let text = scraped(&server, &server.uri_of("disk"), script);
    assert_eq!(
        value(&text, "nbdbox_recalled_reads_total", &[]),
        3.0,
        "{text}"
    );
    assert_eq!(value(&text, "nbdbox_located_total", &[]), 1.0, "{text}");
    assert_eq!(
        value(&text, "nbdbox_recalled_extents_total", &[]),
        2.0,
        "{text}"
    );
    let remembered = value(&text, "nbdbox_remembered_bytes", &[]);
    let tenant = value(&text, "nbdbox_tenant_memory_bytes", &[]);
    let guests = value(&text, "nbdbox_memory_bytes", &[]);
    assert!(remembered > 0.0, "{text}");
    let kept = value(&text, "nbdbox_kept_bytes", &[]);
    assert!(kept > 0.0, "{text}");
    assert_eq!(
        tenant,
        guests + remembered + kept,
        "the tenant pays for all of it"
    );
    assert_eq!(value(&text, "nbdbox_metered_bytes", &[]), tenant, "{text}");
    let mapped = value(&text, "nbdbox_metered_mappings", &[]);
    assert!(mapped > 0.0, "{text}");
    assert_eq!(value(&text, "nbdbox_tenant_mappings", &[]), mapped);
    let process = |name| value(&text, name, &[]);
    assert!(process("nbdbox_mappings") >= mapped, "{text}");
    assert!(process("nbdbox_mappings_max") > process("nbdbox_metered_limit_mappings"));
    assert!(process("nbdbox_resident_bytes") > 1e6, "{text}");
    assert!(process("nbdbox_metered_limit_bytes") > tenant, "{text}");
    while value(&get(&server, "/metrics"), "nbdbox_remembered_bytes", &[]) > 0.0 {
        // Until the server has seen that the client has gone.
    }
}

#[test]
fn lines_that_are_too_many_are_counted() {
    let server = mallorys("", &[bad("floods", "read", "log", "")]);
    let text = scraped(&server, &server.uri_of("floods"), &attempt(READ));
    assert!(
        value(&text, "nbdbox_log_lines_dropped_total", &[]) > 0.0,
        "{text}"
    );
}

#[test]
fn compilations_hits_and_failures_are_counted_by_digest() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.wasm");
    fs::write(&broken, b"\0asm\x0d\0\x01\0nothing").unwrap();
    let config = [
        tenant("alice", "disk", &plugin("pattern"), "size = \"1M\""),
        tenant("bob", "broken", &broken, ""),
        ADMIN.to_owned(),
    ];
    let looked = || {
        let cache = folder.path().join("cache");
        let server = Server::hosting_with_cache(&config.concat(), &cache);
        let [alice, bob] = [("alice", "disk"), ("bob", "broken")]
            .map(|(tenant, export)| super::scene::uri(&server, tenant, export));
        let _ = nbdsh(&alice, "").ok();
        assert_ne!(nbdsh(&bob, "").code, 0);
        let text = get(&server, "/metrics");
        ["disk", "broken"].map(|export| {
            let line = |line: &&str| line.contains(&format!("export=\"{export}\""));
            let (_, rest) = text
                .lines()
                .find(line)
                .unwrap()
                .split_once("digest=\"")
                .unwrap();
            let digest = [("digest", &rest[..64])];
            let names = [
                "compilations",
                "compile_seconds",
                "compile_cache_hits",
                "compile_failures",
            ];
            names.map(|name| value(&text, &format!("nbdbox_{name}_total"), &digest))
        })
    };
    let [[compiled, took, hits, failures], broken] = looked();
    assert_eq!((compiled, hits, failures), (1.0, 0.0, 0.0));
    assert!(took > 0.0);
    assert_eq!(broken, [0.0, 0.0, 0.0, 1.0]);
    // Another process finds the result in the cache.
    let [again, broken] = looked();
    assert_eq!(again, [0.0, 0.0, 1.0, 0.0]);
    assert_eq!(broken, [0.0, 0.0, 0.0, 1.0]);
}
