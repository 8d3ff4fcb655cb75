//! The owner of CPU time: a guest, the host on behalf of a client, or a lane; and the kernel's figure of all.

use nbdbox_tests::{Disk, plugin};
use serde_json::Value;

use super::scene::{export, get, mallorys, scraped, value};

const MIB: usize = 1 << 20;

#[test]
fn what_computes_is_counted_by_owner() {
    let disk = Disk::holding(&vec![1; MIB]);
    let blobs = format!("blobs = {{ disk = \"{}:rw\" }}", disk.path().display());
    let server = mallorys("", &[export("disk", &plugin("file"), "", &blobs)]);
    let script = "
for i in range(20):
    h.pwrite(b'x' * 4096, 4096 * i, nbd.CMD_FLAG_FUA)
    h.pread(4096, 0)
";
    let text = scraped(&server, &server.uri_of("disk"), script);
    let of = |name: &str| value(&text, &format!("nbdbox_{name}"), &[]);
    let (guest, lane) = (of("guest_cpu_seconds_total"), of("lane_cpu_seconds_total"));
    let (served, process) = (of("served_cpu_seconds_total"), of("cpu_seconds_total"));
    assert!(guest > 0.0 && lane > 0.0 && served > 0.0, "{text}");
    // The lane made the instance and opened its files, before the layer's count began.
    assert!(of("tenant_lane_cpu_seconds_total") >= lane, "{text}");
    assert!(process > lane, "{text}");
    assert!(of("host_lane_cpu_seconds_total") > 0.0, "{text}");
    // A lane rests for ten seconds before it ends.
    assert!((1.0..=8.0).contains(&of("tenant_lane_threads")), "{text}");
    assert!(of("host_lane_threads") >= 1.0, "{text}");
    assert!(of("threads") > of("tenant_lane_threads") + of("host_lane_threads"));
    assert!(of("descriptors") > 3.0 && of("descriptors") < of("descriptors_max"));
}

#[test]
fn the_same_is_in_the_exports_as_json() {
    let disk = Disk::holding(&vec![1; MIB]);
    let blobs = format!("blobs = {{ disk = \"{}:rw\" }}", disk.path().display());
    let server = mallorys("", &[export("disk", &plugin("file"), "", &blobs)]);
    let script = "h.pwrite(b'x' * 4096, 0, nbd.CMD_FLAG_FUA)";
    let _ = scraped(&server, &server.uri_of("disk"), script);
    let report: Value = serde_json::from_str(&get(&server, "/exports")).unwrap();
    let number = |pointer: &str| report.pointer(pointer).and_then(Value::as_u64);
    for pointer in [
        "/exports/0/served_ns",
        "/exports/0/layers/0/lane_ns",
        "/exports/0/layers/0/guest_ns",
        "/tenants/0/lane_ns",
        "/tenants/0/lane_threads",
        "/process/cpu_ns",
        "/process/host_lane_ns",
        "/process/resident",
        "/process/mappings",
        "/process/descriptors",
        "/process/threads",
        "/process/host_lane_threads",
    ] {
        assert!(number(pointer).unwrap() > 0, "{pointer}: {report}");
    }
    assert_eq!(number("/tenants/0/lane_waiting"), Some(0));
}
