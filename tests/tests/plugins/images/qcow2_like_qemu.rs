//! Every kind of qcow2 image has the bytes and maps of `qemu-nbd`.

use nbdbox_tests::Random;

use super::folder::{Folder, assert_same, changes, write_mixed};

/// A size that is a multiple of nothing.
const SIZE: u64 = (5 << 20) + 12_800;

fn compare(folder: &Folder, what: &str, grants: &[&str], settings: &[&str], random: &mut Random) {
    let ours = folder.serve("qcow2", grants, settings);
    let theirs = folder.qemu_nbd(&["-f", "qcow2"], "top");
    assert_same(what, &ours.socket(), &theirs.socket(), random);
}

#[test]
fn versions_and_cluster_sizes() {
    let mut random = Random::seeded(1);
    for version in ["0.10", "1.1"] {
        for cluster in ["512", "1k", "4k", "64k", "256k", "2M"] {
            let options = format!("compat={version},cluster_size={cluster}");
            let folder = Folder::new();
            folder.create("qcow2", &["-o", &options], "top", SIZE);
            folder.change("qcow2", "top", &changes(&mut random, SIZE, 25));
            compare(&folder, &options, &["image=top:ro"], &[], &mut random);
        }
    }
}

#[test]
fn subclusters_alone_and_on_a_backing_file() {
    let mut random = Random::seeded(2);
    for cluster in ["16k", "64k", "2M"] {
        let options = format!("extended_l2=on,cluster_size={cluster}");
        let folder = Folder::new();
        folder.create("raw", &[], "base", SIZE / 2);
        folder.change("raw", "base", &changes(&mut random, SIZE / 2, 10));
        let base = folder.path("base");
        let words = ["-o", &options, "-F", "raw", "-b", base.to_str().unwrap()];
        folder.create("qcow2", &words, "top", SIZE);
        folder.change("qcow2", "top", &changes(&mut random, SIZE, 25));
        let grants = ["image=top:ro", "base=base:map-only"];
        compare(&folder, &options, &grants, &["backing=base"], &mut random);
    }
}

#[test]
fn compressed_clusters() {
    let mut random = Random::seeded(3);
    for kind in ["zlib", "zstd"] {
        for cluster in ["512", "4k", "64k", "2M"] {
            let options = format!("compression_type={kind},cluster_size={cluster}");
            let folder = Folder::new();
            write_mixed(&folder.path("raw"), &mut random, 3_000_320);
            folder.qemu_img(&format!(
                "convert -c -f raw -O qcow2 -o {options} @raw @top"
            ));
            // Some clusters are written again, without compression.
            folder.change("qcow2", "top", &changes(&mut random, 3_000_320, 3));
            compare(&folder, &options, &["image=top:ro"], &[], &mut random);
        }
    }
}

#[test]
fn chains_whose_files_are_shorter_and_longer() {
    let mut random = Random::seeded(4);
    let sizes = [SIZE / 2 + 512, SIZE + 70_144, SIZE - 1536, SIZE];
    for depth in 1..=3 {
        let folder = Folder::new();
        folder.create("qcow2", &["-o", "cluster_size=4k"], "file0", sizes[0]);
        folder.change("qcow2", "file0", &changes(&mut random, sizes[0], 15));
        let (mut grants, mut names) = (vec!["image=top:ro".to_owned()], Vec::new());
        for (index, size) in sizes.iter().enumerate().take(depth + 1).skip(1) {
            let name = if index == depth {
                "top".to_owned()
            } else {
                format!("file{index}")
            };
            let below = folder.path(&format!("file{}", index - 1));
            let options = format!("cluster_size={}k", 4 << (index * 2));
            let words = ["-o", &options, "-F", "qcow2", "-b", below.to_str().unwrap()];
            folder.create("qcow2", &words, &name, *size);
            folder.change("qcow2", &name, &changes(&mut random, *size, 12));
            names.insert(0, format!("file{}", index - 1));
            grants.push(format!("file{0}=file{0}:ro", index - 1));
        }
        let backing = format!("backing={}", names.join(","));
        let grants: Vec<&str> = grants.iter().map(String::as_str).collect();
        compare(&folder, &backing, &grants, &[&backing], &mut random);
    }
}

#[test]
fn an_external_data_file() {
    let mut random = Random::seeded(5);
    for raw in ["on", "off"] {
        let folder = Folder::new();
        let data = folder.path("data");
        let options = format!("data_file={},data_file_raw={raw}", data.display());
        folder.create("qcow2", &["-o", &options], "top", SIZE);
        folder.change("qcow2", "top", &changes(&mut random, SIZE, 12));
        let grants = ["image=top:ro", "data=data:map-only"];
        compare(&folder, &options, &grants, &["data=data"], &mut random);
    }
}

#[test]
fn a_backing_image_with_an_external_data_file() {
    let mut random = Random::seeded(7);
    let folder = Folder::new();
    let options = format!("data_file={}", folder.path("data").display());
    folder.create("qcow2", &["-o", &options], "base", SIZE);
    folder.change("qcow2", "base", &changes(&mut random, SIZE, 12));
    let base = folder.path("base");
    let words = ["-F", "qcow2", "-b", base.to_str().unwrap()];
    folder.create("qcow2", &words, "top", SIZE);
    folder.change("qcow2", "top", &changes(&mut random, SIZE, 6));
    let grants = ["image=top:ro", "base=base:ro", "data=data:map-only"];
    let settings = ["backing=base", "data=data"];
    compare(&folder, "data below", &grants, &settings, &mut random);
}

#[test]
fn internal_snapshots() {
    let mut random = Random::seeded(6);
    let folder = Folder::new();
    folder.create("qcow2", &["-o", "cluster_size=4k"], "top", SIZE);
    for name in ["first", "second"] {
        folder.change("qcow2", "top", &changes(&mut random, SIZE, 12));
        folder.qemu_img(&format!("snapshot -c {name} @top"));
    }
    folder.change("qcow2", "top", &changes(&mut random, SIZE, 12));
    compare(&folder, "now", &["image=top:ro"], &[], &mut random);
    for (setting, wanted) in [("first", "first"), ("second", "second"), ("2", "second")] {
        let ours = folder.serve(
            "qcow2",
            &["image=top:ro"],
            &[&format!("snapshot={setting}")],
        );
        let load = format!("snapshot.name={wanted}");
        let theirs = folder.qemu_nbd(&["-f", "qcow2", "-l", &load], "top");
        assert_same(setting, &ours.socket(), &theirs.socket(), &mut random);
    }
}
