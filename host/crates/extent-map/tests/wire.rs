//! Rule E10, one hazard per test.

#![allow(missing_docs, reason = "tests")]

use extent_map::Kind::{Hole, Undefined, Zero};
use extent_map::Width::{Compact32, Wide64};
use extent_map::{Descriptor, ExtentMap, Kind, Wanted, Width, Wire};

const GIB: u64 = 1 << 30;

fn map(range: std::ops::Range<u64>, wanted: Wanted, adds: &[(u64, u64, Kind)]) -> ExtentMap {
    let mut map = ExtentMap::new(range, wanted, 100).expect("a range");
    for &(offset, length, kind) in adds {
        map.add(offset, length, kind).expect("within the budget");
    }
    map
}

/// Length and flags of each descriptor, for blocks of `min_block`.
fn reply(map: &ExtentMap, min_block: u32, max_descriptors: usize, width: Width) -> Vec<(u64, u32)> {
    let wire = Wire {
        min_block,
        max_descriptors,
        width,
    };
    // The vector's old content must not matter.
    let mut out = vec![Descriptor {
        length: 0,
        flags: 9,
    }];
    wire.describe(map, &mut out);
    out.iter()
        .map(|descriptor| (descriptor.length, descriptor.flags))
        .collect()
}

#[test]
fn aligned_extents_stay_as_they_are() {
    let map = map(
        4096..20_480,
        Wanted::All,
        &[(8192, 4096, Hole), (12_288, 4096, Zero)],
    );
    assert_eq!(
        reply(&map, 4096, 9, Compact32),
        [(4096, 0), (4096, 3), (4096, 2), (4096, 0)]
    );
}

#[test]
fn a_block_of_several_kinds_has_the_flags_of_all() {
    let adds = [
        (0, 700, Hole),
        (700, 800, Zero),
        (1500, 548, Undefined),
        (2048, 512, Undefined),
    ];
    let map = map(0..2560, Wanted::All, &adds);
    // Hole; hole and zero; zero and undefined; undefined, twice.
    assert_eq!(
        reply(&map, 512, 9, Compact32),
        [(512, 3), (512, 2), (512, 0), (1024, 1)]
    );
}

#[test]
fn extents_smaller_than_a_block_coalesce() {
    let adds = [
        (0, 100, Hole),
        (200, 100, Hole),
        (300, 212, Zero),
        (600, 1, Hole),
    ];
    let map = map(0..4096, Wanted::All, &adds);
    assert_eq!(reply(&map, 512, 9, Compact32), [(4096, 0)]);
}

#[test]
fn blocks_are_counted_from_the_start_of_the_export() {
    let map = map(1000..5000, Wanted::All, &[(1000, 1100, Hole)]);
    assert_eq!(reply(&map, 512, 9, Compact32), [(1048, 3), (2952, 0)]);
}

#[test]
fn the_unaligned_end_of_the_export_is_kept() {
    let map = map(0..1100, Wanted::All, &[(512, 588, Hole)]);
    assert_eq!(reply(&map, 512, 9, Compact32), [(512, 0), (588, 3)]);
}

#[test]
fn a_block_that_is_partly_unknown_is_data() {
    let mut map = map(0..4096, Wanted::All, &[(0, 4096, Hole)]);
    map.end_at(1025).unwrap();
    assert_eq!(reply(&map, 512, 9, Compact32), [(1024, 3), (512, 0)]);
    map.end_at(1024).unwrap();
    assert_eq!(reply(&map, 512, 9, Compact32), [(1024, 3)]);
    map.end_at(1).unwrap();
    assert_eq!(reply(&map, 512, 9, Compact32), [(512, 0)]);
}

#[test]
fn nothing_known_is_data_for_the_whole_request() {
    let mut map = map(512..5000, Wanted::All, &[(512, 100, Hole)]);
    map.end_at(512).unwrap();
    assert_eq!(reply(&map, 512, 9, Compact32), [(4488, 0)]);
}

#[test]
fn the_number_of_descriptors_is_capped_and_at_least_one() {
    let map = map(0..4096, Wanted::All, &[(512, 512, Hole), (2048, 512, Zero)]);
    assert_eq!(reply(&map, 1, 2, Compact32), [(512, 0), (512, 3)]);
    assert_eq!(reply(&map, 1, 0, Compact32), [(512, 0)]);
}

#[test]
fn one_wanted_is_one_descriptor() {
    let map = map(0..4096, Wanted::One, &[(0, 512, Zero), (512, 512, Hole)]);
    assert_eq!(reply(&map, 1, 9, Compact32), [(512, 2)]);
}

#[test]
fn one_wanted_is_one_piece_even_if_it_has_to_be_split() {
    let map = map(0..8 * GIB, Wanted::One, &[(0, 8 * GIB, Hole)]);
    assert_eq!(reply(&map, 4096, 9, Compact32), [(4 * GIB - 4096, 3)]);
    assert_eq!(reply(&map, 4096, 9, Wide64), [(8 * GIB, 3)]);
}

#[test]
fn long_extents_are_split_where_a_block_and_a_sector_end() {
    let map = map(0..6 * GIB, Wanted::All, &[(0, 5 * GIB, Hole)]);
    let reply_of = |min_block| reply(&map, min_block, 9, Compact32);
    assert_eq!(reply_of(1), [(4 * GIB - 512, 3), (GIB + 512, 3), (GIB, 0)]);
    assert_eq!(
        reply_of(65_536),
        [(4 * GIB - 65_536, 3), (GIB + 65_536, 3), (GIB, 0)]
    );
    assert_eq!(reply_of(1 << 30), [(3 * GIB, 3), (2 * GIB, 3), (GIB, 0)]);
}

#[test]
fn the_cap_counts_the_pieces() {
    let map = map(0..u64::MAX, Wanted::All, &[]);
    let pieces = reply(&map, 1, 3, Compact32);
    assert_eq!(pieces, [(4 * GIB - 512, 0); 3]);
    assert_eq!(reply(&map, 1, 3, Wide64), [(u64::MAX, 0)]);
}

#[test]
fn any_block_size_is_accepted() {
    let map = map(0..8 * GIB, Wanted::All, &[(0, 1000, Hole)]);
    assert_eq!(reply(&map, 0, 9, Wide64), [(1000, 3), (8 * GIB - 1000, 0)]);
    assert_eq!(reply(&map, 3, 9, Wide64), [(1000, 3), (8 * GIB - 1000, 0)]);
    assert_eq!(reply(&map, 513, 9, Wide64), [(8 * GIB, 0)]);
    assert_eq!(reply(&map, u32::MAX, 9, Wide64), [(8 * GIB, 0)]);
}

#[test]
fn blocks_at_the_top_of_u64_dont_overflow() {
    let mut map = map(
        u64::MAX - 5000..u64::MAX,
        Wanted::All,
        &[(u64::MAX - 10, 10, Hole)],
    );
    assert_eq!(reply(&map, 4096, 9, Compact32), [(5000, 0)]);
    map.end_at(u64::MAX - 1).unwrap();
    assert_eq!(reply(&map, 4096, 9, Compact32), [(5000, 0)]);
}
