//! `host/NBDKIT.md` lists what the installed nbdkit has, and nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use nbdbox_tests::run;

/// Plugins that Debian has in packages of their own, so that they may not be installed.
const OF_THEIR_OWN_PACKAGES: &[&str] = &[
    "guestfs", "libvirt", "lua", "perl", "python", "ruby", "tcl", "vddk",
];

/// The names in the first column of the table under a heading. Each row must say what nbdbox has instead.
fn rows(heading: &str) -> BTreeSet<String> {
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/NBDKIT.md");
    let text = fs::read_to_string(manual).unwrap();
    let (_, section) = text.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let name = |row: &str| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let known = ["same", "other", "native", "missing", "refused"];
        assert!(known.contains(&cells[1]), "{row}");
        let says_why = cells[1] != "refused" || !cells[2].is_empty();
        assert!(says_why, "why is it refused? {row}");
        cells[0].trim_end_matches('`').to_owned()
    };
    let names: Vec<String> = rows.map(name).collect();
    let set: BTreeSet<String> = names.iter().cloned().collect();
    assert_eq!(set.len(), names.len(), "{heading}: a row twice");
    set
}

/// A folder from nbdkit's own configuration.
fn folder(key: &str) -> String {
    let config = run("nbdkit", ["--dump-config"]).ok();
    let line = config.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|line| line.strip_prefix('='))
        .unwrap()
        .to_owned()
}

/// The names of the modules in a folder, as in `nbdkit-NAME-plugin.so`.
fn installed(key: &str, kind: &str) -> BTreeSet<String> {
    let end = format!("-{kind}.so");
    let files = fs::read_dir(folder(key)).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let names = names.filter_map(|name| {
        let name = name.strip_prefix("nbdkit-")?.strip_suffix(&end)?;
        Some(name.to_owned())
    });
    names.collect()
}

#[test]
fn its_plugins_and_filters_are_in_the_table() {
    let mut plugins = installed("plugindir", "plugin");
    for name in OF_THEIR_OWN_PACKAGES {
        plugins.remove(*name);
    }
    assert_eq!(rows("Plugins"), plugins);
    assert_eq!(rows("Filters"), installed("filterdir", "filter"));
}

#[test]
fn its_options_are_in_the_table() {
    let options = run("nbdkit", ["--long-options"]).ok();
    let options: BTreeSet<String> = options.split_whitespace().map(str::to_owned).collect();
    assert_eq!(rows("Options"), options);
}

/// nbdbox takes the options that it has in common with nbdkit.
#[test]
fn options_that_are_the_same_are_taken() {
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/NBDKIT.md");
    let text = fs::read_to_string(manual).unwrap();
    let help = run(nbdbox_tests::nbdbox(), ["serve", "--help"]).ok();
    let same = text.lines().filter_map(|line| {
        let (name, rest) = line.strip_prefix("| `--")?.split_once('`')?;
        rest.starts_with(" | same |").then_some(name)
    });
    let mut count = 0;
    for name in same.filter(|name| *name != "version") {
        assert!(
            help.contains(&format!("--{name}")) || help.contains(name),
            "{name}"
        );
        count += 1;
    }
    assert!(count > 10);
}
