//! Rust: an image in zstd's seekable format, whose frames the program `zstd` made.

use std::fs;

use nbdbox_tests::{Disk, Random, Server, nbdbox, plugin, run, shell};

use super::keeps_the_contract;

const FRAME: usize = 50_000;

/// The image, frame by frame, with the table of the format.
fn seekable(bytes: &[u8]) -> Vec<u8> {
    let (mut image, mut table) = (Vec::new(), Vec::new());
    for part in bytes.chunks(FRAME) {
        let plain = Disk::holding(part);
        let path = plain.path().display().to_string();
        let _ = shell(&format!("zstd -q -c {path} > {path}.zst")).ok();
        let frame = fs::read(format!("{path}.zst")).unwrap();
        for size in [frame.len(), part.len()] {
            table.extend(u32::try_from(size).unwrap().to_le_bytes());
        }
        image.extend(frame);
    }
    let count = u32::try_from(table.len() / 8).unwrap();
    let length = u32::try_from(table.len() + 9).unwrap();
    image.extend(0x184D_2A5E_u32.to_le_bytes());
    image.extend(length.to_le_bytes());
    image.extend(table);
    image.extend(count.to_le_bytes());
    image.push(0);
    image.extend(0x8F92_EAB1_u32.to_le_bytes());
    image
}

/// Bytes of which half are random and half compress well.
fn content() -> Vec<u8> {
    let random = Random::seeded(11).bytes(120_001);
    let text = b"all work and no play ".repeat(8000);
    [random, text].concat()
}

#[test]
fn a_compressed_image_is_read_frame_by_frame() {
    let bytes = content();
    let disk = Disk::holding(&seekable(&bytes));
    let grant = format!("image={}", disk.path().display());
    let server = Server::plugin("zstd", &["--blob", &grant]);
    for size in ["4096", "131072"] {
        let copy = server.folder().join(size);
        let (uri, to) = (server.uri(), copy.display().to_string());
        let _ = run("nbdcopy", ["--request-size", size, &uri, &to]).ok();
        assert!(fs::read(copy).unwrap() == bytes, "{size}");
    }
}

#[test]
fn an_image_that_lies_is_refused_in_words() {
    let good = seekable(&content());
    let refused = |image: &[u8]| {
        let disk = Disk::holding(image);
        let grant = format!("image={}", disk.path().display());
        let program = plugin("zstd");
        let program = program.to_str().unwrap();
        let ran = run(
            nbdbox(),
            ["serve", "--blob", &grant, program, "--run", "true"],
        );
        assert_eq!(ran.code, 1, "{ran:?}");
        ran.stderr
    };
    let seekable = "isn't in zstd's seekable format";
    assert!(refused(b"short").contains(seekable));
    assert!(refused(&good[..good.len() - 1]).contains(seekable));
    let table = good.len() - 9 - 8 * content().len().div_ceil(FRAME);
    let mut lying = good.clone();
    lying[table..table + 4].copy_from_slice(&1_000_000_u32.to_le_bytes());
    assert!(refused(&lying).contains("don't fit in the image"));
    lying[table..table + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(refused(&lying).contains("more than 1 MiB"));
}

#[test]
fn it_keeps_the_contract() {
    let disk = Disk::holding(&seekable(&content()));
    let grant = format!("image={}", disk.path().display());
    let program = plugin("zstd").display().to_string();
    keeps_the_contract(&["--blob", &grant, &program]);
}
