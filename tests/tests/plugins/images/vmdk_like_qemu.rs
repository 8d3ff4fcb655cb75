//! Every kind of VMDK image has the bytes and maps of `qemu-nbd`.

use std::fs;

use nbd_proto::Framing;
use nbdbox_tests::{Client, Random};

use super::folder::{Folder, assert_same, changes, write_mixed};

/// A size that isn't a multiple of a grain.
const SIZE: u64 = (5 << 20) + 12_800;

fn compare(folder: &Folder, what: &str, grants: &[&str], settings: &[&str], random: &mut Random) {
    let ours = folder.serve("vmdk", grants, settings);
    let theirs = folder.qemu_nbd(&["-f", "vmdk"], "top");
    assert_same(what, &ours.socket(), &theirs.socket(), random);
}

#[test]
fn sparse_files_with_and_without_zeroed_grains() {
    let mut random = Random::seeded(31);
    for zeroed in ["on", "off"] {
        for size in [SIZE, 64 << 10, 70 << 20] {
            let options = format!("subformat=monolithicSparse,zeroed_grain={zeroed}");
            let folder = Folder::new();
            folder.create("vmdk", &["-o", &options], "top", size);
            let count = if size < SIZE { 1 } else { 25 };
            folder.change("vmdk", "top", &changes(&mut random, size - 2048, count));
            let what = format!("{options} size={size} raw=on");
            compare(&folder, &what, &["image=top:ro"], &[], &mut random);
        }
    }
}

#[test]
fn a_descriptor_is_as_long_as_it_is() {
    let mut random = Random::seeded(37);
    let folder = Folder::new();
    folder.create("vmdk", &["-o", "subformat=monolithicSparse"], "top", SIZE);
    folder.change("vmdk", "top", &changes(&mut random, SIZE - 2048, 5));
    for sectors in [1, 1 << 20, 1 << 54, 1 << 61, u64::MAX] {
        folder.patch("top", 36, &sectors.to_le_bytes());
        let what = format!("a descriptor of {sectors} sectors");
        compare(&folder, &what, &["image=top:ro"], &[], &mut random);
    }
}

#[test]
fn compressed_grains_of_a_stream() {
    let mut random = Random::seeded(32);
    for size in [3_000_320, 1 << 20, 9 << 20] {
        let folder = Folder::new();
        write_mixed(&folder.path("raw"), &mut random, size);
        folder.qemu_img("convert -f raw -O vmdk -o subformat=streamOptimized @raw @top");
        // In the small image every grain may have data.
        let what = format!("streamOptimized size={size} raw=on");
        compare(&folder, &what, &["image=top:ro"], &[], &mut random);
        with_a_footer(&folder);
        let what = format!("{what}, with a footer");
        compare(&folder, &what, &["image=top:ro"], &[], &mut random);
        // The file ends after the last marker, inside the marker's sector.
        let length = fs::metadata(folder.path("top")).unwrap().len();
        folder.cut("top", length - 512 + 16);
        let what = format!("{what}, which ends early");
        compare(&folder, &what, &["image=top:ro"], &[], &mut random);
    }
}

/// Moves the place of the grain directory from the header into a footer, as VMware's tools do.
fn with_a_footer(folder: &Folder) {
    let mut bytes = fs::read(folder.path("top")).unwrap();
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    let header = bytes[..512].to_vec();
    bytes[56..64].fill(0xff);
    let mut marker = [0; 512];
    marker[0] = 1;
    marker[12] = 3;
    bytes.extend(marker);
    bytes.extend(header);
    bytes.extend([0; 512]);
    fs::write(folder.path("top"), bytes).unwrap();
}

#[test]
fn extents_of_a_descriptor() {
    let mut random = Random::seeded(33);
    let folder = Folder::new();
    // Whole grains, because QEMU reads past the end of an extent whose last grain is short.
    for (name, size) in [("one", 5 << 20), ("two", 3 << 20)] {
        folder.create("vmdk", &["-o", "subformat=monolithicSparse"], name, size);
        folder.change("vmdk", name, &changes(&mut random, size, 15));
    }
    write_mixed(&folder.path("flat"), &mut random, 2 << 20);
    let [one, two, flat] = [5 << 20, 3 << 20, 1 << 20].map(|bytes: u64| bytes / 512);
    let descriptor = format!(
        "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\n\
         createType=\"twoGbMaxExtentSparse\"\n\
         RW {one} SPARSE \"one\"\nRW {flat} FLAT \"flat\" 1000\nRW {two} SPARSE \"two\"\n"
    );
    fs::write(folder.path("top"), descriptor).unwrap();
    let grants = ["image=top:ro", "a=one:ro", "b=flat:map-only", "c=two:ro"];
    compare(
        &folder,
        "extents raw=on",
        &grants,
        &["extents=a,b,c"],
        &mut random,
    );
}

#[test]
fn descriptors_in_any_spelling() {
    let folder = Folder::new();
    let mut random = Random::seeded(35);
    write_mixed(&folder.path("a b.bin"), &mut random, 1 << 20);
    let raw = fs::read(folder.path("a b.bin")).unwrap();
    let plain = "version=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\n\
                 RW 2048 FLAT \"a b.bin\" 0\n";
    let texts = [
        plain.to_owned(),
        format!("# Disk DescriptorFile\n{plain}"),
        format!("#disk descriptor FILE\n{plain}"),
        format!("# made by a tool\n\n  \n# Disk DescriptorFile\n{plain}"),
        format!("\u{feff}# Disk DescriptorFile\n{plain}"),
        format!("# Disk DescriptorFile\n{plain}").replace('\n', "\r\n"),
        plain.replace('\n', "\r"),
        plain.replace('=', " = ").replace("CID", "cid"),
        plain.replace("monolithicFlat", "custom"),
        plain.replace("RW 2048 FLAT", "rw\t2048  flat"),
        plain.replace(" 0\n", " 0 \"device\" 0123-4567 more\n"),
        plain.replace(
            " 0\n",
            "\n# RW 9 ZERO\n#RW 9 ZERO\nddb.adapterType = \"ide\"\n",
        ),
        format!("{plain}\0RW 9 ZERO\n"),
        "RW 2048 FLAT \"a b.bin\" 0".to_owned(),
    ];
    for text in texts {
        fs::write(folder.path("top"), &text).unwrap();
        let grants = ["image=top:ro", "a=a b.bin:map-only"];
        let server = folder.serve("vmdk", &grants, &["extents=a"]);
        let mut client = Client::connect(&server.socket(), Framing::Extended);
        assert_eq!(client.size(), 1 << 20, "{text}");
        assert!(client.read(0, 1 << 20).unwrap() == raw, "{text}");
    }
}

#[test]
fn what_qemu_makes_with_extents() {
    let mut random = Random::seeded(34);
    for (format, extent, access) in [
        ("monolithicFlat", "top-flat.vmdk", "map-only"),
        ("twoGbMaxExtentFlat", "top-f001.vmdk", "map-only"),
        ("twoGbMaxExtentSparse", "top-s001.vmdk", "ro"),
    ] {
        let options = format!("subformat={format}");
        let folder = Folder::new();
        folder.create("vmdk", &["-o", &options], "top.vmdk", SIZE);
        folder.change("vmdk", "top.vmdk", &changes(&mut random, SIZE, 15));
        fs::copy(folder.path("top.vmdk"), folder.path("top")).unwrap();
        // The holes of this image follow the blocks of the file system, not those of the format.
        if extent.contains("-f") {
            let path = folder.path(extent);
            let bytes = fs::read(&path).unwrap();
            fs::remove_file(&path).unwrap();
            let bytes: Vec<u8> = bytes.into_iter().map(|byte| byte.max(1)).collect();
            fs::write(path, bytes).unwrap();
        }
        let grants = ["image=top:ro".to_owned(), format!("data={extent}:{access}")];
        let grants: Vec<&str> = grants.iter().map(String::as_str).collect();
        let what = format!("{options} raw=on");
        compare(&folder, &what, &grants, &["extents=data"], &mut random);
    }
}
