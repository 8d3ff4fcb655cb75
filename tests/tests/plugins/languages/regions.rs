//! TypeScript: a disk of regions, compared with bytes that the test lays out itself.

use std::fs;

use nbdbox_tests::{Random, Run, Server, nbdbox, plugin, run};
use tempfile::TempDir;

use super::{compile_once, keeps_the_contract};

/// A folder with this description.
fn described(json: &str) -> (TempDir, String) {
    compile_once(&plugin("regions"));
    let folder = TempDir::with_prefix("nbdbox-regions-").unwrap();
    let path = folder.path().join("disk.json");
    fs::write(&path, json).unwrap();
    let grant = format!("description={}", path.display());
    (folder, grant)
}

fn refused(json: &str) -> String {
    let (_folder, grant) = described(json);
    let program = plugin("regions");
    let arguments = ["serve", "--blob", &grant, "--run", "true"];
    let refused: Run = run(
        nbdbox(),
        arguments.iter().chain(&[program.to_str().unwrap()]),
    );
    assert_eq!(refused.code, 1, "{refused:?}");
    refused.stderr
}

#[test]
fn every_region_is_where_the_description_says() {
    let (folder, grant) = described(
        r#"{ "size": 300000, "regions": [
            { "offset": 200000, "length": 50000, "blob": "more", "at": 123 },
            { "offset": 7, "text": "größer" },
            { "offset": 1000, "hex": "00ff10" },
            { "offset": 5000, "length": 100001, "pattern": "010203" },
            { "offset": 150000, "length": 10, "zero": true } ] }"#,
    );
    let blob = Random::seeded(7).bytes(60_000);
    let more = folder.path().join("more");
    fs::write(&more, &blob).unwrap();
    let more = format!("more={}:map-only", more.display());
    let server = Server::plugin("regions", &["--blob", &grant, "--blob", &more]);
    let mut expected = vec![0; 300_000];
    expected[7..15].copy_from_slice("größer".as_bytes());
    expected[1000..1003].copy_from_slice(&[0, 255, 16]);
    for (at, byte) in expected[5000..105_001].iter_mut().enumerate() {
        *byte = [1, 2, 3][at % 3];
    }
    expected[200_000..250_000].copy_from_slice(&blob[123..50_123]);
    for size in ["4096", "65536"] {
        let copy = server.folder().join(size);
        let options = ["--request-size", size].map(str::to_owned);
        let operands = [server.uri(), copy.display().to_string()];
        let _ = run("nbdcopy", options.iter().chain(&operands)).ok();
        assert!(fs::read(copy).unwrap() == expected, "{size}");
    }
}

#[test]
fn a_description_that_makes_no_sense_is_refused_in_words() {
    let one = |region: &str| format!(r#"{{ "regions": [{region}] }}"#);
    assert!(refused("{").contains("isn't JSON"));
    assert!(refused("[]").contains("no list `regions`"));
    assert!(refused(&one(r#"{ "offset": -1, "text": "a" }"#)).contains("whole number of bytes"));
    assert!(refused(&one(r#"{ "offset": 0, "hex": "0g" }"#)).contains("isn't hexadecimal"));
    assert!(refused(&one(r#"{ "offset": 0, "length": 1 }"#)).contains("needs one of text"));
    let ungranted = r#"{ "offset": 0, "length": 1, "blob": "b" }"#;
    assert!(refused(&one(ungranted)).contains("b isn't granted"));
    let overlap = r#"{ "offset": 0, "text": "abc" }, { "offset": 2, "text": "d" }"#;
    assert!(refused(&one(overlap)).contains("two regions overlap at byte 2"));
}

#[test]
fn it_keeps_the_contract() {
    let json = r#"{ "size": 300000, "regions": [
        { "offset": 7, "text": "hello" },
        { "offset": 5000, "length": 100001, "pattern": "010203" },
        { "offset": 120000, "length": 50000, "zero": true } ] }"#;
    let (_folder, grant) = described(json);
    let program = plugin("regions").display().to_string();
    keeps_the_contract(&["--blob", &grant, &program]);
}
