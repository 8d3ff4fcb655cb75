//! `host/CONFIG.md` and `host/nbdbox.schema.json` have the keys of the program, and no others.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use nbdbox_tests::{nbdbox, plugin, run};
use serde_json::Value;

/// The manual's headings and the tables of the schema that they describe.
const TABLES: &[(&str, &str)] = &[
    ("## The server", ""),
    ("## Listeners", "listener"),
    ("## The admin listener", "admin"),
    ("## Plugins by name", "plugins"),
    ("## The compile cache", "cache"),
    ("## Tenants", "tenant"),
    ("### Rules of clients", "tenant/clients"),
    ("### Limits of a tenant", "tenant/limits"),
    ("## Exports", "tenant/export"),
    ("### Filters", "tenant/export/filters"),
    ("### Settings", "tenant/export/settings"),
    ("### Settings", "tenant/export/filters/settings"),
    ("### Blobs", "tenant/export/filters/blobs"),
    ("### Limits of an export", "tenant/export/filters/limits"),
    ("### Blobs", "tenant/export/blobs"),
    ("### Limits of an export", "tenant/export/limits"),
];

fn host() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../host")
}

fn manual() -> String {
    fs::read_to_string(host().join("CONFIG.md")).unwrap()
}

fn schema() -> Value {
    serde_json::from_str(&run(nbdbox(), ["schema"]).ok()).unwrap()
}

/// The keys of the first table below a heading, with their defaults.
fn documented(manual: &str, heading: &str) -> BTreeMap<String, String> {
    let section = manual.split(&format!("\n{heading}\n")).nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let section = section.split("\n### ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let word = |cell: &str| cell.trim_matches('`').to_owned();
        (word(cells[0]), word(cells[1]))
    })
    .collect()
}

/// The properties of one table of the schema.
fn properties<'a>(schema: &'a Value, path: &str) -> &'a serde_json::Map<String, Value> {
    let mut at = schema;
    for name in path.split('/').filter(|name| !name.is_empty()) {
        at = &at["properties"][name];
        // The elements of a list; the values of a table whose keys the operator chooses.
        for inner in ["items", "additionalProperties"] {
            if at[inner].is_object() {
                at = &at[inner];
            }
        }
    }
    at["properties"].as_object().unwrap()
}

/// An export has the limits that its tenant has, and each has a test.
#[test]
fn each_level_has_its_limits_and_each_limit_its_test() {
    let manual = manual();
    let section = manual.split("\n### Limits at each level\n").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let quoted = |cell: &str| -> Vec<String> {
        let words = cell.split('`').skip(1).step_by(2);
        words.map(str::to_owned).collect()
    };
    let tests = [
        include_str!("../limit_edges.rs"),
        include_str!("quotas.rs"),
        include_str!("rates.rs"),
        include_str!("../../fairness/shares.rs"),
    ]
    .concat();
    let mut of_tenants = Vec::new();
    for row in section.lines().filter(|line| line.contains('`')) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
        let (tenant, export, shown) = (quoted(cells[1]), quoted(cells[2]), quoted(cells[3]));
        assert!(documented(&manual, "### Limits of an export").contains_key(&export[0]));
        assert!(shown.len() >= 2, "a test for each level: {row}");
        for name in shown {
            assert!(tests.contains(&format!("fn {name}()")), "no test {name}");
        }
        of_tenants.extend(tenant);
    }
    of_tenants.sort();
    let all: Vec<String> = documented(&manual, "### Limits of a tenant")
        .into_keys()
        .collect();
    assert_eq!(of_tenants, all);
}

#[test]
fn manual_and_schema_have_the_same_keys() {
    let (manual, schema) = (manual(), schema());
    for (heading, path) in TABLES {
        let known: Vec<&String> = properties(&schema, path).keys().collect();
        let documented = documented(&manual, heading);
        let documented: Vec<&String> = documented.keys().collect();
        assert_eq!(
            documented, known,
            "{heading}: left: CONFIG.md, right: the schema"
        );
    }
}

#[test]
fn every_table_of_the_schema_is_in_the_manual() {
    fn tables(schema: &Value, path: &str, found: &mut Vec<String>) {
        if schema["properties"].is_object() {
            found.push(path.to_owned());
        }
        for (name, value) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}/{name}").trim_start_matches('/').to_owned();
            for value in [value, &value["items"], &value["additionalProperties"]] {
                tables(value, &path, found);
            }
        }
    }
    let mut found = Vec::new();
    tables(&schema(), "", &mut found);
    found.sort();
    let mut known: Vec<&str> = TABLES.iter().map(|(_, path)| *path).collect();
    known.sort_unstable();
    assert_eq!(found, known);
}

#[test]
fn defaults_of_limits_are_those_of_the_schema() {
    let (manual, schema) = (manual(), schema());
    for (heading, path) in [
        ("### Limits of a tenant", "tenant/limits"),
        ("### Limits of an export", "tenant/export/limits"),
    ] {
        let documented = documented(&manual, heading);
        for (key, value) in properties(&schema, path) {
            let description = value["description"].as_str().unwrap();
            let default = description.split("Default: ").nth(1).unwrap();
            assert_eq!(
                documented[key],
                default.trim_end_matches('.'),
                "{heading}: {key}"
            );
        }
    }
}

#[test]
fn the_committed_schema_is_the_programs() {
    let committed = fs::read_to_string(host().join("nbdbox.schema.json")).unwrap();
    let real = run(nbdbox(), ["schema"]).ok();
    assert!(
        committed == real,
        "host/nbdbox.schema.json is out of date: write it anew with `nbdbox schema`"
    );
}

#[test]
fn the_manuals_example_is_a_configuration() {
    let manual = manual();
    let example = manual.split("```toml\n").nth(1).unwrap();
    let example = example.split("```").next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("alice.img");
    fs::write(&disk, [0; 4096]).unwrap();
    let mut example = example.replace("/srv/alice.img", disk.to_str().unwrap());
    for name in ["file", "pattern"] {
        let installed = format!("/usr/lib/nbdbox/{name}.wasm");
        example = example.replace(&installed, plugin(name).to_str().unwrap());
    }
    let config = folder.path().join("nbdbox.toml");
    fs::write(&config, example).unwrap();
    let checked = run(nbdbox(), [Path::new("check"), &config]).ok();
    assert!(checked.contains("all fits"), "{checked}");
}
