//! Texts and the disks that they describe.

use std::rc::Rc;

use data_format::{File, Files, Leaf, Picture, limits, picture};

/// `a`: the bytes 1 to 10. `big`: 100,000 bytes, which the plugin may not read.
struct Two;

impl Files for Two {
    fn open(&mut self, name: &str) -> Result<File, String> {
        match name {
            "a" => Ok(File {
                index: 0,
                size: 10,
                readable: true,
            }),
            "big" => Ok(File {
                index: 1,
                size: 100_000,
                readable: false,
            }),
            _ => Err("there is no such blob".into()),
        }
    }

    fn read(&mut self, file: usize, offset: u64, into: &mut [u8]) -> Result<(), String> {
        assert_eq!(file, 0);
        for (byte, at) in into.iter_mut().zip(offset..) {
            *byte = u8::try_from(at + 1).unwrap();
        }
        Ok(())
    }
}

fn disk(text: &str) -> Result<Rc<Picture>, String> {
    let variables = |name: &str| (name == "word").then(|| "1 \"x\"".to_owned());
    picture(text, &variables, &mut Two).map_err(|error| error.to_string())
}

/// The bytes of a disk without files that may not be read.
fn bytes(text: &str) -> Vec<u8> {
    let disk = disk(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < disk.size() {
        let (leaf, length) = disk.leaf(bytes.len() as u64);
        let length = usize::try_from(length.min(disk.size() - bytes.len() as u64)).unwrap();
        match leaf {
            Leaf::Zero => bytes.resize(bytes.len() + length, 0),
            Leaf::Bytes(part) => bytes.extend(&part[..length]),
            Leaf::Fill(byte) => bytes.resize(bytes.len() + length, byte),
            Leaf::File { index, offset, .. } => {
                let start = bytes.len();
                bytes.resize(start + length, 0);
                Two.read(index, offset, &mut bytes[start..]).unwrap();
            }
        }
    }
    bytes
}

#[test]
fn bytes_stand_one_after_the_other() {
    assert_eq!(bytes("1 0x2 03 \"ab\\x00\\n\""), b"\x01\x02\x03ab\0\n");
    assert_eq!(
        bytes("le16:1 be16:1 le32:0x01020304"),
        [1, 0, 0, 1, 4, 3, 2, 1]
    );
    assert_eq!(bytes("1 # 2\n3"), [1, 3]);
    assert_eq!(bytes(""), [0; 0]);
}

#[test]
fn offsets_move_and_make_the_disk_as_large() {
    assert_eq!(bytes("1 @4 2"), [1, 0, 0, 0, 2]);
    assert_eq!(bytes("1 @+1 2 @-1 3"), [1, 0, 3]);
    assert_eq!(bytes("1 @^4"), [1, 0, 0, 0]);
    assert_eq!(bytes("@3"), [0; 3]);
    assert!(disk("@-1").unwrap_err().contains("before the start"));
}

#[test]
fn later_pieces_cover_earlier_ones_with_their_zeroes() {
    assert_eq!(bytes("1*6 @1 ( @2 2 )"), [1, 0, 0, 2, 1, 1]);
    assert_eq!(bytes("1*6 @2 0*2"), [1, 1, 0, 0, 1, 1]);
}

#[test]
fn groups_are_repeated_cut_and_named() {
    assert_eq!(bytes("(1 2)*3"), [1, 2, 1, 2, 1, 2]);
    assert_eq!(bytes("(1 2 3)[1:]"), [2, 3]);
    assert_eq!(bytes("(1 2 3)[:2]*2"), [1, 2, 1, 2]);
    assert_eq!(bytes("(1 2 3)[:]"), [1, 2, 3]);
    assert_eq!(bytes("(1 2) -> \\a \\a 3 \\a"), [1, 2, 3, 1, 2]);
    assert_eq!(bytes("$word*2"), b"\x01x\x01x");
    assert!(disk("(1 2)[:3]").is_err());
}

#[test]
fn a_name_is_seen_inside_and_not_outside() {
    assert_eq!(bytes("1 -> \\a ( \\a 2 -> \\a \\a ) \\a"), [1, 2, 1]);
    assert!(disk("( 1 -> \\a ) \\a").unwrap_err().contains("\\a"));
    // The value of a name has the names that were defined before it.
    assert_eq!(bytes("1 -> \\a \\a -> \\b 2 -> \\a \\b"), [1]);
}

#[test]
fn files_are_put_whole_or_in_part() {
    assert_eq!(bytes("<a[2:4]*2"), [3, 4, 3, 4]);
    assert_eq!(bytes("0 <a[8:]"), [0, 9, 10]);
    // The blob has no more bytes.
    assert_eq!(bytes("<a[8:100]"), [9, 10]);
    assert!(disk("<c").unwrap_err().contains("no such blob"));
}

#[test]
fn large_files_stay_where_they_are() {
    let disk = disk("1 <big 2").unwrap();
    assert_eq!(disk.size(), 100_002);
    let expected = Leaf::File {
        index: 1,
        offset: 4999,
        readable: false,
    };
    assert_eq!(disk.leaf(5000), (expected, 100_001 - 5000));
    assert_eq!(disk.leaf(100_001), (Leaf::Bytes(&[2]), 1));
}

#[test]
fn repetitions_take_no_room() {
    let disk = disk("( 0x55 0xAA )*1000000000000 1").unwrap();
    assert_eq!(disk.size(), 2_000_000_000_001);
    let (Leaf::Bytes(part), length) = disk.leaf(1_000_000_000_001) else {
        panic!()
    };
    assert_eq!(part[..3], [0xaa, 0x55, 0xaa]);
    assert_eq!(part.len() as u64, length);
    assert_eq!(disk.leaf(disk.size() - 1), (Leaf::Bytes(&[1]), 1));
}

#[test]
fn pages_are_data_where_something_isnt_zero() {
    const PAGE: u64 = 1 << 15;
    let disk = disk("@0x10000 1 @^0x8000 @+0x8000 (1 2)*1000000 @+1000000").unwrap();
    let page = |page| disk.page(page * PAGE, PAGE, &mut 1000);
    assert_eq!(page(0), (false, 2 * PAGE));
    assert_eq!(page(2), (true, PAGE));
    assert_eq!(page(3), (false, PAGE));
    assert_eq!(page(4), (true, 2_000_000 / PAGE * PAGE));
    assert_eq!(page(4 + 2_000_000 / PAGE).0, true);
    assert_eq!(page(6 + 2_000_000 / PAGE).0, false);
}

#[test]
fn texts_past_the_limits_are_refused() {
    for text in [
        format!("@{}", u64::MAX),
        format!("@{} 1", limits::SIZE),
        "(1 2)*9223372036854775807".to_owned(),
        "1*1000000000000*1000000000000".to_owned(),
        "(1)".repeat(300_000),
    ] {
        assert!(disk(&text).is_err(), "{:.40}", text);
    }
}

#[test]
fn names_in_names_are_worked_out_once_or_refused() {
    let mut text = "1 -> \\v0 ".to_owned();
    for level in 0..40 {
        text += &format!("(\\v{level} \\v{level}) -> \\v{} ", level + 1);
    }
    assert_eq!(disk(&format!("{text} \\v40")).unwrap().size(), 1 << 40);
    let mut text = "1 -> \\v0 ".to_owned();
    for level in 0..10_000 {
        text += &format!("(\\v{level} 1) -> \\v{} ", level + 1);
    }
    assert!(disk(&format!("{text} \\v10000")).is_err());
    let mut text = "1 @100000 -> \\v ".to_owned();
    for _ in 0..10_000 {
        text += "(\\v @+40000 1) -> \\v \\v ";
    }
    assert!(disk(&text).is_err());
}
