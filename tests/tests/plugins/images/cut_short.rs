//! Images whose file ends too early: the bytes of `qemu-nbd`, an error where it has one, and one warning.

use std::fs;

use nbd_proto::{Errno, Framing};
use nbdbox_tests::{Client, Random, Server, plugin, run};

use super::bad::warnings_of_cuts;
use super::folder::{Folder, assert_same_bytes};

const SIZE: u64 = 6 << 20;

/// The bytes of one read.
const PIECE: u32 = 32 << 10;

/// Makes an image called `whole`, whose bytes are data without a 0, and holes.
fn create(folder: &Folder, format: &str, options: &str) -> u64 {
    let mut random = Random::seeded(71);
    let mut bytes = random.bytes(usize::try_from(SIZE).unwrap());
    for hole in bytes.chunks_mut(64 << 10).skip(1).step_by(3) {
        hole.fill(0);
    }
    fs::write(folder.path("raw"), bytes).unwrap();
    folder.qemu_img(
        format!("convert -f raw -O {format} {options} @raw @whole")
            .replace("  ", " ")
            .as_str(),
    );
    fs::metadata(folder.path("whole")).unwrap().len()
}

/// As [`create`], with bytes that compress well, up to the end of the disk.
fn create_compressible(folder: &Folder, format: &str, options: &str) -> u64 {
    let mut random = Random::seeded(73);
    let bytes = random.bytes(usize::try_from(SIZE).unwrap());
    let bytes: Vec<u8> = bytes.iter().map(|byte| b'a' + byte % 16).collect();
    fs::write(folder.path("raw"), bytes).unwrap();
    folder.qemu_img(&format!("convert -f raw -O {format} {options} @raw @whole"));
    fs::metadata(folder.path("whole")).unwrap().len()
}

/// Cuts the image to a length. Asserts that the plugin returns what `qemu-nbd` does, and that it warns once if it reads
/// anything past the end of the file.
fn assert_like_qemu(folder: &Folder, plugin: &str, format: &str, length: u64) {
    let what = format!("{format} of {length} bytes");
    let _ = fs::copy(folder.path("whole"), folder.path("top")).unwrap();
    folder.cut("top", length);
    let ours = folder.serve(plugin, &["image=top:ro"], &[]);
    let theirs = folder.qemu_nbd(&["-f", format], "top");
    let mut client = Client::connect(&ours.socket(), Framing::Extended);
    // With structured replies it hangs up instead of sending an error.
    let mut their_client = Client::connect(&theirs.socket(), Framing::Simple);
    let size = their_client.size();
    assert_eq!(client.size(), size, "{what}");
    let raw = fs::read(folder.path("raw")).unwrap();
    let (mut lost, mut failed) = (false, false);
    for at in (0..size).step_by(PIECE as usize) {
        let length = PIECE.min(u32::try_from(size - at).unwrap());
        match (client.read(at, length), their_client.read(at, length)) {
            (Ok(got), Ok(expected)) => {
                assert!(got == expected, "{what}: {length} bytes at {at}");
                let place = usize::try_from(at).unwrap()
                    ..raw.len().min(usize::try_from(at).unwrap() + got.len());
                lost |= got[..place.len()] != raw[place];
            }
            (Err(error), Err(_)) => {
                assert_eq!(error.errno, Errno::Eio, "{what}");
                failed = true;
            }
            (got, expected) => panic!("{what}: {at}: {:?}, {:?}", got.err(), expected.err()),
        }
    }
    let map = client.map(0, size, size);
    assert_eq!(
        map.iter().map(|extent| extent.length).sum::<u64>(),
        size,
        "{what}"
    );
    if !failed {
        // Many instances read at once.
        let copy = folder.path("copy");
        let _ = run("nbdcopy", [&ours.uri(), copy.to_str().unwrap()]).ok();
    }
    let warnings = warnings_of_cuts(&ours);
    assert_eq!(warnings > 0, lost, "{what}: {}", ours.log());
    assert!(warnings <= 1, "{what}: {}", ours.log());
}

#[test]
fn tables_and_data_of_qcow2_that_are_not_there_are_zeroes() {
    let folder = Folder::new();
    let whole = create(&folder, "qcow2", "-o cluster_size=64k");
    // The cuts are in the last cluster, between clusters, in the L2 table, before it, and in the L1 table.
    for length in [
        whole - 1,
        whole - 512,
        whole - 70_001,
        whole / 2,
        (4 << 16) + 300,
        4 << 16,
        (3 << 16) + 3,
    ] {
        assert_like_qemu(&folder, "qcow2", "qcow2", length);
    }
}

/// QEMU pads a cut cluster with zeroes, and may decompress it.
#[test]
fn compressed_clusters_of_qcow2_that_are_cut_are_read_on_in_zeroes() {
    let folder = Folder::new();
    for options in ["-c -o cluster_size=64k", "-c -o compression_type=zstd"] {
        let whole = create_compressible(&folder, "qcow2", options);
        for length in [1, 511, 512, 513, 5000].map(|cut| whole - cut) {
            assert_like_qemu(&folder, "qcow2", "qcow2", length);
        }
    }
}

#[test]
fn grains_of_vmdk_that_are_not_there_are_zeroes() {
    let folder = Folder::new();
    let whole = create(&folder, "vmdk", "-o subformat=monolithicSparse");
    for length in [whole - 1, whole - 512, whole - 70_001, whole / 2, 64 << 10] {
        assert_like_qemu(&folder, "vmdk", "vmdk", length);
    }
}

#[test]
fn streams_of_vmdk_that_are_not_whole_are_an_error() {
    let folder = Folder::new();
    let whole = create(&folder, "vmdk", "-o subformat=streamOptimized");
    for length in [whole - 1, whole - 1000, whole - 70_001, whole / 2] {
        assert_like_qemu(&folder, "vmdk", "vmdk", length);
    }
}

#[test]
fn flat_extents_that_are_too_short_are_zeroes_behind_their_end() {
    let folder = Folder::new();
    let _whole = create(&folder, "raw", "-W");
    folder.qemu_img("convert -f raw -O vmdk -o subformat=monolithicFlat @raw @flat.vmdk");
    for length in [SIZE - 1, SIZE - 1000, SIZE / 2 + 7] {
        folder.cut("flat-flat.vmdk", length);
        let grants = ["image=flat.vmdk:ro", "a=flat-flat.vmdk:map-only"];
        let ours = folder.serve("vmdk", &grants, &["extents=a"]);
        let theirs = folder.qemu_nbd(&["-f", "vmdk"], "flat.vmdk");
        let mut random = Random::seeded(72);
        assert_same_bytes("flat", &ours.socket(), &theirs.socket(), &mut random);
        assert_eq!(warnings_of_cuts(&ours), 1, "{}", ours.log());
    }
}

#[test]
fn blocks_of_vdi_that_are_not_there_are_zeroes() {
    for options in ["-o static=off", "-o static=on"] {
        let folder = Folder::new();
        let whole = create(&folder, "vdi", options);
        // The cuts are in the last block, in another one, and in the first.
        for length in [whole - 1, whole - 512, whole - 70_001, whole / 2, 1100] {
            assert_like_qemu(&folder, "vdi", "vdi", length);
        }
    }
}

/// Each instance detects the end of the file itself.
#[test]
fn many_instances_warn_once() {
    let folder = Folder::new();
    let whole = create(&folder, "qcow2", "-o cluster_size=64k");
    let _ = fs::copy(folder.path("whole"), folder.path("top")).unwrap();
    folder.cut("top", whole / 2);
    let config = format!(
        "[[listener]]\nname = \"l\"\nunix = \"FOLDER/socket\"\n[tenant.a]\nclients = [{{ listener = \"l\" }}]\n\
         [[tenant.a.export]]\nname = \"\"\nplugin = \"{}\"\nblobs = {{ image = \"{}:ro\" }}\n",
        plugin("qcow2").display(),
        folder.path("top").display()
    );
    let server = Server::hosting(&config);
    for _ in 0..3 {
        // The server drops idle instances when nobody is connected, so each client has a fresh one.
        let mut client = Client::connect(&server.socket(), Framing::Extended);
        let size = client.size();
        assert_eq!(client.read(size - 4096, 4096).unwrap(), [0; 4096]);
        drop(client);
        let copy = folder.path("copy");
        let _ = run("nbdcopy", [&server.uri(), copy.to_str().unwrap()]).ok();
    }
    let log = server.log();
    assert_eq!(warnings_of_cuts(&server), 1, "{log}");
    assert!(
        log.matches("the image is cut short").count() > 1,
        "all of them are the same instance's: {log}"
    );
}

#[test]
fn a_footer_of_vhd_may_be_short() {
    for options in ["-o subformat=dynamic", "-o subformat=fixed,force_size=on"] {
        let folder = Folder::new();
        let whole = create(&folder, "vpc", options);
        for length in [whole, whole - 1, whole - 100] {
            assert_like_qemu(&folder, "vhd", "vpc", length);
        }
    }
}

/// QEMU doesn't open such images. nbdbox reads the part that exists; the rest is an error.
#[test]
fn data_of_vhd_and_vhdx_that_is_not_there_is_an_error() {
    for (format, plugin) in [("vpc", "vhd"), ("vhdx", "vhdx")] {
        let folder = Folder::new();
        let whole = create(&folder, format, "-o subformat=dynamic");
        let raw = fs::read(folder.path("raw")).unwrap();
        for length in [whole - 2_500_000, whole - (4 << 20)] {
            let _ = fs::copy(folder.path("whole"), folder.path("top")).unwrap();
            folder.cut("top", length);
            let server = folder.serve(plugin, &["image=top:ro"], &[]);
            let mut client = Client::connect(&server.socket(), Framing::Extended);
            let (mut good, mut bad) = (0, 0);
            for at in (0..SIZE).step_by(PIECE as usize) {
                let place = usize::try_from(at).unwrap();
                match client.read(at, PIECE) {
                    Ok(bytes) => {
                        assert!(bytes == raw[place..place + bytes.len()], "{format}: {at}");
                        good += 1;
                    }
                    Err(error) => {
                        assert_eq!(error.errno, Errno::Eio);
                        assert!(error.text.contains("past the end"), "{}", error.text);
                        bad += 1;
                    }
                }
            }
            assert!(
                good > 0 && (bad > 0 || format == "vhdx"),
                "{format}: {good} and {bad}"
            );
        }
    }
}
