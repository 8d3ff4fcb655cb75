//! The plugin that README and the SDK's documentation show is one that these tests build and serve.

use std::fs;
use std::path::Path;

use nbdbox_tests::{Server, guest, nbdbox, run};

fn text(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap()
}

#[test]
fn the_documents_show_its_source() {
    let source = text("tests/guests/counter/src/lib.rs");
    let readme = text("README.md");
    let shown = readme.split("```rust\n// src/lib.rs\n").nth(1).unwrap();
    assert_eq!(shown.split("```").next().unwrap(), source);
    let sdk = text("guest-sdk/src/lib.rs");
    let example = sdk
        .split("//! ```\n")
        .nth(1)
        .unwrap()
        .split("//! # fn main")
        .next()
        .unwrap();
    let lines = example.lines().map(|line| line.trim_start_matches("//!"));
    let shown: Vec<&str> = lines
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .collect();
    assert_eq!(shown, source.lines().collect::<Vec<_>>());
}

#[test]
fn it_is_inspected_and_served() {
    let plugin = guest("counter");
    let inspected = run(nbdbox(), ["inspect".as_ref(), plugin.as_os_str()]).ok();
    assert!(inspected.contains("counter 1.0.0: every byte is its offset modulo 251"));
    assert!(inspected.contains("size=SIZE"), "{inspected}");
    let server = Server::start([plugin.as_os_str(), "size=1000".as_ref()]);
    let copy = server.folder().join("copy");
    let copied = run(
        "nbdcopy",
        [&server.uri(), &copy.to_string_lossy().into_owned()],
    );
    let _ = copied.ok();
    let expected: Vec<u8> = (0..1000u32)
        .map(|at| u8::try_from(at % 251).unwrap())
        .collect();
    assert_eq!(fs::read(copy).unwrap(), expected);
}
