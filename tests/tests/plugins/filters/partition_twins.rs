//! The plugin `partition` and the filter `partition-filter` over the same disks: both find what Linux's tools
//! list, under the same numbers, and refuse the rest in the same words.

use std::collections::BTreeMap;

use nbdbox_tests::{Disk, Run, nbdbox, plugin, run, shell};

use super::partition_tables::{Gpt, SECTOR, disk, link, mbr};

/// Where partitions are, by number: their first sector and how many there are, of 512 bytes.
type Partitions = BTreeMap<u64, (u64, u64)>;

/// Who lists the partitions of a disk. Each has its own weak points, so a case names whom it asks.
#[derive(Clone, Copy, Debug)]
enum Tool {
    /// libfdisk. It takes one partition of a link, and sectors of 512 bytes.
    Sfdisk,
    /// libblkid, which goes as the kernel does.
    Partx,
    /// The same, of a disk with sectors of 4096 bytes.
    Partx4096,
    /// libparted, where it's installed.
    Parted,
}

impl Tool {
    /// `None`: it isn't installed.
    fn list(self, disk: &Disk) -> Option<Partitions> {
        let path = disk.path().display().to_string();
        let partx = "partx -s -g -o NR,START,SECTORS";
        let script = match self {
            Self::Sfdisk => {
                let lines = "s/^.*disk([0-9]+) : start= *([0-9]+), size= *([0-9]+).*$/\\1 \\2 \\3/p";
                format!("sfdisk -d {path} | sed -En '{lines}'")
            }
            Self::Partx => format!("{partx} {path}"),
            Self::Partx4096 => format!("{partx} -S 4096 {path}"),
            Self::Parted => format!(
                "command -v parted >/dev/null || {{ echo missing; exit; }}
                 parted -s -m {path} unit s print | sed -En 's/^([0-9]+):([0-9]+)s:[0-9]+s:([0-9]+)s:.*$/\\1 \\2 \\3/p'"
            ),
        };
        let lines = shell(&format!("PATH=$PATH:/sbin:/usr/sbin; {script}")).ok();
        if lines.starts_with("missing") {
            return None;
        }
        let partition = |line: &str| {
            let mut words = line.split_whitespace().map(|word| word.parse().unwrap());
            let mut next = || words.next().unwrap();
            (next(), (next(), next()))
        };
        Some(lines.lines().map(partition).collect())
    }
}

/// The plugin and the filter.
const TWINS: [&str; 2] = ["partition", "partition-filter"];

/// What a twin does with a partition: its place, or words.
fn ask(twin: &str, disk: &Disk, number: u64, more: &str) -> Result<(u64, u64), String> {
    let program = plugin(twin).display().to_string();
    let file = plugin("file").display().to_string();
    let grant = format!("disk={}:ro", disk.path().display());
    let mut words = vec!["serve".to_owned(), "--blob".to_owned(), grant];
    if twin == "partition" {
        words.extend([program, format!("number={number}")]);
        words.extend((!more.is_empty()).then(|| more.to_owned()));
    } else {
        let more = if more.is_empty() {
            String::new()
        } else {
            format!(",{more}")
        };
        let filter = format!("{program},partition={number}{more}");
        words.extend(["--filter".to_owned(), filter, file]);
    }
    // Each sector begins with its own number.
    let look = "nbdcopy \"$uri\" - 2>/dev/null | od -An -N8 -tu8; nbdinfo --size \"$uri\"";
    words.extend(["--run".to_owned(), look.to_owned()]);
    let ran: Run = run(nbdbox(), words);
    if ran.code != 0 {
        return Err(ran.stderr);
    }
    let numbers: Vec<u64> = ran
        .stdout
        .split_whitespace()
        .map(|word| word.parse().unwrap())
        .collect();
    assert!(!ran.stderr.contains("refused"), "{}", ran.stderr);
    Ok((numbers[0], numbers[1] / SECTOR))
}

/// Holds that both twins find what the tools list, and nothing under the number that comes next.
fn assert_listed(what: &str, bytes: &[u8], tools: &[Tool]) {
    let disk = Disk::holding(bytes);
    let lists: Vec<Partitions> = tools.iter().filter_map(|tool| tool.list(&disk)).collect();
    let list = lists.first().unwrap();
    assert!(!list.is_empty(), "{what}: {tools:?} list nothing");
    for (tool, other) in tools.iter().zip(&lists) {
        assert_eq!(other, list, "{what}: {tool:?}");
    }
    let last = *list.keys().last().unwrap();
    for number in (1..=last + 1).filter(|number| *number < 12 || *number + 2 > last) {
        for twin in TWINS {
            match (ask(twin, &disk, number, ""), list.get(&number)) {
                (Ok(got), Some(place)) => assert_eq!(got, *place, "{what}: {number} of {twin}"),
                (Err(words), None) => assert!(
                    words.contains("there is no such partition"),
                    "{what}: {number} of {twin}: {words}"
                ),
                (got, listed) => panic!("{what}: {number} of {twin}: {got:?}, listed: {listed:?}"),
            }
        }
    }
}

/// Holds that both refuse a partition in these words.
fn assert_refused(bytes: &[u8], number: u64, more: &str, words: &str) {
    let disk = Disk::holding(bytes);
    for twin in TWINS {
        let said = ask(twin, &disk, number, more).unwrap_err();
        assert!(said.contains(words), "{number} of {twin}: {words}: {said}");
    }
}

use Tool::{Parted, Partx, Partx4096, Sfdisk};

const EXTENDED: (u8, u32, u32) = (0x05, 4096, 20_000);

#[test]
fn logical_partitions_have_the_numbers_that_linux_gives_them() {
    let all = &[Sfdisk, Partx, Parted][..];
    let linux = &[Partx][..];
    let cases: [(&str, &[Tool], &[(u64, &[(u8, u32, u32)])]); 14] = [
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
    let with = |tables: &[(u64, &[(u8, u32, u32)])]| {
        let mut bytes = disk(16_384);
        for (sector, entries) in tables {
            mbr(&mut bytes, *sector, entries);
        }
        bytes
    };
    let cases: [(&[(u64, &[(u8, u32, u32)])], u64, &str); 9] = [
        (&[(0, &[(0x83, 1, 1)])], 0, "partitions count from 1"),
        (&[(0, &[(0x83, 1, 1)])], 5, "without an extended one"),
        (&[(0, &[(0x83, u32::MAX, 1)])], 1, "isn't inside the disk"),
        (&[(0, &[(0x83, 1, u32::MAX)])], 1, "isn't inside the disk"),
        (&[(0, &[(0x83, 0, 1)])], 1, "isn't inside the disk"),
        (&[(0, &[(0x05, 0, 100)])], 5, "no such partition"),
        (
            &[(0, &[(0x05, 64, 64)]), (64, &[(0x83, 60, 8)])],
            5,
            "isn't inside the extended one",
        ),
        (
            &[
                (0, &[(0x05, 64, 64)]),
                (64, &[(0, 0, 0), (0x05, u32::MAX, 8)]),
            ],
            5,
            "points past the disk",
        ),
        (&[(0, &[(0x05, 64, 64)])], 5, "is broken"),
    ];
    for (tables, number, words) in cases {
        assert_refused(&with(tables), number, "", words);
    }
    let good = with(&[(0, &[(0x83, 1, 1)])]);
    assert_refused(&good, 1, "sectorsize=1024", "neither 512 nor 4096");
    assert_refused(&good[..511], 1, "", "smaller than a sector");
    assert_refused(&vec![0; 8192], 1, "", "no partition table");
}

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
        assert_listed(what, &gpt.disk(), tools);
        for spoilt in [&[0_u64][..], &[16], &[40], &[gpt.sector + 40]] {
            // The copy is the same.
            let mut bytes = gpt.disk();
            for place in spoilt {
                bytes[usize::try_from(gpt.sector + place).unwrap()] ^= 1;
            }
            // libblkid has no use for a copy with sectors of 4096 bytes.
            let disk = Disk::holding(&bytes);
            let intact = Disk::holding(&gpt.disk());
            for twin in TWINS {
                assert_eq!(
                    ask(twin, &disk, 1, ""),
                    ask(twin, &intact, 1, ""),
                    "{what}: {twin}"
                );
            }
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
            (0, "is damaged: its signature"),
            (13, "is damaged: its length"),
            (16, "is damaged: its checksum"),
            (50, "is damaged: its checksum"),
            (sector + 40, "is damaged: its entries' checksum"),
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
        assert_refused(&good, 1, other, "is damaged: its signature");
        assert_refused(&good[..good.len() / 2], 1, "", "it's for a larger disk");
        let tiny = Gpt {
            entry: 64,
            sector,
            ..gpt
        };
        assert_refused(&tiny.disk(), 1, "", "its entries' size");
    }
}
