//! Rules E1 to E9, one hazard per test.

#![allow(missing_docs, reason = "tests")]

use extent_map::Kind::{Data, Hole, Undefined, Zero};
use extent_map::Progress::{Full, More};
use extent_map::{AddError, EmptyRange, ExtentMap, Kind, Wanted};

fn map(range: std::ops::Range<u64>, max_extents: usize) -> ExtentMap {
    ExtentMap::new(range, Wanted::All, max_extents).expect("a range")
}

fn map_of_one(range: std::ops::Range<u64>) -> ExtentMap {
    ExtentMap::new(range, Wanted::One, 16).expect("a range")
}

/// The start and kind of each extent.
fn starts(map: &ExtentMap) -> Vec<(u64, Kind)> {
    map.iter()
        .map(|extent| (extent.offset, extent.kind))
        .collect()
}

#[test]
fn an_empty_or_inverted_range_is_refused() {
    for range in [
        0..0,
        7..7,
        u64::MAX..u64::MAX,
        std::ops::Range { start: 8, end: 7 },
    ] {
        let refused = EmptyRange {
            start: range.start,
            end: range.end,
        };
        assert_eq!(
            ExtentMap::new(range, Wanted::All, 1).expect_err("empty"),
            refused
        );
    }
}

#[test]
fn a_new_map_is_one_extent_of_data() {
    let map = map(10..20, 4);
    assert_eq!(starts(&map), [(10, Data)]);
    assert_eq!((map.end(), map.progress(), map.adds()), (20, More, 0));
}

#[test]
fn the_last_add_wins() {
    let mut map = map(0..100, 16);
    map.add(0, 100, Hole).unwrap();
    map.add(20, 20, Zero).unwrap();
    map.add(30, 40, Undefined).unwrap();
    assert_eq!(
        starts(&map),
        [(0, Hole), (20, Zero), (30, Undefined), (70, Hole)]
    );
    map.add(10, 80, Data).unwrap();
    assert_eq!(starts(&map), [(0, Hole), (10, Data), (90, Hole)]);
    map.add(0, 100, Data).unwrap();
    assert_eq!(starts(&map), [(0, Data)]);
}

#[test]
fn equal_neighbours_coalesce_in_any_order() {
    let mut map = map(0..100, 16);
    for offset in [40, 20, 60, 30, 50] {
        map.add(offset, 10, Hole).unwrap();
    }
    assert_eq!(starts(&map), [(0, Data), (20, Hole), (70, Data)]);
}

#[test]
fn data_coalesces_with_the_background() {
    let mut map = map(0..100, 16);
    map.add(50, 10, Hole).unwrap();
    map.add(0, 50, Data).unwrap();
    map.add(60, 40, Data).unwrap();
    assert_eq!(starts(&map), [(0, Data), (50, Hole), (60, Data)]);
}

#[test]
fn adds_are_clipped_to_the_range() {
    let mut map = map(100..200, 16);
    map.add(0, 110, Hole).unwrap();
    map.add(190, 1000, Zero).unwrap();
    assert_eq!(starts(&map), [(100, Hole), (110, Data), (190, Zero)]);
    assert_eq!(map.clipped(), 2);
}

#[test]
fn adds_outside_the_range_and_empty_ones_change_nothing_and_are_charged() {
    let mut map = map(100..200, 16);
    for (offset, length) in [
        (0, 100),
        (200, 1),
        (u64::MAX, 1),
        (150, 0),
        (0, 0),
        (u64::MAX, 0),
    ] {
        assert_eq!(map.add(offset, length, Hole), Ok(More));
    }
    assert_eq!(starts(&map), [(100, Data)]);
    assert_eq!((map.adds(), map.clipped()), (6, 3));
}

#[test]
fn an_add_past_2_to_the_64_is_refused_and_charged() {
    let mut map = map(0..u64::MAX, 16);
    assert_eq!(map.add(u64::MAX, 2, Hole), Err(AddError::Overflow));
    assert_eq!(map.add(2, u64::MAX, Hole), Err(AddError::Overflow));
    assert_eq!((starts(&map), map.adds()), (vec![(0, Data)], 2));
    // Exactly up to 2^64 is allowed.
    assert_eq!(map.add(1, u64::MAX, Hole), Ok(More));
    assert_eq!(starts(&map), [(0, Data), (1, Hole)]);
}

#[test]
fn the_highest_range_of_all_works() {
    let mut map = map(u64::MAX - 3..u64::MAX, 16);
    map.add(u64::MAX - 1, 1, Zero).unwrap();
    map.add(u64::MAX - 2, 1, Hole).unwrap();
    let top = u64::MAX;
    assert_eq!(
        starts(&map),
        [(top - 3, Data), (top - 2, Hole), (top - 1, Zero)]
    );
}

#[test]
fn end_at_cuts_what_is_known_for_good() {
    let mut map = map(0..100, 16);
    map.add(0, 80, Hole).unwrap();
    map.end_at(50).unwrap();
    map.end_at(70).unwrap();
    assert_eq!(map.add(40, 40, Zero), Ok(More));
    assert_eq!(map.add(50, 10, Zero), Ok(More));
    assert_eq!((starts(&map), map.end()), (vec![(0, Hole), (40, Zero)], 50));
}

#[test]
fn end_at_or_below_the_start_leaves_nothing_known() {
    for offset in [0, 10] {
        let mut map = map(10..100, 16);
        map.add(20, 10, Hole).unwrap();
        map.end_at(offset).unwrap();
        map.add(10, 10, Hole).unwrap();
        assert_eq!((starts(&map), map.end()), (vec![], 10));
    }
}

#[test]
fn end_at_the_end_or_above_changes_nothing_and_is_charged() {
    let mut map = map(0..100, 16);
    map.end_at(100).unwrap();
    map.end_at(u64::MAX).unwrap();
    assert_eq!(
        (starts(&map), map.end(), map.adds()),
        (vec![(0, Data)], 100, 2)
    );
}

#[test]
fn the_cap_drops_the_highest_and_moves_the_end_down() {
    let mut map = map(0..100, 3);
    for (offset, progress) in [(80, More), (60, Full), (40, Full)] {
        assert_eq!(map.add(offset, 10, Hole), Ok(progress), "{offset}");
    }
    assert_eq!(
        (starts(&map), map.end()),
        (vec![(0, Data), (40, Hole), (50, Data)], 60)
    );
    assert_eq!(map.dropped(), 2);
    // Below the end, the last add still wins; at or above it, adds change nothing.
    assert_eq!(map.add(0, 40, Hole), Ok(Full));
    assert_eq!(map.add(60, 10, Hole), Ok(Full));
    assert_eq!((starts(&map), map.end()), (vec![(0, Hole), (50, Data)], 60));
}

#[test]
fn an_ascending_run_keeps_exactly_as_many_extents_as_the_cap_allows() {
    let mut map = map(0..1000, 3);
    for (offset, kind, progress) in [
        (0, Hole, More),
        (10, Data, More),
        (20, Hole, More),
        // The data above doesn't count: it was there from the start.
        (30, Data, More),
        (40, Data, More),
        (50, Hole, Full),
        (60, Zero, Full),
    ] {
        assert_eq!(map.add(offset, 10, kind), Ok(progress), "{offset}");
    }
    assert_eq!(
        (starts(&map), map.end()),
        (vec![(0, Hole), (10, Data), (20, Hole)], 30)
    );
}

#[test]
fn a_cap_of_zero_is_a_cap_of_one() {
    let mut map = map(0..100, 0);
    assert_eq!(map.add(0, 10, Hole), Ok(More));
    assert_eq!(map.add(10, 10, Zero), Ok(Full));
    assert_eq!((starts(&map), map.end()), (vec![(0, Hole)], 10));
}

#[test]
fn no_order_of_adds_makes_the_map_larger_than_its_cap() {
    let mut map = map(0..1 << 40, 100);
    let mut state = 1_u64;
    while map.remaining() > 0 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        map.add(
            state >> 24,
            1 + (state >> 50),
            Kind::from_flags(u32::from(state.is_multiple_of(2))),
        )
        .unwrap();
        assert!(map.iter().count() <= 101);
    }
}

#[test]
fn every_call_is_charged_and_the_budget_is_four_per_extent_and_64() {
    let mut map = map(0..100, 10);
    assert_eq!(map.remaining(), 104);
    for _ in 0..26 {
        assert_eq!(map.add(0, 10, Hole), Ok(More));
        assert_eq!(map.add(500, 10, Hole), Ok(More));
        assert_eq!(map.add(u64::MAX, 10, Hole), Err(AddError::Overflow));
        assert_eq!(map.end_at(100), Ok(()));
    }
    assert_eq!((map.remaining(), map.adds()), (0, 104));
    assert_eq!(map.add(50, 10, Zero), Err(AddError::BudgetExhausted));
    assert_eq!(map.add(u64::MAX, 10, Zero), Err(AddError::BudgetExhausted));
    assert_eq!(map.end_at(5), Err(AddError::BudgetExhausted));
    assert_eq!(
        (starts(&map), map.adds()),
        (vec![(0, Hole), (10, Data)], 104)
    );
}

#[test]
fn the_largest_cap_has_a_budget() {
    assert!(map(0..1, usize::MAX).remaining() > 0);
}

#[test]
fn one_wanted_is_full_when_the_first_extent_is_complete() {
    let mut map = map_of_one(0..1000);
    assert_eq!(map.add(0, 100, Hole), Ok(More));
    assert_eq!(map.add(100, 100, Hole), Ok(More));
    assert_eq!(map.add(200, 100, Data), Ok(Full));
    assert_eq!((starts(&map), map.end()), (vec![(0, Hole)], 200));
}

#[test]
fn one_wanted_is_full_when_the_background_is_known_to_be_first() {
    let mut map = map_of_one(0..1000);
    assert_eq!(map.add(0, 100, Data), Ok(More));
    assert_eq!(map.add(100, 100, Data), Ok(More));
    assert_eq!(map.add(300, 100, Hole), Ok(Full));
    assert_eq!((starts(&map), map.end()), (vec![(0, Data)], 300));
}

#[test]
fn one_wanted_is_full_when_the_end_is_reached() {
    for (offset, length) in [(0, 1000), (0, 5000), (5000, 1)] {
        let mut map = map_of_one(0..1000);
        assert_eq!(map.add(offset, length, Data), Ok(Full));
    }
    let mut map = map_of_one(0..1000);
    assert_eq!(map.add(0, 100, Hole), Ok(More));
    map.end_at(100).unwrap();
    assert_eq!(map.progress(), Full);
}

#[test]
fn one_wanted_still_honours_later_adds_below() {
    let mut map = map_of_one(0..1000);
    map.add(0, 100, Hole).unwrap();
    map.add(100, 100, Zero).unwrap();
    assert_eq!(map.add(40, 20, Zero), Ok(Full));
    assert_eq!((starts(&map), map.end()), (vec![(0, Hole)], 40));
    assert_eq!(map.add(0, 40, Undefined), Ok(Full));
    assert_eq!((starts(&map), map.end()), (vec![(0, Undefined)], 40));
}

#[test]
fn one_wanted_may_be_ignored() {
    let mut map = map_of_one(0..1000);
    for offset in (0..1000).step_by(20) {
        map.add(offset, 10, Hole).unwrap();
    }
    assert_eq!(
        (starts(&map), map.end(), map.dropped()),
        (vec![(0, Hole)], 10, 0)
    );
}

#[test]
fn a_reset_to_an_empty_range_is_refused_and_changes_nothing() {
    let mut map = map(0..100, 4);
    map.add(10, 10, Hole).unwrap();
    assert!(map.reset(7..7, Wanted::One, 1).is_err());
    assert_eq!(starts(&map), [(0, Data), (10, Hole), (20, Data)]);
    assert_eq!((map.wanted(), map.adds()), (Wanted::All, 1));
}

#[test]
fn memory_is_kept_for_the_next_request() {
    let mut map = map(0..100, 4);
    assert_eq!(map.capacity(), 0);
    map.add(10, 10, Hole).unwrap();
    let capacity = map.capacity();
    assert!(capacity > 0);
    map.clear();
    assert_eq!((starts(&map), map.capacity()), (vec![(0, Data)], capacity));
}
