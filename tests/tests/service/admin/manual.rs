//! `host/METRICS.md` has the names, types and labels of the program, and no others.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use nbdbox_tests::nbdsh;

use super::scene::{get, hosting, uri};

/// Each name, with its type and its labels.
type Names = BTreeMap<String, (String, BTreeSet<String>)>;

/// The rows of the manual's table under a heading.
fn rows(heading: &str) -> Vec<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/METRICS.md");
    let manual = fs::read_to_string(path).unwrap();
    let at = manual.find(heading).unwrap();
    let lines = manual[at..]
        .lines()
        .skip_while(|line| !line.starts_with('|'));
    let table = lines.take_while(|line| line.starts_with('|')).skip(2);
    let cells = |line: &str| {
        let cells = line.trim_matches('|').split('|');
        cells.map(|cell| cell.trim().to_owned()).collect()
    };
    table.map(cells).collect()
}

fn quoted(cell: &str) -> BTreeSet<String> {
    cell.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

fn documented() -> Names {
    let row = |row: Vec<String>| {
        let name = row[0].trim_matches('`').to_owned();
        assert!(!row[3].is_empty(), "{name} has no description");
        (name, (row[1].clone(), quoted(&row[2])))
    };
    rows("\n## Metrics").into_iter().map(row).collect()
}

/// The names of a scrape, each with all labels of its samples.
fn real(text: &str) -> Names {
    let mut names = Names::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(head) = line.strip_prefix("# TYPE ") {
            let (name, kind) = head.split_once(' ').unwrap();
            current = name.to_owned();
            names.insert(current.clone(), (kind.to_owned(), BTreeSet::new()));
        }
        if line.starts_with('#') {
            continue;
        }
        let (_, labels) = names.get_mut(&current).unwrap();
        let keys = line.match_indices("=\"").map(|(at, _)| {
            let key = line[..at].rsplit(['{', ',']).next().unwrap();
            key.to_owned()
        });
        labels.extend(keys.filter(|key| key != "le"));
    }
    names
}

#[test]
fn names_types_and_labels_are_the_same() {
    let server = hosting();
    let _ = nbdsh(&uri(&server, "alice", "disk"), "h.pread(4096, 0)").ok();
    let text = get(&server, "/metrics");
    assert_eq!(
        documented(),
        real(&text),
        "left: METRICS.md, right: /metrics"
    );
    // The values of labels are the same too.
    let manual = rows("\n## Metrics");
    for (label, name) in [
        ("end", "nbdbox_connection_ends"),
        ("cause", "nbdbox_plugin_faults"),
        ("budget", "nbdbox_budget_refusals"),
    ] {
        let row = manual.iter().find(|row| row[0] == format!("`{name}`"));
        let documented = quoted(&row.unwrap()[3]);
        let key = format!("{label}=\"");
        let lines = text.lines().filter(|line| line.starts_with(name));
        let words = lines.filter_map(|line| line.split(&key).nth(1)?.split('"').next());
        let words: BTreeSet<String> = words.map(str::to_owned).collect();
        assert_eq!(documented, words, "{name}");
    }
}

#[test]
fn keys_of_the_json_are_the_same() {
    let server = hosting();
    let exports: serde_json::Value = serde_json::from_str(&get(&server, "/exports")).unwrap();
    for (list, first) in [
        ("exports", &exports["exports"][0]),
        ("layers", &exports["exports"][0]["layers"][0]),
        ("tenants", &exports["tenants"][0]),
    ] {
        let rows = rows(&format!("| Key of `{list}`"));
        let documented: BTreeSet<String> = rows.iter().flat_map(|row| quoted(&row[0])).collect();
        let keys = first.as_object().unwrap().keys();
        let real: BTreeSet<String> = keys.cloned().collect();
        assert_eq!(documented, real, "{list}");
    }
}
