//! What the plugin can read by a grant, and that it opens nothing else, whatever an image names.

use nbdbox_tests::{Random, Run};

use super::bad::serve;
use super::folder::{Folder, assert_same, changes};

const SIZE: u64 = 4 << 20;

fn refused(folder: &Folder, grants: &[&str], settings: &[&str]) -> Run {
    serve(folder, "qcow2", grants, settings)
}

#[test]
fn map_only_data_with_a_copy_of_the_tables() {
    let mut random = Random::seeded(11);
    let folder = Folder::new();
    folder.create("qcow2", &[], "top", SIZE);
    folder.change("qcow2", "top", &changes(&mut random, SIZE, 10));
    // The tables of such a small image are in its first clusters.
    let bytes = std::fs::read(folder.path("top")).unwrap();
    std::fs::write(folder.path("tables"), &bytes[..5 << 16]).unwrap();
    let grants = ["image=top:map-only", "tables=tables:ro"];
    let ours = folder.serve("qcow2", &grants, &["metadata=tables"]);
    let theirs = folder.qemu_nbd(&["-f", "qcow2"], "top");
    assert_same("map-only", &ours.socket(), &theirs.socket(), &mut random);
    let alone = refused(&folder, &["image=top:map-only"], &[]);
    assert!(
        alone.code != 0 && alone.stderr.contains("metadata="),
        "{}",
        alone.stderr
    );
}

#[test]
fn names_inside_images_open_nothing() {
    let folder = Folder::new();
    for (name, format) in [
        ("/etc/passwd", "raw"),
        ("nbd://localhost", "raw"),
        ("top", "qcow2"),
    ] {
        folder.create("qcow2", &["-u", "-F", format, "-b", name], "top", SIZE);
        let ran = refused(&folder, &["image=top:ro"], &[]);
        assert_ne!(ran.code, 0);
        assert!(ran.stderr.contains("backing="), "{}", ran.stderr);
    }
    let data = format!("data_file={}", folder.path("data").display());
    folder.create("qcow2", &["-o", &data], "top", SIZE);
    let ran = refused(&folder, &["image=top:ro"], &[]);
    assert!(
        ran.code != 0 && ran.stderr.contains("data="),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_chain_has_no_loop() {
    let folder = Folder::new();
    folder.create("qcow2", &["-u", "-F", "qcow2", "-b", "top"], "top", SIZE);
    for backing in ["backing=image", "backing=a,a"] {
        let ran = refused(&folder, &["image=top:ro", "a=top:ro"], &[backing]);
        assert!(
            ran.code != 0 && ran.stderr.contains("would back itself"),
            "{}",
            ran.stderr
        );
    }
}

#[test]
fn grants_that_no_image_needs_are_refused() {
    let folder = Folder::new();
    folder.create("qcow2", &[], "top", SIZE);
    folder.create("raw", &[], "other", SIZE);
    for setting in ["backing=other", "data=other"] {
        let ran = refused(&folder, &["image=top:ro", "other=other:ro"], &[setting]);
        assert!(
            ran.code != 0 && ran.stderr.contains(setting.split('=').next().unwrap()),
            "{}",
            ran.stderr
        );
    }
}
