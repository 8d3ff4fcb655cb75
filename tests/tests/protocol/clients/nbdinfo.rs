//! `nbdinfo`: the abilities that the server advertises follow from the interfaces that the plugin exports.

use std::collections::BTreeMap;

use nbdbox_tests::{Server, run};

use super::oracle::Disk;

/// `nbdinfo --json`, with the keys of the only export.
fn info(server: &Server) -> BTreeMap<String, String> {
    let text = run("nbdinfo", ["--json", &server.uri()]).ok();
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs
        .map(|(key, value)| {
            (
                key.trim().replace('"', ""),
                value.trim().replace(['"', ','], ""),
            )
        })
        .collect()
}

/// Asserts that the abilities in `expected` are true, and all others false.
fn assert_can(server: &Server, expected: &[&str]) {
    let info = info(server);
    let can: Vec<&str> = info
        .iter()
        .filter(|(key, value)| {
            (key.starts_with("can_") || key.starts_with("is_")) && *value == "true"
        })
        .map(|(key, _)| key.as_str())
        .collect();
    assert_eq!(can, expected);
    let asked = info.keys().filter(|key| key.starts_with("can_")).count();
    assert_eq!(asked, 8, "nbdinfo knows other abilities: {info:?}");
}

/// Whether `nbdinfo --can` or `--is` is true.
fn says_yes(server: &Server, option: &str, ability: &str) -> bool {
    let run = run("nbdinfo", [option, ability, &server.uri()]);
    match run.code {
        0 => true,
        2 => false,
        _ => panic!("{run:?}"),
    }
}

/// Lines of `nbdinfo --map`: offset, length, flags.
fn map(server: &Server) -> Vec<(u64, u64, u32)> {
    let text = run("nbdinfo", ["--map", &server.uri()]).ok();
    let line = |line: &str| {
        let mut numbers = line.split_whitespace();
        let mut next = || numbers.next().unwrap().parse::<u64>().unwrap();
        (next(), next(), u32::try_from(next()).unwrap())
    };
    text.lines().map(line).collect()
}

#[test]
fn pattern_is_read_only_and_all_data() {
    let server = Server::plugin("pattern", &["size=1000003"]);
    assert_can(&server, &["can_df", "can_multi_conn", "is_read_only"]);
    let info = info(&server);
    assert_eq!(info["export-size"], "1000003");
    assert_eq!(info["protocol"], "newstyle-fixed");
    assert_eq!(info["structured"], "true");
    let text = run("nbdinfo", [server.uri()]).ok();
    // The plugin reports no extents, so everything is data.
    assert!(text.contains("base:allocation"), "{text}");
    let map = run("nbdinfo", ["--map".to_owned(), server.uri()]).ok();
    let words: Vec<&str> = map.split_whitespace().collect();
    assert_eq!(words, ["0", "1000003", "0", "data"]);
}

#[test]
fn sparse_is_read_only_with_a_map() {
    let server = Server::plugin("sparse", &["size=10M"]);
    assert_can(&server, &["can_df", "can_multi_conn", "is_read_only"]);
    let text = run("nbdinfo", [server.uri()]).ok();
    assert!(text.contains("base:allocation"), "{text}");
}

#[test]
fn memory_can_be_written_trimmed_and_zeroed() {
    let server = Server::plugin("memory", &["size=10M"]);
    let can = [
        "can_df",
        "can_fast_zero",
        "can_flush",
        "can_fua",
        "can_multi_conn",
        "can_trim",
        "can_zero",
    ];
    assert_can(&server, &can);
}

#[test]
fn file_granted_for_writing_can_do_everything() {
    let server = Disk::new(&[7; 5001]).serve("rw");
    let can = [
        "can_cache",
        "can_df",
        "can_fast_zero",
        "can_flush",
        "can_fua",
        "can_multi_conn",
        "can_trim",
        "can_zero",
    ];
    assert_can(&server, &can);
    assert_eq!(info(&server)["export-size"], "5001");
}

#[test]
fn file_granted_for_reading_is_read_only() {
    for access in ["ro", "map-only"] {
        let server = Disk::new(&[7; 5001]).serve(access);
        let can = ["can_cache", "can_df", "can_multi_conn", "is_read_only"];
        assert_can(&server, &can);
    }
}

#[test]
fn an_operator_can_make_any_export_read_only() {
    let server = Server::plugin("memory", &["--read-only"]);
    assert_can(&server, &["can_df", "can_multi_conn", "is_read_only"]);
}

#[test]
fn block_sizes_are_advertised() {
    let server = Server::plugin("memory", &[]);
    let info = info(&server);
    let sizes =
        ["minimum", "preferred", "maximum"].map(|size| &info[&format!("block_size_{size}")]);
    assert_eq!(sizes, ["1", "4096", "33554432"]);
}

#[test]
fn can_and_is_answer_as_the_summary_does() {
    let writable = Server::plugin("memory", &[]);
    let readable = Server::plugin("pattern", &[]);
    for ability in ["connect", "structured-reply", "multi-conn", "df", "read"] {
        assert!(says_yes(&writable, "--can", ability), "{ability}");
        assert!(says_yes(&readable, "--can", ability), "{ability}");
    }
    for ability in ["write", "flush", "fua", "trim", "zero", "fast-zero"] {
        assert!(says_yes(&writable, "--can", ability), "{ability}");
        assert!(!says_yes(&readable, "--can", ability), "{ability}");
    }
    assert!(!says_yes(&writable, "--is", "read-only"));
    assert!(says_yes(&readable, "--is", "read-only"));
    assert!(!says_yes(&writable, "--is", "tls"));
    assert!(!says_yes(&writable, "--is", "rotational"));
}

#[test]
fn the_list_names_the_export() {
    let server = Server::plugin("pattern", &["--export", "disk-1"]);
    let text = run("nbdinfo", ["--list", &server.uri()]).ok();
    let exports: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("export="))
        .collect();
    assert_eq!(exports, [r#"export="disk-1":"#]);
    assert!(text.contains("export-size: 1048576"), "{text}");
}

#[test]
fn an_unknown_export_is_refused_in_words() {
    let server = Server::plugin("pattern", &["--export", "disk-1"]);
    assert_eq!(
        run("nbdinfo", ["--size", &server.uri_of("disk-1")]).ok(),
        "1048576\n"
    );
    let run = run("nbdinfo", ["--size", &server.uri_of("disk-2")]);
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("disk-2"), "{}", run.stderr);
}

#[test]
fn the_map_of_an_empty_memory_is_one_hole() {
    let server = Server::plugin("memory", &["size=10000001"]);
    assert_eq!(map(&server), [(0, 10_000_001, 3)]);
}

#[test]
fn the_map_of_sparse_has_all_four_kinds_and_covers_the_disk() {
    let server = Server::plugin("sparse", &["size=3333333", "runlength=10000"]);
    let map = map(&server);
    let mut at = 0;
    for (offset, length, _) in &map {
        assert_eq!(*offset, at, "a gap or an overlap");
        at += length;
    }
    assert_eq!(at, 3_333_333);
    for kind in 0..4 {
        assert!(
            map.iter().any(|(_, _, flags)| *flags == kind),
            "none of kind {kind}"
        );
    }
}

#[test]
fn the_totals_of_a_map_are_sums_of_it() {
    let server = Server::plugin("sparse", &["size=3333333", "runlength=10000"]);
    let map = map(&server);
    let text = run("nbdinfo", ["--map", "--totals", &server.uri()]).ok();
    let mut sums = [0; 4];
    for (_, length, flags) in map {
        sums[flags as usize] += length;
    }
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let flags: usize = words[2].parse().unwrap();
        assert_eq!(words[0].parse::<u64>().unwrap(), sums[flags], "{line}");
    }
    assert_eq!(text.lines().count(), 4);
}

#[test]
fn an_export_of_exbibytes_has_its_size() {
    let server = Server::plugin("sparse", &["size=8191P", "runlength=1P"]);
    let text = run("nbdinfo", ["--size", &server.uri()]).ok();
    assert_eq!(text.trim().parse::<u64>().unwrap(), 8191 << 50);
}
