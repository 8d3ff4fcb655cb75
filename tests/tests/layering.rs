//! The layers are crates, so the compiler enforces their order. This test enforces the rest: which crate may use which
//! external crate, and that ARCHITECTURE.md shows the layers as they are.
//!
//! `NBDBOX_UPDATE_ARCHITECTURE=1` writes the table anew.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Crates without I/O, with all external crates that each may use.
const PURE: &[(&str, &[&str])] = &[
    ("extent-map", &["thiserror"]),
    ("nbd-proto", &["bitflags", "thiserror"]),
    (
        "nbdbox-config",
        &[
            "ipnet",
            "postcard",
            "schemars",
            "serde",
            "serde_json",
            "thiserror",
            "toml",
        ],
    ),
    ("quota", &[]),
    ("fair-cores", &[]),
    (
        "device",
        &[
            "bitflags",
            "bytes",
            "futures-util",
            "thiserror",
            // For deadlines: a clock, and the news that the client hung up.
            "tokio",
            "tracing",
        ],
    ),
];

/// External crates that only one layer may use.
const ONLY_IN: &[(&str, &str)] = &[
    ("wasmtime", "runtime"),
    ("wasmtime-wasi", "runtime"),
    ("wit-component", "runtime"),
    ("cap-std", "outside"),
    ("landlock", "sandbox"),
    ("seccompiler", "sandbox"),
    ("clap", "nbdbox"),
    ("hyper", "nbdbox"),
    ("tokio-vsock", "nbd-server"),
];

/// The two sides of a device: neither may use the other, directly or not.
const WIRE: &str = "nbd-server";
const WASM: &str = "runtime";

const BEGIN: &str = "<!-- layers: made by tests/tests/layering.rs -->\n";
const END: &str = "<!-- end of layers -->\n";

#[test]
fn pure_crates_bring_in_nothing_with_io() {
    let layers = Layers::read();
    for (name, allowed) in PURE {
        for outside in &layers.of(name).outside {
            assert!(
                allowed.contains(&&outside[..]),
                "{name} depends on {outside}"
            );
        }
    }
}

#[test]
fn one_layer_sees_wasmtime_and_one_sees_the_files() {
    let layers = Layers::read();
    for (dependency, only) in ONLY_IN {
        for (name, layer) in &layers.0 {
            let sees = layer.outside.contains(*dependency);
            assert!(!sees || name == only, "{name} depends on {dependency}");
        }
        assert!(
            layers.of(only).outside.contains(*dependency),
            "{only} no longer needs {dependency}"
        );
    }
}

#[test]
fn the_wire_and_the_plugins_do_not_know_each_other() {
    let layers = Layers::read();
    assert!(!layers.reach(WIRE).contains(WASM));
    assert!(!layers.reach(WIRE).contains("blob"));
    assert!(!layers.reach(WASM).contains(WIRE));
}

#[test]
fn the_architecture_shows_the_layers_as_they_are() {
    let file = root().join("ARCHITECTURE.md");
    let text = fs::read_to_string(&file).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (shown, after) = rest.split_once(END).unwrap();
    let table = Layers::read().table();
    if shown != table && std::env::var_os("NBDBOX_UPDATE_ARCHITECTURE").is_some() {
        fs::write(&file, [before, BEGIN, &table, END, after].concat()).unwrap();
        return;
    }
    assert_eq!(
        shown, table,
        "NBDBOX_UPDATE_ARCHITECTURE=1 writes the table anew"
    );
}

/// One crate of the server.
struct Layer {
    description: String,
    /// The crates of this workspace that it uses.
    uses: BTreeSet<String>,
    /// The external crates that it uses.
    outside: BTreeSet<String>,
}

/// The crates below `host`, by name.
struct Layers(BTreeMap<String, Layer>);

impl Layers {
    /// The crates as Cargo's metadata has them.
    fn read() -> Self {
        let metadata = Command::new(env!("CARGO"))
            .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
            .current_dir(root())
            .output()
            .unwrap();
        let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
        let host = root().join("host");
        let packages = metadata["packages"].as_array().unwrap().iter();
        let packages = packages.filter(|package| {
            let manifest = Path::new(package["manifest_path"].as_str().unwrap());
            manifest.starts_with(&host)
        });
        let layers = packages.map(|package| {
            let name = package["name"].as_str().unwrap().to_owned();
            (name, Layer::of(package))
        });
        Self(layers.collect())
    }

    fn of(&self, name: &str) -> &Layer {
        let layer = self.0.get(name);
        layer.unwrap_or_else(|| panic!("there is no crate {name}"))
    }

    /// All crates of this workspace that a crate uses, directly or not.
    fn reach(&self, name: &str) -> BTreeSet<String> {
        let uses = self.of(name).uses.iter();
        uses.flat_map(|used| self.reach(used).into_iter().chain([used.clone()]))
            .collect()
    }

    /// The floor that a crate stands on: 0 uses none, and each other is one above the highest that it uses.
    fn floor(&self, name: &str) -> usize {
        let uses = self.of(name).uses.iter();
        uses.map(|used| self.floor(used) + 1).max().unwrap_or(0)
    }

    /// A row for each crate, the highest floor first.
    fn table(&self) -> String {
        let mut rows: Vec<_> = self.0.iter().collect();
        rows.sort_by_key(|(name, _)| (usize::MAX - self.floor(name), *name));
        let mut text = "| floor | crate | what it has | uses |\n|---|---|---|---|\n".to_owned();
        for (name, layer) in rows {
            let uses: Vec<_> = layer.uses.iter().map(String::as_str).collect();
            let uses = if uses.is_empty() {
                "–".to_owned()
            } else {
                uses.join(", ")
            };
            let (floor, description) = (self.floor(name), &layer.description);
            text += &format!("| {floor} | `{name}` | {description} | {uses} |\n");
        }
        text
    }
}

impl Layer {
    fn of(package: &Value) -> Self {
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        // Only dependencies of tests and build scripts have a kind.
        let dependencies = dependencies.filter(|dependency| dependency["kind"].is_null());
        let (uses, outside): (Vec<_>, Vec<_>) =
            dependencies.partition(|dependency| !dependency["path"].is_null());
        let names = |of: Vec<&Value>| -> BTreeSet<String> {
            let name = |one: &Value| one["name"].as_str().unwrap().to_owned();
            of.into_iter().map(name).collect()
        };
        Self {
            description: package["description"].as_str().unwrap().to_owned(),
            uses: names(uses),
            outside: names(outside),
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .unwrap()
}

/// A walk must not name a file that has moved.
#[test]
fn the_walks_name_files_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    let section = text.split("\n## Three walks\n").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let words = section.split('`').skip(1).step_by(2);
    let files: Vec<&str> = words.filter(|word| word.ends_with(".rs")).collect();
    assert!(files.len() > 20, "{files:?}");
    for file in files {
        assert!(root.join("host/crates").join(file).is_file(), "{file}");
    }
}
