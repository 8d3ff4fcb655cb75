//! The tree keeps its layers: every module uses only what stands below it.
//!
//! The orders below are the design's (ARCHITECTURE.md); a module that isn't in its order, or a `use`
//! that goes up or across, fails. So there are no cycles either.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Modules of `host/src`, from the bottom to the top.
const HOST: &[&str] = &[
    // 1: words, pure
    "fault",
    "identity",
    "metrics",
    "origin",
    "peaks",
    // 2: the contract between data path and plugin, pure
    "quota",
    "reply",
    "mapping",
    "device",
    "layer",
    // 3: what is granted, wasm | the data path
    "blob",
    "plugin",
    "session",
    "dispatch",
    // an author's check of either side
    "conformance",
    // 4: many tenants | sockets
    "hosting",
    "tls",
    "connection",
    "server",
    "admin",
    "client",
    "map",
    // 5: the process
    "cli",
];

/// Modules of `host/src/plugin`, from the bottom to the top.
const PLUGIN: &[&str] = &[
    "advice",
    "wit",
    "tunables",
    "stop",
    "waits",
    "clock",
    "turns",
    "cpu",
    "memory",
    "names",
    "log",
    "guest",
    "imports",
    "world",
    "manifest",
    "functions",
    "instance",
    "compile",
    "cache",
    "engine",
    "loaded",
    "offer",
    "pool",
    "carry_out",
    "export",
    "catalog",
];

/// Modules of `host/src/hosting`.
const HOSTING: &[&str] = &["blueprint", "library", "slot", "hosted", "tenant"];

/// Modules of `host/src/connection`.
const CONNECTION: &[&str] = &[
    "inbox",
    "outbox",
    "idle",
    "linger",
    "secured",
    "stint",
    "handshake",
    "transmission",
];

/// Modules of `host/src/blob`.
const BLOB: &[&str] = &[
    "error", "missing", "file", "in_place", "extents", "transfer", "fulfil", "zeroing",
];

/// The two sides that don't know each other; `cli` introduces them.
const DATA_PATH: &[&str] = &["dispatch", "session", "connection", "server"];
const PLUGIN_SIDE: &[&str] = &["plugin", "blob"];

/// The crates without I/O, and what each may depend on.
const PURE_CRATES: &[(&str, &[&str])] = &[
    ("nbd-proto", &["bitflags", "thiserror"]),
    ("extent-map", &["bitflags", "thiserror"]),
    (
        "nbdbox-config",
        &[
            "ipnet",
            "nbd-proto",
            "schemars",
            "serde",
            "serde_json",
            "thiserror",
            "toml",
        ],
    ),
];

#[test]
fn modules_of_the_host_use_only_what_stands_below() {
    check_order(&source(), "crate", HOST);
}

#[test]
fn modules_of_plugin_connection_and_blob_do_too() {
    check_order(&source().join("plugin"), "crate::plugin", PLUGIN);
    check_order(
        &source().join("connection"),
        "crate::connection",
        CONNECTION,
    );
    check_order(&source().join("hosting"), "crate::hosting", HOSTING);
    check_order(&source().join("blob"), "crate::blob", BLOB);
}

#[test]
fn the_data_path_and_the_plugin_side_do_not_know_each_other() {
    for (side, other) in [(DATA_PATH, PLUGIN_SIDE), (PLUGIN_SIDE, DATA_PATH)] {
        for module in side {
            let used = used_modules(&source(), "crate", module);
            let wrong: Vec<_> = other.iter().filter(|name| used.contains(**name)).collect();
            assert!(wrong.is_empty(), "{module} uses {wrong:?}");
        }
    }
}

#[test]
fn the_pure_crates_depend_on_nothing_with_io() {
    for (name, allowed) in PURE_CRATES {
        let manifest = source().join("../crates").join(name).join("Cargo.toml");
        let text = fs::read_to_string(manifest).unwrap();
        let dependencies = section(&text, "[dependencies]");
        for line in dependencies.lines().filter(|line| !line.trim().is_empty()) {
            let dependency = line.split(['.', ' ', '=']).next().unwrap();
            assert!(
                allowed.contains(&dependency),
                "{name} depends on {dependency}"
            );
        }
        for path in files_below(&source().join("../crates").join(name).join("src")) {
            let text = fs::read_to_string(&path).unwrap();
            for word in [
                "std::fs",
                "std::net::Tcp",
                "std::io",
                "Instant",
                "SystemTime",
                "std::thread",
                "std::env",
            ] {
                assert!(!text.contains(word), "{} uses {word}", path.display());
            }
        }
    }
}

#[test]
fn pure_modules_of_the_host_have_no_io_and_no_wasm() {
    for module in [
        "fault", "identity", "metrics", "origin", "peaks", "quota", "reply", "mapping", "device",
        "layer",
    ] {
        let text = fs::read_to_string(source().join(module).with_extension("rs")).unwrap();
        for word in [
            "tokio::",
            "wasmtime",
            "std::fs",
            "std::net::Tcp",
            "rustix::",
        ] {
            assert!(!text.contains(word), "{module} uses {word}");
        }
    }
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/src")
}

/// Checks that each module of `folder` is in `order` and uses only modules before it.
fn check_order(folder: &Path, path: &str, order: &[&str]) {
    for module in modules_of(folder) {
        let own = order.iter().position(|name| *name == module);
        let own = own.unwrap_or_else(|| panic!("{path}::{module} has no place in the order"));
        for used in used_modules(folder, path, &module) {
            let Some(other) = order.iter().position(|name| *name == used) else {
                continue;
            };
            assert!(
                other <= own,
                "{path}::{module} uses {path}::{used}, which stands above it"
            );
        }
    }
}

/// Names of the modules in a folder: its files, but for those that aren't modules of it.
fn modules_of(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let modules = entries.filter(|path| path.extension().is_some_and(|end| end == "rs"));
    let names = modules.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned());
    names
        .filter(|name| name != "lib" && name != "main")
        .collect()
}

/// Which modules of `folder` (`path` in code) a module, with all that is in its own folder, names.
fn used_modules(folder: &Path, path: &str, module: &str) -> BTreeSet<String> {
    let mut files = vec![folder.join(module).with_extension("rs")];
    files.extend(files_below(&folder.join(module)));
    let mut used = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for line in text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
        {
            used.extend(names_after(line, &format!("{path}::")));
            // `super` is the folder's own module for its direct children only.
            if file.parent() == Some(folder) {
                used.extend(names_after(line, "super::"));
            }
        }
    }
    used.remove(module);
    used
}

/// The names that follow `prefix` in a line: one, or several in braces.
fn names_after(line: &str, prefix: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        text.trim()
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    };
    line.match_indices(prefix)
        .flat_map(|(at, _)| {
            let rest = &line[at + prefix.len()..];
            match rest.strip_prefix('{') {
                Some(list) => list.split([',', '}']).map(name).collect(),
                None => vec![name(rest)],
            }
        })
        .collect()
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                files_below(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

/// The lines of a section of a Cargo.toml.
fn section<'a>(text: &'a str, header: &str) -> &'a str {
    let Some(start) = text.find(header) else {
        return "";
    };
    let body = &text[start + header.len()..];
    &body[..body.find("\n[").unwrap_or(body.len())]
}
