//! MBRs with logical partitions that no tool would write, read by both partition plugins.

use nbdbox_tests::Disk;

use super::partition_tables::{Entry, disk, link, mbr};
use super::partition_twins::Tool::{self, Parted, Partx, Sfdisk};
use super::partition_twins::{TWINS, ask, assert_listed, assert_refused};

/// The tables of a disk: the sector and the entries of each.
type Tables<'a> = &'a [(u64, &'a [Entry])];

const EXTENDED: Entry = (0x05, 4096, 20_000);

#[test]
fn logical_partitions_have_the_numbers_that_linux_gives_them() {
    let all = &[Sfdisk, Partx, Parted][..];
    let linux = &[Partx][..];
    let cases: [(&str, &[Tool], Tables); 14] = [
        (
            "links of all three kinds",
            all,
            &[
                (0, &[(0x83, 2048, 1000), (0x0f, 4096, 20_000)]),
                (4096, &[(0x83, 8, 100), (0x05, 1000, 500)]),
                (5096, &[(0x07, 8, 101), (0x0f, 2000, 500)]),
                (6096, &[(0x82, 8, 102), (0x85, 3000, 500)]),
                (7096, &[(0x83, 8, 103)]),
            ],
        ),
        (
            "an empty link first",
            all,
            &[
                (0, &[EXTENDED]),
                (4096, &[(0, 0, 0), (0x05, 1000, 500)]),
                (5096, &[(0x83, 8, 101), (0x05, 2000, 500)]),
                (6096, &[(0x83, 8, 102)]),
            ],
        ),
        (
            "empty links in the middle",
            all,
            &[
                (0, &[(0x83, 2048, 7), (0, 0, 0), EXTENDED]),
                (4096, &[(0x83, 8, 100), (0x05, 1000, 500)]),
                (5096, &[(0, 0, 0), (0x05, 2000, 500)]),
                (6096, &[(0, 0, 0), (0x05, 3000, 500)]),
                (7096, &[(0x83, 8, 102)]),
            ],
        ),
        (
            "a partition and a link of no sectors, though they have a kind",
            linux,
            &[
                (0, &[EXTENDED]),
                (4096, &[(0x83, 8, 0), (0x05, 1000, 500)]),
                (5096, &[(0x83, 8, 101), (0x05, 1500, 0)]),
            ],
        ),
        (
            "a partition without a kind",
            &[Sfdisk, Partx],
            &[
                (0, &[(0, 2048, 100), EXTENDED]),
                (4096, &[(0, 8, 100), (0x05, 1000, 500)]),
                (5096, &[(0x83, 8, 101)]),
            ],
        ),
        (
            "the way on stands before the partition",
            all,
            &[
                (0, &[EXTENDED]),
                (4096, &[(0x05, 1000, 500), (0x83, 8, 100)]),
                (5096, &[(0x83, 8, 101)]),
            ],
        ),
        (
            "links that lead back",
            all,
            &[
                (0, &[EXTENDED]),
                (4096, &[(0x83, 8, 100), (0x05, 3000, 500)]),
                (7096, &[(0x83, 8, 101), (0x05, 1000, 500)]),
                (5096, &[(0x83, 8, 102)]),
            ],
        ),
        (
            "a link with four entries",
            &[Partx, Parted],
            &[
                (0, &[EXTENDED]),
                (
                    4096,
                    &[
                        (0x83, 8, 100),
                        (0x05, 1000, 500),
                        (0x83, 200, 50),
                        (0x83, 300, 60),
                    ],
                ),
                (5096, &[(0x83, 8, 101)]),
            ],
        ),
        (
            "garbage in the third and the fourth entry",
            linux,
            &[
                (0, &[EXTENDED]),
                (
                    4096,
                    &[
                        (0x83, 8, 100),
                        (0x05, 1000, 500),
                        (0x83, 30_000, 5),
                        (0x83, 3, 100_000),
                    ],
                ),
                (5096, &[(0x83, 8, 101), (0, 0, 0), (0x83, 200, 5000)]),
            ],
        ),
        (
            "extended partitions inside one another",
            &[Sfdisk, Partx],
            &[
                (0, &[EXTENDED]),
                (
                    4096,
                    &[(0x83, 8, 100), (0x05, 1000, 5000), (0x05, 2000, 500)],
                ),
                (5096, &[(0x05, 3000, 400), (0x83, 8, 101)]),
                (7096, &[(0x83, 8, 103)]),
                (6096, &[(0x83, 8, 102)]),
            ],
        ),
        (
            "two extended partitions",
            linux,
            &[
                (
                    0,
                    &[(0x05, 4096, 4000), (0x83, 2048, 100), (0x0f, 10_000, 4000)],
                ),
                (4096, &[(0x83, 8, 100)]),
                (10_000, &[(0x83, 8, 101), (0x05, 500, 100)]),
                (10_500, &[(0x83, 8, 102)]),
            ],
        ),
        (
            "a link that isn't one",
            linux,
            &[
                (0, &[EXTENDED]),
                (4096, &[(0x83, 8, 100), (0x05, 1000, 500)]),
            ],
        ),
        (
            "a circle of two links",
            &[Partx, Parted],
            &[
                (0, &[EXTENDED]),
                (4096, &[(0x83, 8, 100), (0x05, 1000, 500)]),
                (5096, &[(0x83, 8, 101), (0x05, 0, 500)]),
            ],
        ),
        (
            "a circle behind two links",
            linux,
            &[
                (0, &[EXTENDED]),
                (4096, &[(0x83, 8, 100), (0x05, 1000, 500)]),
                (5096, &[(0x83, 8, 101), (0x05, 2000, 500)]),
                (6096, &[(0x83, 8, 102), (0x05, 3000, 500)]),
                (7096, &[(0x83, 8, 103), (0x05, 2000, 500)]),
            ],
        ),
    ];
    for (what, tools, tables) in cases {
        let mut bytes = disk(32_768);
        for (sector, entries) in tables {
            mbr(&mut bytes, *sector, entries);
        }
        assert_listed(what, &bytes, tools);
    }
}

#[test]
fn a_chain_is_as_long_as_it_is() {
    let mut bytes = disk(8 + 8 * 768);
    mbr(&mut bytes, 0, &[(5, 8, 8 * 768)]);
    for number in 0..768 {
        link(
            &mut bytes,
            8,
            8 * number,
            (4, 1),
            (number < 767).then(|| 8 * (number + 1)),
        );
    }
    assert_listed("768 logical partitions", &bytes, &[Partx]);
    let long = Disk::holding(&bytes);
    for twin in TWINS {
        for number in [132, 133, 700] {
            let first = 8 + 8 * (number - 5) + 4;
            assert_eq!(ask(twin, &long, number, "").unwrap(), (first, 1), "{twin}");
        }
    }
    // The last link leads to one in the middle.
    link(&mut bytes, 8, 8 * 767, (4, 1), Some(8 * 300));
    for number in [773, 774, u64::MAX] {
        assert_refused(&bytes, number, "", "is a circle");
    }
    let circle = Disk::holding(&bytes);
    for twin in TWINS {
        assert_eq!(ask(twin, &circle, 772, "").unwrap().1, 1, "{twin}");
    }
}

#[test]
fn a_table_that_lies_is_refused_by_both() {
    let with = |tables: Tables| {
        let mut bytes = disk(16_384);
        for (sector, entries) in tables {
            mbr(&mut bytes, *sector, entries);
        }
        bytes
    };
    let cases: [(Tables, u64, &str); 9] = [
        (&[(0, &[(0x83, 1, 1)])], 0, "the first partition is 1"),
        (&[(0, &[(0x83, 1, 1)])], 5, "without an extended partition"),
        (&[(0, &[(0x83, u32::MAX, 1)])], 1, "isn't inside the disk"),
        (&[(0, &[(0x83, 1, u32::MAX)])], 1, "isn't inside the disk"),
        (&[(0, &[(0x83, 0, 1)])], 1, "isn't inside the disk"),
        (&[(0, &[(0x05, 0, 100)])], 5, "no such partition"),
        (
            &[(0, &[(0x05, 64, 64)]), (64, &[(0x83, 60, 8)])],
            5,
            "isn't inside the extended partition",
        ),
        (
            &[
                (0, &[(0x05, 64, 64)]),
                (64, &[(0, 0, 0), (0x05, u32::MAX, 8)]),
            ],
            5,
            "points past the end of the disk",
        ),
        (&[(0, &[(0x05, 64, 64)])], 5, "is broken"),
    ];
    for (tables, number, words) in cases {
        assert_refused(&with(tables), number, "", words);
    }
    let good = with(&[(0, &[(0x83, 1, 1)])]);
    assert_refused(&good, 1, "sectorsize=1024", "must be 512 or 4096");
    assert_refused(&good[..511], 1, "", "smaller than a sector");
    assert_refused(&vec![0; 8192], 1, "", "no partition table");
}
