//! GPTs of many shapes, read by both partition plugins.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use nbdbox_tests::Disk;

use super::partition_tables::{Gpt, SECTOR};
use super::partition_twins::Tool::{self, Parted, Partx, Partx4096, Sfdisk};
use super::partition_twins::{ask_both, assert_listed, assert_refused};

#[test]
fn a_gpt_of_any_shape_is_found() {
    let plain = Gpt::default();
    let cases: [(&str, &[Tool], Gpt); 12] = [
        ("as it's usual", &[Sfdisk, Partx, Parted], plain),
        (
            "the protective entry is the last one",
            &[Sfdisk, Partx],
            Gpt {
                protective: 3,
                ..plain
            },
        ),
        (
            "a hybrid table",
            &[Sfdisk, Partx],
            Gpt {
                protective: 1,
                hybrid: true,
                ..plain
            },
        ),
        (
            "entries of 256 bytes",
            &[Sfdisk],
            Gpt {
                entry: 256,
                ..plain
            },
        ),
        (
            "entries of 4096 bytes",
            &[Sfdisk],
            Gpt {
                entry: 4096,
                ..plain
            },
        ),
        (
            "entries of 136 bytes",
            &[Sfdisk],
            Gpt {
                entry: 136,
                ..plain
            },
        ),
        ("four entries", &[Sfdisk, Partx], Gpt { count: 4, ..plain }),
        (
            "256 entries",
            &[Sfdisk, Partx],
            Gpt {
                count: 256,
                ..plain
            },
        ),
        (
            "a header as long as a sector",
            &[Sfdisk, Partx],
            Gpt {
                header: 512,
                ..plain
            },
        ),
        (
            "a partition outside of what's usable",
            &[Sfdisk],
            Gpt {
                usable_from: 5000,
                ..plain
            },
        ),
        (
            "sectors of 4096 bytes",
            &[Partx4096],
            Gpt {
                sector: 4096,
                ..plain
            },
        ),
        (
            "sectors of 4096 bytes, the third place, a long header",
            &[Partx4096],
            Gpt {
                sector: 4096,
                protective: 2,
                header: 4000,
                count: 32,
                ..plain
            },
        ),
    ];
    for (what, tools, gpt) in cases {
        let bytes = gpt.disk();
        let intact = assert_listed(what, &bytes, tools)[&1];
        let disk = Disk::holding(&bytes);
        let file = File::options().write(true).open(disk.path()).unwrap();
        for spoilt in [0, 16, 40, gpt.sector + 40] {
            let place = gpt.sector + spoilt;
            let byte = bytes[usize::try_from(place).unwrap()];
            file.write_all_at(&[byte ^ 1], place).unwrap();
            // The copy has the same partitions. libblkid doesn't read a copy with sectors of 4096 bytes, so the test
            // uses no other tool.
            let found = ask_both(&disk, 1, "");
            assert_eq!(found, [Ok(intact), Ok(intact)], "{what}: {spoilt}");
            file.write_all_at(&[byte], place).unwrap();
        }
    }
}

#[test]
fn a_gpt_whose_copy_is_damaged_too_is_refused_by_both() {
    for sector in [SECTOR, 4096] {
        let gpt = Gpt {
            sector,
            ..Gpt::default()
        };
        let good = gpt.disk();
        let copy = good.len() as u64 - sector;
        for (place, words) in [
            (0, "is damaged: wrong signature"),
            (13, "is damaged: wrong header length"),
            (16, "is damaged: wrong header checksum"),
            (50, "is damaged: wrong header checksum"),
            (sector + 40, "is damaged: wrong checksum of the entries"),
        ] {
            let mut bytes = good.clone();
            bytes[usize::try_from(sector + place).unwrap()] ^= 0x81;
            let place = if place < sector {
                copy + place
            } else {
                gpt.copy_of_entries() + 40
            };
            bytes[usize::try_from(place).unwrap()] ^= 0x81;
            assert_refused(&bytes, 1, "", words);
        }
        let other = if sector == SECTOR {
            "sectorsize=4096"
        } else {
            "sectorsize=512"
        };
        assert_refused(&good, 1, other, "is damaged: wrong signature");
        assert_refused(
            &good[..good.len() / 2],
            1,
            "",
            "it belongs to a larger disk",
        );
        let tiny = Gpt {
            entry: 64,
            sector,
            ..gpt
        };
        assert_refused(&tiny.disk(), 1, "", "wrong size of the entries");
    }
}
