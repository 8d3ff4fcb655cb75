//! Zig: granted blobs, one after the other.

use std::fs::{self, File};

use nbdbox_tests::{Random, Run, Server, nbdbox, plugin, run};
use tempfile::TempDir;

use super::keeps_the_contract;

#[test]
fn blobs_follow_one_another_with_their_holes() {
    let folder = TempDir::with_prefix("nbdbox-concat-").unwrap();
    let bytes = Random::seeded(9).bytes((1 << 20) + 77);
    let (full, hole) = (folder.path().join("full"), folder.path().join("hole"));
    fs::write(&full, &bytes).unwrap();
    File::create(&hole).unwrap().set_len(1 << 20).unwrap();
    let grants = [("full", &full), ("hole", &hole)]
        .map(|(name, path)| format!("{name}={}:map-only", path.display()));
    let [one, two] = &grants;
    let settings = ["--blob", one, "--blob", two, "blobs=full,hole,full"];
    let server = Server::plugin("concat", &settings);
    let copy = server.folder().join("copy");
    let _ = run("nbdcopy", [&server.uri(), copy.to_str().unwrap()]).ok();
    let zeroes = vec![0; 1 << 20];
    assert!(fs::read(&copy).unwrap() == [&bytes[..], &zeroes, &bytes].concat());
    let map = run("nbdinfo", ["--map", &server.uri()]).ok();
    let hole = format!("{} {} 3 hole,zero", bytes.len(), 1 << 20);
    let lines = map
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    assert!(lines.into_iter().any(|line| line == hole), "{map}");
}

/// `qemu-img` requests one extent at a time: the first one may go on in the next blob.
#[test]
fn a_hole_goes_on_from_blob_to_blob() {
    let folder = TempDir::with_prefix("nbdbox-concat-").unwrap();
    let (full, hole) = (folder.path().join("full"), folder.path().join("hole"));
    fs::write(&full, Random::seeded(10).bytes(64 << 10)).unwrap();
    File::create(&hole).unwrap().set_len(1 << 20).unwrap();
    let [one, two] = [("full", &full), ("hole", &hole)]
        .map(|(name, path)| format!("{name}={}:map-only", path.display()));
    let settings = ["--blob", &one, "--blob", &two, "blobs=full,hole,hole,full"];
    let server = Server::plugin("concat", &settings);
    let map = run("qemu-img", ["map", "--output=json", &server.uri()]).ok();
    let holes: Vec<_> = map
        .lines()
        .filter(|line| line.contains("\"zero\": true"))
        .collect();
    let [hole] = holes[..] else {
        panic!("{map}");
    };
    assert!(
        hole.contains("\"start\": 65536, \"length\": 2097152"),
        "{map}"
    );
}

#[test]
fn a_blob_that_is_not_granted_is_refused_in_words() {
    let program = plugin("concat");
    let arguments = [
        "serve",
        program.to_str().unwrap(),
        "blobs=x",
        "--run",
        "true",
    ];
    let refused: Run = run(nbdbox(), arguments);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("isn't granted"), "{refused:?}");
}

#[test]
fn it_keeps_the_contract() {
    let folder = TempDir::with_prefix("nbdbox-concat-").unwrap();
    let (full, hole) = (folder.path().join("full"), folder.path().join("hole"));
    fs::write(&full, Random::seeded(3).bytes(300_001)).unwrap();
    File::create(&hole).unwrap().set_len(1 << 20).unwrap();
    let [one, two] = [("full", &full), ("hole", &hole)]
        .map(|(name, path)| format!("{name}={}:map-only", path.display()));
    let program = plugin("concat").display().to_string();
    keeps_the_contract(&[
        "--blob",
        &one,
        "--blob",
        &two,
        &program,
        "blobs=hole,full,hole",
    ]);
}
