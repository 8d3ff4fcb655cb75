//! The plugin authors' manual has all functions of the WIT and all rules, and no others.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn text(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap()
}

/// The functions of the stable interfaces; a resource's functions have its name in front.
fn functions() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let files = [
        "blobs", "device", "filter", "host", "mappings", "requests", "types",
    ];
    for file in files {
        let (mut resource, mut next) = (None, None);
        for line in text(&format!("wit/{file}.wit")).lines() {
            let words = line.trim_start();
            if words.starts_with("interface next ") {
                // These functions have the names of the device's.
                next = Some("next".to_owned());
            } else if let Some(rest) = words.strip_prefix("resource ") {
                resource = rest.split(' ').next().map(str::to_owned);
            } else if line == "    }" {
                resource = None;
            }
            let Some((name, rest)) = words.split_once(": ") else {
                continue;
            };
            let is_function = rest.starts_with("func(") || rest.starts_with("static func(");
            if is_function {
                let prefix = resource.as_ref().or(next.as_ref());
                let prefix = prefix.map(|name| format!("{name}."));
                found.insert(prefix.unwrap_or_default() + name);
            }
        }
    }
    found
}

#[test]
fn every_function_has_its_section_and_no_other() {
    let manual = text("guest-sdk/MANUAL.md");
    let sections = manual.lines().filter_map(|line| line.strip_prefix("### `"));
    let sections: BTreeSet<String> = sections
        .map(|name| name.trim_end_matches('`').to_owned())
        .collect();
    let functions = functions();
    assert!(functions.contains("read") && functions.contains("extents.end-at"));
    assert_eq!(sections, functions, "left: the manual, right: the WIT");
}

#[test]
fn every_rule_is_explained_and_no_other() {
    let manual = text("guest-sdk/MANUAL.md");
    let table = manual.split("| Rule |").nth(1).unwrap();
    let table = table.split("\n## ").next().unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
    let explained: BTreeSet<&str> = rows.map(|row| row.split('`').next().unwrap()).collect();
    let mut rules: BTreeSet<&str> = super::LIES.iter().map(|(rule, _)| *rule).collect();
    rules.insert("speed");
    assert_eq!(explained, rules, "left: the manual, right: the rules");
}
