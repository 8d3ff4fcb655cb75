//! What the manual and the languages' pages show is what is built and served.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use nbdbox_tests::{Random, Server, guest, run};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// The fenced blocks of one language.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    let blocks = text.split(&fence[..]).skip(1);
    blocks
        .map(|rest| rest.split("```").next().unwrap())
        .collect()
}

#[test]
fn the_pages_show_what_new_begins_with() {
    for (page, language, template) in [
        ("c", "c", "c/disk.c"),
        ("zig", "zig", "zig/disk.zig"),
        ("python", "python", "python/disk.py"),
        ("js", "ts", "ts/disk.ts"),
    ] {
        let page = text(&format!("guest-sdk/{page}/README.md"));
        let template = text(&format!("guest-sdk/templates/{template}"));
        let [shown] = blocks(&page, language)[..] else {
            panic!("one whole plugin in {language}")
        };
        assert_eq!(shown, template.replace("{{name}}", "mydisk"), "{language}");
    }
}

/// Blocks in Rust are compiled as doc tests of guest-sdk.
#[test]
fn the_manual_shows_pieces_of_what_is_built() {
    let manual = text("guest-sdk/MANUAL.md");
    let half = text("tests/guests/half/src/lib.rs");
    assert!(blocks(&manual, "rust").contains(&&half[..]));
    let built = text("example-plugins/partition/partition.c");
    let shown = blocks(&manual, "c");
    assert!(!shown.is_empty());
    for block in shown {
        assert!(built.contains(block), "{block}");
    }
    let wit = text("wit/device.wit");
    let shown = blocks(&manual, "wit");
    assert!(shown.len() >= 10);
    for block in shown {
        assert!(wit.contains(block.trim()), "{block}");
    }
}

#[test]
fn the_manuals_example_serves_half_of_a_blob() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("whole");
    let bytes = Random::seeded(8).bytes(1 << 20);
    let file = File::create(&path).unwrap();
    file.set_len(6 << 20).unwrap();
    file.write_all_at(&bytes, 3 << 20).unwrap();
    let grant = format!("disk={}:map-only", path.display());
    let server = Server::start(["--blob", &grant, guest("half").to_str().unwrap()]);
    let copy = server.folder().join("copy");
    let _ = run("nbdcopy", [&server.uri(), copy.to_str().unwrap()]).ok();
    assert!(fs::read(copy).unwrap() == [bytes, vec![0; 2 << 20]].concat());
    let map = run("nbdinfo", ["--map", &server.uri()]).ok();
    assert!(map.contains("hole,zero"), "{map}");
}
