//! Each layer of a stack is somebody's code: what it does is counted as its own.

use nbdbox_tests::{Server, guest, nbdbox, plugin, run};
use serde_json::Value;

use super::scene::{export, get, mallorys, sample, scraped, socket, value};

/// A filter that shifts all by 4 KiB, over a plugin that traps when 8 KiB is read.
fn stack() -> Server {
    let filter = format!(
        "filters = [{{ plugin = \"{}\", settings = {{ offset = \"4K\" }} }}]\nread-only = true",
        plugin("offset").display()
    );
    let settings = "at = \"read\", do = \"trap\", offset = 8192, mode = \"parallel\"";
    mallorys("", &[export("disk", &guest("bad"), settings, &filter)])
}

/// A read that goes well, extents, and a read at which the plugin below traps.
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
    // Whose fault it was: the plugin's, not the filter's.
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
    // What the client met is counted once.
    let below = [("operation", "read"), ("outcome", "below")];
    let name = "nbdbox_operations_total";
    assert_eq!(sample(&text, name, &below), Some(1.0), "{text}");
    assert_eq!(value(&text, "nbdbox_read_bytes_total", &[]), 512.0);
    // The digest is the layer's own.
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
