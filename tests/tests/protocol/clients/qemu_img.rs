//! `qemu-img`: conversions in both directions, comparisons, and a qcow2 image inside an export.

use std::fs;

use nbdbox_tests::{Run, Server, run};

use super::oracle::{Disk, pattern, random_file};

fn qemu_img<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Run {
    run("qemu-img", arguments)
}

/// A megabyte with data at both ends and in the middle, and zeroes elsewhere.
fn patchy() -> Vec<u8> {
    let mut bytes = vec![0; 1 << 20];
    for at in [0, 500 << 10, 1020 << 10] {
        bytes[at..at + 4096].fill(0xab);
    }
    bytes
}

#[test]
fn info_shows_size_and_format() {
    let server = Server::plugin("pattern", &["size=3M"]);
    let text = qemu_img(["info", "-f", "raw", "--output=json", &server.uri()]).ok();
    assert!(text.contains("\"virtual-size\": 3145728"), "{text}");
    assert!(text.contains("\"format\": \"nbd\""), "{text}");
}

#[test]
fn an_export_is_converted_to_an_image_and_compares_equal() {
    let server = Server::plugin("pattern", &["size=3M"]);
    let image = server.folder().join("image.qcow2");
    let image = image.to_str().unwrap();
    let _ = qemu_img(["convert", "-f", "raw", "-O", "qcow2", &server.uri(), image]).ok();
    let _ = qemu_img(["check", "-f", "qcow2", image]).ok();
    let compare = ["compare", "-f", "raw", "-F", "qcow2", &server.uri(), image];
    assert!(qemu_img(compare).ok().contains("Images are identical."));
}

#[test]
fn an_export_is_converted_to_a_local_file() {
    let server = Server::plugin("pattern", &["size=3M"]);
    let target = server.folder().join("copy");
    let to = target.to_str().unwrap();
    let options = ["convert", "-m", "16", "-W", "-f", "raw", "-O", "raw"];
    let _ = qemu_img(options.iter().chain(&[server.uri().as_str(), to])).ok();
    assert!(fs::read(&target).unwrap() == pattern(3 << 20));
}

#[test]
fn a_local_file_is_converted_to_memory() {
    let server = Server::plugin("memory", &["size=3M"]);
    let (source, _) = random_file(&server, "source", 3 << 20);
    let source = source.to_str().unwrap();
    let _ = qemu_img([
        "convert",
        "-n",
        "-f",
        "raw",
        "-O",
        "raw",
        source,
        &server.uri(),
    ])
    .ok();
    let compare = ["compare", "-f", "raw", "-F", "raw", source, &server.uri()];
    assert!(qemu_img(compare).ok().contains("Images are identical."));
}

#[test]
fn a_local_file_is_converted_to_the_file_behind_an_export() {
    let disk = Disk::new(&[0xff; 1 << 20]);
    let server = disk.serve("rw");
    let source = server.folder().join("source");
    fs::write(&source, patchy()).unwrap();
    let options = ["convert", "-n", "-f", "raw", "-O", "raw"];
    let _ = qemu_img(
        options
            .iter()
            .chain(&[source.to_str().unwrap(), server.uri().as_str()]),
    )
    .ok();
    assert!(disk.bytes() == patchy());
}

#[test]
fn a_comparison_notices_one_byte() {
    let mut bytes = patchy();
    let disk = Disk::new(&bytes);
    let server = disk.serve("ro");
    bytes[500 << 10] = 1;
    let other = server.folder().join("other");
    fs::write(&other, bytes).unwrap();
    let run = qemu_img([
        "compare",
        "-f",
        "raw",
        "-F",
        "raw",
        &server.uri(),
        other.to_str().unwrap(),
    ]);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(
        run.stdout.contains("Content mismatch at offset 512000!"),
        "{run:?}"
    );
}

#[test]
fn the_map_distinguishes_data_holes_zeroes_and_undefined() {
    let server = Server::plugin("sparse", &["size=10M", "runlength=1M"]);
    let text = qemu_img(["map", "-f", "raw", "--output=json", &server.uri()]).ok();
    let kinds = [
        r#""present": true, "zero": false, "data": true"#,
        r#""present": true, "zero": true, "data": false"#,
        r#""present": true, "zero": true, "data": true"#,
        r#""present": false, "zero": false, "data": false"#,
    ];
    for kind in kinds {
        assert!(text.contains(kind), "{kind} isn't in\n{text}");
    }
    let length = |line: &str| -> u64 {
        let rest = line.split_once("\"length\": ").unwrap().1;
        rest.split_once(',').unwrap().0.parse().unwrap()
    };
    assert_eq!(text.lines().map(length).sum::<u64>(), 10 << 20);
}

#[test]
fn an_image_can_be_kept_in_an_export() {
    let server = Server::plugin("memory", &["size=4M"]);
    let uri = server.uri();
    let _ = qemu_img(["create", "-f", "qcow2", &uri, "64M"]).ok();
    let write = [
        "-f",
        "qcow2",
        "-c",
        "write -P 0xab 40M 100k",
        "-c",
        "write -z 40M 4k",
    ];
    let _ = run("qemu-io", write.iter().chain(&[uri.as_str()])).ok();
    let text = qemu_img(["check", "-f", "qcow2", &uri]).ok();
    assert!(
        text.contains("No errors were found on the image."),
        "{text}"
    );
    let read = [
        "-r",
        "-f",
        "qcow2",
        "-c",
        "read -P 0xab 41947136 98304",
        "-c",
        "read -P 0 40M 4k",
    ];
    let text = run("qemu-io", read.iter().chain(&[uri.as_str()])).ok();
    assert!(!text.contains("Pattern verification failed"), "{text}");
}

#[test]
fn qemus_benchmark_of_writes_at_depth_succeeds() {
    let server = Server::plugin("memory", &["size=4M"]);
    let options = [
        "bench", "-f", "raw", "-w", "-c", "500", "-d", "32", "-s", "8k",
    ];
    let options = options
        .iter()
        .chain(&["-S", "8k", "--flush-interval", "50", "--pattern", "171"]);
    let _ = qemu_img(options.chain(&[server.uri().as_str()])).ok();
    let read = ["-r", "-f", "raw", "-c", "read -P 171 0 4000k"];
    let text = run("qemu-io", read.iter().chain(&[server.uri().as_str()])).ok();
    assert!(!text.contains("Pattern verification failed"), "{text}");
}
