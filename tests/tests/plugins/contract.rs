//! `nbdbox test`: the verdicts on honest plugins, and for each rule a plugin that breaks it.

mod manual;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;

use nbdbox_tests::{Run, guest, nbdbox, plugin, run};
use tempfile::TempDir;

/// The rules that a plugin can break, each with the other arguments of its run.
const LIES: &[(&str, &[&str])] = &[
    ("read-cuts", &[]),
    ("read-largest", &[]),
    ("block-sizes", &[]),
    ("extents-answer", &[]),
    ("extents-zeroes", &[]),
    ("extents-cuts", &[]),
    ("extents-one", &[]),
    ("fresh", &[]),
    ("parallel", &["--write"]),
    ("immutable", &[]),
    ("mapping", &[]),
    ("write-model", &["--write"]),
    ("write-extents", &["--write"]),
    ("zero-modes", &["--write"]),
    ("durable", &["--write"]),
    ("faults", &["--only", "read-cuts"]),
    ("memory", &["--only", "read-largest"]),
    ("cpu-time", &["--only", "read-largest"]),
    ("handles", &["--only", "read-largest"]),
    ("extents-budget", &["--only", "extents-answer"]),
    ("pieces", &["--only", "read-largest"]),
];

fn test(arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Run {
    let arguments = arguments.into_iter().map(Into::into);
    run(nbdbox(), std::iter::once("test".into()).chain(arguments))
}

/// The verdict on each rule.
fn verdicts(run: &Run) -> BTreeMap<String, String> {
    let lines = run.stdout.lines().filter(|line| !line.starts_with(' '));
    lines
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (verdict, rule) = (words.next()?, words.next()?);
            let known = ["pass", "fail", "skip"].contains(&verdict);
            known.then(|| (rule.to_owned(), verdict.to_owned()))
        })
        .collect()
}

fn lie(rule: &str, more: &[&str], seed: &str) -> Run {
    let scratch = TempDir::new().unwrap();
    let file = scratch.path().join("disk");
    fs::write(&file, [0; 4096]).unwrap();
    let mut arguments: Vec<OsString> = ["--seed", seed, "--only", rule].map(Into::into).into();
    arguments.push("--blob".into());
    arguments.push(format!("disk={}", file.display()).into());
    arguments.extend(more.iter().map(Into::into));
    arguments.push(guest("liar").into());
    arguments.push(format!("lie={rule}").into());
    test(arguments)
}

#[test]
fn every_rule_catches_a_plugin_that_breaks_it() {
    for (rule, more) in LIES {
        for seed in ["1", "2"] {
            let ran = lie(rule, more, seed);
            let found = verdicts(&ran);
            let verdict = found.get(*rule).map(String::as_str);
            assert_eq!(
                verdict,
                Some("fail"),
                "{rule}:\n{}{}",
                ran.stdout,
                ran.stderr
            );
            assert_eq!(ran.code, 1, "{rule}");
        }
    }
}

#[test]
fn every_rule_but_the_measured_one_has_a_lie() {
    let ran = test([
        "--write".into(),
        "--seed".into(),
        "1".into(),
        guest("liar").into_os_string(),
    ]);
    let rules: Vec<String> = verdicts(&ran).into_keys().collect();
    for rule in &rules {
        let told = LIES.iter().any(|(name, _)| name == rule);
        assert!(told || rule == "speed", "{rule}");
    }
    assert_eq!(rules.len(), LIES.len() + 1);
}

#[test]
fn an_honest_plugin_keeps_every_rule() {
    let ran = test(["--write".into(), guest("liar").into_os_string()]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    let found = verdicts(&ran);
    assert_eq!(found["write-model"], "pass");
    assert_eq!(found["extents-zeroes"], "pass");
    assert_eq!(found["parallel"], "skip");
}

#[test]
fn the_example_plugins_pass() {
    let scratch = TempDir::new().unwrap();
    let disk = scratch.path().join("disk");
    let grant = format!("disk={}:rw", disk.display());
    let plugins: [(&str, &[&str]); 4] = [
        ("pattern", &["size=1G"]),
        ("sparse", &["size=4G"]),
        ("memory", &["--write", "size=16M"]),
        ("file", &["--write", "--blob", &grant]),
    ];
    fs::write(&disk, vec![7; 1 << 20]).unwrap();
    let file = fs::OpenOptions::new().write(true).open(&disk).unwrap();
    file.set_len(8 << 20).unwrap();
    for (name, settings) in plugins {
        let path = plugin(name).into_os_string();
        let ran = test(std::iter::once(path).chain(settings.iter().map(Into::into)));
        assert_eq!(ran.code, 0, "{name}:\n{}{}", ran.stdout, ran.stderr);
        assert!(verdicts(&ran).len() >= 20, "{}", ran.stdout);
    }
}

#[test]
fn nothing_is_written_without_permission() {
    let scratch = TempDir::new().unwrap();
    let disk = scratch.path().join("disk");
    fs::write(&disk, vec![7; 1 << 20]).unwrap();
    let grant = format!("disk={}", disk.display());
    let ran = test([
        "--blob".into(),
        grant.into(),
        plugin("file").into_os_string(),
    ]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert_eq!(verdicts(&ran)["write-model"], "skip");
    assert_eq!(fs::read(&disk).unwrap(), vec![7; 1 << 20]);
}

#[test]
fn a_seed_repeats_a_run() {
    let once = lie("read-cuts", &[], "7");
    let again = lie("read-cuts", &[], "7");
    assert_eq!(once.stdout, again.stdout);
    assert!(once.stdout.contains("--seed 7"));
}

#[test]
fn programs_and_ci_can_read_it() {
    let scratch = TempDir::new().unwrap();
    let junit = scratch.path().join("junit.xml");
    let ran = test([
        "--json".into(),
        "--seed".into(),
        "3".into(),
        "--only".into(),
        "read-cuts".into(),
        "--junit".into(),
        junit.clone().into_os_string(),
        guest("liar").into_os_string(),
        "lie=read-cuts".into(),
    ]);
    assert_eq!(ran.code, 1);
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(json["seed"], 3);
    assert_eq!(json["plugin"], "liar");
    let rule = &json["rules"][0];
    assert_eq!(
        (&rule["rule"], &rule["verdict"]),
        (&"read-cuts".into(), &"fail".into())
    );
    let xml = fs::read_to_string(junit).unwrap();
    assert!(
        xml.contains("<failure") && xml.contains("failures=\"1\""),
        "{xml}"
    );
}
