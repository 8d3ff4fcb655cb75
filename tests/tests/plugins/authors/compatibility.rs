//! The WIT as a product: the server serves a plugin of its first version for ever, and nothing stable changes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use nbdbox_tests::{Disk, Server, guest, nbdbox, qemu_io, run};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The stable items of a folder of WIT: the definition of each, without comments, by interface and name.
fn stable(folder: &Path) -> BTreeMap<String, String> {
    let mut items = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|end| end != "wit") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let lines = text.lines().map(str::trim);
        let lines: Vec<&str> = lines
            .filter(|line| !line.is_empty() && !line.starts_with("//"))
            .collect();
        // The names of the open blocks: an interface or world, and a resource in it.
        let (mut open, mut gate) = (Vec::new(), "");
        let mut at = 0;
        while at < lines.len() {
            let line = lines[at];
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                [word, ..] if word.starts_with('@') => gate = line,
                ["interface" | "world" | "resource", name, ..] => {
                    open.push((name.to_owned(), gate.starts_with("@since")));
                }
                ["}"] => drop(open.pop()),
                [kind @ ("enum" | "record" | "flags"), name, ..] => {
                    let end = (at..).find(|at| lines[*at].ends_with('}')).unwrap();
                    let body = lines[at..=end].join(" ");
                    keep(&mut items, &open, &format!("{kind} {name}"), &body);
                    at = end;
                }
                _ if line.contains(": func(") || line.contains(": static func(") => {
                    keep(&mut items, &open, line.split(':').next().unwrap(), line);
                }
                [word @ ("import" | "export" | "include"), name] => {
                    keep(&mut items, &open, &format!("{word} {name}"), line);
                }
                _ => {}
            }
            at += 1;
        }
    }
    items
}

fn keep(items: &mut BTreeMap<String, String>, open: &[(String, bool)], name: &str, what: &str) {
    if open.iter().all(|(_, stable)| *stable) {
        let place: Vec<&str> = open.iter().map(|(name, _)| &name[..]).collect();
        items.insert(format!("{} {name}", place.join(".")), what.to_owned());
    }
}

#[test]
fn nothing_that_was_stable_has_changed() {
    let first = stable(&root().join("tests/guests/frozen/wit"));
    let now = stable(&root().join("wit"));
    assert!(first.len() > 60, "{}", first.len());
    assert!(first.contains_key("requests.extents end-at"), "{first:?}");
    for (name, what) in first {
        assert_eq!(
            now.get(&name),
            Some(&what),
            "{name}: types are closed, functions stay"
        );
    }
}

#[test]
fn a_plugin_of_the_first_version_is_served() {
    let plugin = guest("frozen");
    let inspected = run(nbdbox(), ["inspect".as_ref(), plugin.as_os_str()]).ok();
    assert!(
        inspected.contains("TRIM WRITE_ZEROES FAST_ZERO BLOCK_STATUS"),
        "{inspected}"
    );

    let disk = Disk::holding(&[7; 8192]);
    let grant = format!("trial={}:rw", disk.path().display());
    let plugin = plugin.display().to_string();
    let server = Server::start(["--blob", &grant, "-e", "old", &plugin, "trial=8192"]);
    let commands = [
        "write -P 9 4096 8192",
        "read -P 9 4096 8192",
        "write -z 4096 4096",
        "read -P 0 4096 4096",
        "discard 8192 4096",
        "flush",
    ];
    let _ = qemu_io("raw", &server.uri(), &commands);
    assert_eq!(
        disk.bytes()[0],
        9,
        "the payload's first byte is stored by reference"
    );
    assert!(
        run("nbdinfo", ["--list", &server.uri()])
            .ok()
            .contains("export=\"old\"")
    );
}
