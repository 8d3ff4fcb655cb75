//! The manual and the languages' pages show code that is built and served.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use nbdbox_tests::{Disk, Random, Server, guest, plugin, qemu_io, run};

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
fn the_pages_show_the_templates_of_new() {
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

/// The sources of the manual's blocks in Rust.
const BUILT: [&str; 4] = [
    "half/src/lib.rs",
    "half-filter/src/lib.rs",
    "striped/src/stripes.rs",
    "striped/src/written.rs",
];

/// The sources of which the manual shows excerpts, at the left margin.
const EXCERPTED: [&str; 4] = [
    "example-plugins/file/src/lib.rs",
    "example-plugins/pattern/src/lib.rs",
    "tests/guests/flip/src/lib.rs",
    "tests/guests/many/src/lib.rs",
];

/// A text without its indentation.
fn flat(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines.join("\n")
}

#[test]
fn the_manual_shows_pieces_of_what_is_built() {
    let manual = text("guest-sdk/MANUAL.md");
    for shown in blocks(&manual, "rust") {
        let built = BUILT.map(|path| text(&format!("tests/guests/{path}")));
        assert!(built.iter().any(|source| source == shown), "{shown}");
    }
    let built = EXCERPTED.map(|path| flat(&text(path)));
    let shown = blocks(&manual, "rust,ignore");
    assert!(shown.len() >= 9);
    for block in shown {
        let excerpt = flat(block);
        let found = built.iter().any(|source| source.contains(&excerpt));
        assert!(found, "{block}");
    }
    let built = text("example-plugins/partition/partition.c");
    let shown = blocks(&manual, "c");
    assert!(!shown.is_empty());
    for block in shown {
        assert!(built.contains(block), "{block}");
    }
    let wit = ["wit/device.wit", "wit/filter.wit"].map(text).concat();
    let shown = blocks(&manual, "wit");
    assert!(shown.len() >= 10);
    for block in shown {
        assert!(wit.contains(block.trim()), "{block}");
    }
}

/// The members of nbdkit's `struct nbdkit_plugin`, version 1.32, that a plugin can set.
const NBDKIT: &str = "\
    name longname version description load unload config config_complete config_help open close \
    get_size can_write can_flush is_rotational can_trim errno_is_preserved dump_plugin can_zero \
    can_fua pread pwrite flush trim zero magic_config_key can_multi_conn can_extents extents \
    can_cache cache thread_model can_fast_zero preconnect get_ready after_fork list_exports \
    default_export export_description cleanup block_size";

#[test]
fn every_callback_of_nbdkit_has_its_counterpart() {
    let manual = text("guest-sdk/MANUAL.md");
    let table = manual.split("| nbdkit | nbdbox |").nth(1).unwrap();
    let table = table.split("\n\n").next().unwrap();
    let rows = table.lines().filter_map(|row| row.strip_prefix("| "));
    let named: Vec<&str> = rows
        .flat_map(|row| row.split(" | ").next().unwrap().split('`'))
        .map(|word| word.trim_start_matches('.'))
        .collect();
    for callback in NBDKIT.split_whitespace() {
        assert!(named.contains(&callback), "{callback}");
    }
}

#[test]
fn the_manuals_filter_serves_half_of_the_layer_below() {
    let filter = guest("half-filter").display().to_string();
    let below = plugin("pattern").display().to_string();
    let server = Server::start(["--filter", &filter, &below, "size=2M"]);
    let copy = server.folder().join("copy");
    let _ = run("nbdcopy", [&server.uri(), copy.to_str().unwrap()]).ok();
    let words = (1_u64 << 20..2 << 20).step_by(8);
    let expected: Vec<u8> = words.flat_map(u64::to_be_bytes).collect();
    assert!(fs::read(copy).unwrap() == expected);
}

#[test]
fn the_manuals_callbacks_do_what_it_says() {
    let disk = Disk::empty(4 << 20);
    let grant = format!("disk={}:rw", disk.path().display());
    let server = Server::start(["--blob", &grant, guest("striped").to_str().unwrap()]);
    let commands = ["write -P 7 2101248 512", "read -P 7 2101248 512"];
    let _ = qemu_io("raw", &server.uri(), &commands);
    assert_eq!(disk.bytes()[2_101_248..][..512], [7; 512]);
    let map = run("nbdinfo", ["--map", &server.uri()]).ok();
    let extents: Vec<&str> = map.lines().map(|line| line.trim_start()).collect();
    let kinds = extents.iter().map(|line| line.ends_with("hole,zero"));
    assert_eq!(
        kinds.collect::<Vec<_>>(),
        [false, true, false, true],
        "{map}"
    );
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

#[test]
fn several_connections_are_offered_in_both_modes() {
    let manual = text("guest-sdk/MANUAL.md");
    assert!(manual.contains("In both modes the host advertises NBD's multi-conn"));
    assert!(manual.contains(
        "| `open` returns all of these except the last; the host advertises multi-conn in both modes |"
    ));
    for mode in ["single", "parallel"] {
        for options in [&[][..], &["--read-only"]] {
            let (bad, mode) = (guest("bad").display().to_string(), format!("mode={mode}"));
            let server = Server::start(options.iter().copied().chain([&bad[..], &mode]));
            let can = run("nbdinfo", ["--can", "multi-conn", &server.uri()]);
            assert_eq!(can.code, 0, "{mode} {options:?}");
        }
    }
}
