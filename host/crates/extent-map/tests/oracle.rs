//! The map beside a byte-per-entry oracle (E12), for any calls in any order.

#![allow(missing_docs, reason = "tests")]

#[path = "oracle/model.rs"]
mod model;
#[path = "oracle/script.rs"]
mod script;

use extent_map::{Kind, Wanted, Width};
use proptest::collection::vec;
use proptest::prelude::*;

use script::{Call, Request};

const NO_CAP: usize = 1000;

fn kind() -> impl Strategy<Value = Kind> {
    (0..4_u32).prop_map(Kind::from_flags)
}

/// Any add inside, outside or across the range.
fn any_add() -> impl Strategy<Value = Call> {
    let length = prop_oneof![3 => 0..8_u8, 1 => any::<u8>()];
    (0..96_u8, length, kind()).prop_map(|(offset, length, kind)| Call::Add {
        offset,
        length,
        kind,
    })
}

fn next_add() -> impl Strategy<Value = Call> {
    (prop_oneof![3 => Just(0_u8), 1 => 1..4_u8], 0..6_u8, kind())
        .prop_map(|(gap, length, kind)| Call::Next { gap, length, kind })
}

fn top_add() -> impl Strategy<Value = Call> {
    (0..96_u8, 0..3_u8, kind()).prop_map(|(offset, beyond, kind)| Call::Top {
        offset,
        beyond,
        kind,
    })
}

fn end_at() -> impl Strategy<Value = Call> {
    (0..96_u8).prop_map(|offset| Call::EndAt { offset })
}

/// Mostly ascending calls, so that tests meet both structures under the map, and the change from one to the other.
fn calls() -> impl Strategy<Value = Vec<Call>> {
    let ascending = vec(next_add(), 0..40);
    let rest = prop_oneof![6 => any_add(), 3 => next_add(), 1 => top_add(), 1 => end_at()];
    (ascending, vec(rest, 0..40)).prop_map(|(mut calls, rest)| {
        calls.extend(rest);
        calls
    })
}

/// A request of up to 64 bytes.
fn request(
    wanted: Wanted,
    max_extents: impl Strategy<Value = usize>,
) -> impl Strategy<Value = Request> {
    (any::<bool>(), 0..32_u8, 1..=64_u8, max_extents).prop_map(
        move |(at_the_top, start, units, max_extents)| Request {
            at_the_top,
            start,
            unit_log2: 0,
            units,
            wanted,
            max_extents,
            block_log2: 0,
            max_descriptors: NO_CAP,
            width: Width::Compact32,
        },
    )
}

/// The same request for every form of reply, and with lengths that need splitting.
fn wired(request: impl Strategy<Value = Request>) -> impl Strategy<Value = Request> {
    let unit_log2 =
        prop_oneof![4 => Just(0_u32), 1 => 1..31_u32, 1 => Just(30_u32), 1 => Just(55_u32)];
    let width = prop_oneof![Just(Width::Compact32), Just(Width::Wide64)];
    let max_descriptors = prop_oneof![0..8_usize, Just(100_usize)];
    (request, unit_log2, 0..5_u32, max_descriptors, width).prop_map(
        |(request, unit_log2, block, max_descriptors, width)| Request {
            unit_log2,
            block_log2: (unit_log2 + block).min(31),
            max_descriptors,
            width,
            ..request
        },
    )
}

proptest! {
    // A failure prints its script, which can become a test of its own, so there is no file of seeds.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    /// E2, E3, E4, E5.
    #[test]
    fn adds_in_any_order_equal_the_oracle(
        request in request(Wanted::All, Just(NO_CAP)),
        calls in calls(),
    ) {
        script::run(&request, &calls);
    }

    /// E6, E7.
    #[test]
    fn what_the_cap_leaves_is_the_oracles_prefix(
        request in request(Wanted::All, 0..12_usize),
        calls in calls(),
    ) {
        script::run(&request, &calls);
    }

    /// E7.
    #[test]
    fn the_budget_ends_where_the_oracles_does(
        request in request(Wanted::All, 0..4_usize),
        calls in vec(prop_oneof![any_add(), top_add(), end_at()], 60..90),
    ) {
        script::run(&request, &calls);
    }

    /// E8.
    #[test]
    fn the_one_extent_wanted_is_the_oracles_first(
        request in wired(request(Wanted::One, 0..12_usize)),
        calls in calls(),
    ) {
        script::run(&request, &calls);
    }

    /// E10.
    #[test]
    fn replies_equal_the_oracles(
        request in wired(request(Wanted::All, prop_oneof![0..12_usize, Just(NO_CAP)])),
        calls in calls(),
    ) {
        script::run(&request, &calls);
    }

    /// E12: the checks of the fuzz target, for compilers that can't fuzz.
    #[test]
    fn every_string_of_bytes_is_a_script(bytes in vec(any::<u8>(), 0..300)) {
        script::run_bytes(&bytes);
    }
}
