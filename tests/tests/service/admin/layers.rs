//! Each layer of a stack is another author's code, so the server counts for each layer.

use nbdbox_tests::{Server, guest, nbdbox, plugin, run};
use serde_json::Value;

use super::scene::{export, get, mallorys, sample, scraped, socket, value};

/// A filter that shifts offsets by 4 KiB, over a plugin that traps at a read of 8 KiB.
fn stack() -> Server {
    let filter = format!(
        "filters = [{{ plugin = \"{}\", settings = {{ offset = \"4K\" }} }}]\nread-only = true",
        plugin("offset").display()
    );
    let settings = "at = \"read\", do = \"trap\", offset = 8192, mode = \"parallel\"";
    mallorys("", &[export("disk", &guest("bad"), settings, &filter)])
}

/// A read that succeeds, a request for extents, and a read at which the plugin below traps.
const SCRIPT: &str = "
h.pread(512, 0)
h.block_status(1 << 16, 0, lambda *_: 0)
try:
    h.pread(512, 4096)
    sys.exit('it was read')
except nbd.Error:
    pass
";

#[test]
fn a_stacks_layers_are_counted_each() {
    let server = stack();
    let text = scraped(&server, &server.uri_of("disk"), SCRIPT);
    let layers = ["0:bad", "1:offset"];
    let of = |layer, name: &str, more: &[(&str, &str)]| {
        let labels = [&[("export", "disk"), ("layer", layer)], more].concat();
        sample(&text, &format!("nbdbox_{name}"), &labels)
    };
    for layer in layers {
        for name in [
            "guest_calls_total",
            "host_calls_total",
            "guest_cpu_seconds_total",
            "memory_peak_bytes",
            "instances_made_total",
            "instances_peak",
            "extents_added_total",
        ] {
            assert!(
                of(layer, name, &[]).unwrap() > 0.0,
                "{layer} {name}: {text}"
            );
        }
    }
    // The fault is the plugin's, not the filter's.
    let trap = [("cause", "trap")];
    let traps = layers.map(|layer| of(layer, "plugin_faults_total", &trap));
    assert_eq!(traps, [Some(1.0), Some(0.0)], "{text}");
    let reads = |layer, outcome| {
        let labels = [("operation", "read"), ("outcome", outcome)];
        of(layer, "layer_operations_total", &labels)
    };
    assert_eq!(reads("0:bad", "ok"), Some(1.0));
    assert_eq!(reads("0:bad", "plugin"), Some(1.0));
    assert_eq!(reads("1:offset", "below"), Some(1.0));
    // The client's error is counted once.
    let below = [("operation", "read"), ("outcome", "below")];
    let name = "nbdbox_operations_total";
    assert_eq!(sample(&text, name, &below), Some(1.0), "{text}");
    assert_eq!(value(&text, "nbdbox_read_bytes_total", &[]), 512.0);
    // Each layer has its own digest.
    let digests = layers.map(|layer| {
        let line = |line: &&str| line.contains(&format!("layer=\"{layer}\""));
        let line = text.lines().find(line).unwrap();
        let (_, digest) = line.split_once("digest=\"").unwrap();
        digest[..64].to_owned()
    });
    assert_ne!(digests[0], digests[1]);
    let open = [("digest", &digests[0][..])];
    assert_eq!(sample(&text, "nbdbox_export_open", &open), Some(1.0));
}

/// Built-in filters over memory. Reads fail, the host writes zeroes out, and no request for extents reaches the plugin.
fn natives() -> Server {
    let filters = "filters = [{ plugin = \"noextents\" }, \
                   { plugin = \"error\", settings = { error-pread-rate = \"100%\" } }, \
                   { plugin = \"nozero\", settings = { zeromode = \"emulate\" } }]";
    let settings = "size = \"1M\"";
    mallorys("", &[export("disk", &plugin("memory"), settings, filters)])
}

const NATIVE_LAYERS: [&str; 4] = ["3:noextents", "2:error", "1:nozero", "0:memory"];

const NATIVE_SCRIPT: &str = "
try:
    h.pread(512, 0)
    sys.exit('it was read')
except nbd.Error:
    pass
h.pwrite(b'x' * 512, 0)
h.zero(4096, 4096)
h.block_status(4096, 0, lambda *_: 0)
";

#[test]
fn filters_of_the_hosts_own_count_what_comes_to_them() {
    let server = natives();
    let text = scraped(&server, &server.uri_of("disk"), NATIVE_SCRIPT);
    for (operation, outcomes) in [
        ("read", ["below 1", "answered 1", "", ""]),
        ("write", ["ok 1", "ok 1", "ok 1", "ok 2"]),
        ("zero", ["ok 1", "ok 1", "ok 1", ""]),
        ("block-status", ["ok 1", "", "", ""]),
    ] {
        let counted = NATIVE_LAYERS.map(|layer| {
            let outcomes = ["ok", "answered", "below", "plugin", "host", "client"];
            let counted = outcomes.iter().filter_map(|outcome| {
                let labels = [
                    ("layer", layer),
                    ("operation", operation),
                    ("outcome", outcome),
                ];
                let count = sample(&text, "nbdbox_layer_operations_total", &labels)?;
                Some(format!("{outcome} {count}"))
            });
            counted.collect::<Vec<_>>().join(", ")
        });
        assert_eq!(counted, outcomes, "{operation}: {text}");
    }
    for layer in &NATIVE_LAYERS[..3] {
        // A built-in filter has no file.
        let own = [("layer", *layer), ("digest", "")];
        for name in ["guest_calls_total", "instances_made_total", "memory_bytes"] {
            assert_eq!(value(&text, &format!("nbdbox_{name}"), &own), 0.0, "{name}");
        }
    }
    // The client's error is counted once.
    let reads = [("operation", "read"), ("outcome", "below")];
    assert_eq!(value(&text, "nbdbox_operations_total", &reads), 1.0);
}

#[test]
fn filters_of_the_hosts_own_are_in_the_json_and_in_top() {
    let server = natives();
    let _ = scraped(&server, &server.uri_of("disk"), NATIVE_SCRIPT);
    let report: Value = serde_json::from_str(&get(&server, "/exports")).unwrap();
    let layers = report["exports"][0]["layers"].as_array().unwrap();
    let told: Vec<(&str, &str, u64)> = layers
        .iter()
        .map(|layer| {
            let text = |key: &str| layer[key].as_str().unwrap();
            (
                text("layer"),
                text("digest"),
                layer["requests"].as_u64().unwrap(),
            )
        })
        .collect();
    let digest = report["exports"][0]["digest"].as_str().unwrap();
    let requests = [("", 4), ("", 3), ("", 2), (digest, 2)];
    let expected = NATIVE_LAYERS.iter().zip(requests);
    let expected = expected.map(|(layer, (digest, requests))| (*layer, digest, requests));
    assert_eq!(told, expected.collect::<Vec<_>>(), "{report}");
    let socket = socket(&server);
    let top = ["top", "--json", "--by", "layer", "--sort", "name"];
    let rows = run(nbdbox(), top.into_iter().chain([socket.to_str().unwrap()])).ok();
    for layer in NATIVE_LAYERS {
        assert!(rows.contains(layer), "{layer}: {rows}");
    }
}

#[test]
fn the_json_and_top_have_the_layers_too() {
    let server = stack();
    let _ = scraped(&server, &server.uri_of("disk"), SCRIPT);
    let report: Value = serde_json::from_str(&get(&server, "/exports")).unwrap();
    let export = &report["exports"][0];
    assert_eq!(export["plugin"], "bad");
    let [filter, bad] = [0, 1].map(|index| &export["layers"][index]);
    assert_eq!(
        (&filter["layer"], &bad["layer"]),
        (&"1:offset".into(), &"0:bad".into())
    );
    assert_eq!(bad["digest"], export["digest"]);
    assert_eq!(
        (&bad["requests"], &filter["requests"]),
        (&3.into(), &3.into())
    );
    assert_eq!(
        (&bad["faults"]["trap"], &filter["faults"]["trap"]),
        (&1.into(), &Value::Null)
    );
    for layer in [filter, bad] {
        for key in ["guest_calls", "guest_ns", "memory_peak", "extents_added"] {
            assert!(layer[key].as_u64().unwrap() > 0, "{key}: {layer}");
        }
    }
    let socket = socket(&server);
    let top = ["top", "--once", "--by", "layer", "--sort", "name"];
    let table = run(nbdbox(), top.into_iter().chain([socket.to_str().unwrap()])).ok();
    let rows: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    // The last line is about the process.
    assert_eq!(rows.len(), 4, "{table}");
    assert_eq!((rows[1][1], rows[2][1]), ("disk/0:bad", "disk/1:offset"));
    assert_eq!((rows[1].last(), rows[2].last()), (Some(&"1"), Some(&"0")));
}
