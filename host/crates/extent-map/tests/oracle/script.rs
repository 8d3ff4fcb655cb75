//! A request and a plugin's calls on its map, run on the map and the oracle side by side.
//!
//! A proptest strategy makes scripts; the fuzz target decodes them from raw bytes.

use std::ops::Range;

use extent_map::{ExtentMap, Kind, Wanted, Width, Wire};

use crate::model::Oracle;

/// Offsets in a script are relative to this many units below the range, so that adds can lie below.
pub(crate) const BELOW: u64 = 16;

/// The request, and the form of its reply.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Whether the range ends as high as u64 allows, instead of starting at `start`.
    pub at_the_top: bool,
    /// The first unit of the range.
    pub(crate) start: u8,
    /// The bytes of a unit, as a power of two; at most 55.
    pub unit_log2: u32,
    /// The length of the range; 0 counts as 1.
    pub(crate) units: u8,
    /// Whether the request has REQ_ONE.
    pub(crate) wanted: Wanted,
    /// The map's cap.
    pub max_extents: usize,
    /// The minimum block, as a power of two; at most 31.
    pub block_log2: u32,
    /// The reply's cap.
    pub max_descriptors: usize,
    /// The width of lengths in the reply.
    pub(crate) width: Width,
}

/// One call of the plugin. Numbers are in units, except at the top.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    /// `length` units at `offset`, counted from [`BELOW`] units below the range.
    Add { offset: u8, length: u8, kind: Kind },
    /// `length` units, `gap` units above the end of the last add.
    Next { gap: u8, length: u8, kind: Kind },
    /// From `offset` up to 2^64 and `beyond` bytes more; that overflows unless `beyond` is 0.
    Top { offset: u8, beyond: u8, kind: Kind },
    /// `end_at`.
    EndAt { offset: u8 },
}

/// Runs `calls`, and compares everything observable after each of them.
pub(crate) fn run(request: &Request, calls: &[Call]) {
    let unit = 1_u64 << request.unit_log2;
    let units = u64::from(request.units.max(1));
    let start = match request.at_the_top {
        true => ((u64::MAX >> request.unit_log2) - units) << request.unit_log2,
        false => u64::from(request.start) << request.unit_log2,
    };
    let range = start..start + units * unit;
    let fresh = || {
        Oracle::new(
            start,
            unit,
            usize::from(request.units.max(1)),
            request.wanted,
            request.max_extents,
        )
    };
    let mut oracle = fresh();
    let mut map = match request.units % 3 {
        0 => ExtentMap::new(range, request.wanted, request.max_extents).expect("not empty"),
        1 => used_before(&[10, 20], range, request),
        _ => used_before(&[20, 10], range, request),
    };
    check(&map, &oracle, request);

    let mut frontier = start;
    for call in calls {
        let bytes = |units: u8| u64::from(units) * unit;
        let place = |offset: u8| {
            let above_zero = u128::from(start) + u128::from(bytes(offset));
            u64::try_from(above_zero.saturating_sub(u128::from(BELOW * unit))).unwrap_or(u64::MAX)
        };
        let (offset, length, kind) = match *call {
            Call::Add {
                offset,
                length,
                kind,
            } => (place(offset), bytes(length), kind),
            Call::Next { gap, length, kind } => {
                (frontier.saturating_add(bytes(gap)), bytes(length), kind)
            }
            Call::Top {
                offset,
                beyond,
                kind,
            } => {
                // From 0 up to 2^64 is one byte more than u64 can hold.
                let offset = place(offset).max(unit);
                let to_the_top = u64::MAX - offset + 1;
                (offset, to_the_top.saturating_add(u64::from(beyond)), kind)
            }
            Call::EndAt { offset } => {
                assert_eq!(map.end_at(place(offset)), oracle.end_at(place(offset)));
                check(&map, &oracle, request);
                continue;
            }
        };
        assert_eq!(
            map.add(offset, length, kind),
            oracle.add(offset, length, kind),
            "{call:?}"
        );
        frontier = offset.saturating_add(length);
        check(&map, &oracle, request);
    }
    map.clear();
    oracle = fresh();
    check(&map, &oracle, request);
}

/// A map for `request` that has served another request before.
fn used_before(adds: &[u64], range: Range<u64>, request: &Request) -> ExtentMap {
    let mut map = ExtentMap::new(5..100, Wanted::All, 1).expect("not empty");
    for &offset in adds {
        map.add(offset, 5, Kind::Hole).expect("within the budget");
    }
    map.end_at(22).expect("within the budget");
    map.reset(range, request.wanted, request.max_extents)
        .expect("not empty");
    map
}

/// Compares everything observable of the map with the oracle.
fn check(map: &ExtentMap, oracle: &Oracle, request: &Request) {
    assert_eq!(map.iter().collect::<Vec<_>>(), oracle.extents());
    assert_eq!(map.end(), oracle.end());
    assert_eq!(map.progress(), oracle.progress());
    assert_eq!(map.adds(), oracle.adds);
    assert_eq!(map.clipped(), oracle.clipped);
    assert_eq!(map.dropped(), oracle.dropped);
    assert!(map.iter().count() <= request.max_extents.max(1) + 1, "E6");
    check_wire(map, oracle, request);
}

/// Compares the reply with the oracle, and checks the promises that need no oracle (E10).
fn check_wire(map: &ExtentMap, oracle: &Oracle, request: &Request) {
    let wire = Wire {
        min_block: 1 << request.block_log2,
        max_descriptors: request.max_descriptors,
        width: request.width,
    };
    let mut reply = Vec::new();
    wire.describe(map, &mut reply);
    assert_eq!(reply, oracle.describe(&wire), "{wire:?}");

    let room = if map.wanted() == Wanted::One {
        1
    } else {
        request.max_descriptors.max(1)
    };
    assert!(
        (1..=room).contains(&reply.len()),
        "never empty, never more than the cap"
    );
    let mut offset = map.range().start;
    for descriptor in &reply {
        assert!(
            offset < map.range().end,
            "all but the last are shorter than the request"
        );
        assert!(descriptor.length > 0);
        if request.width == Width::Compact32 {
            assert!(u32::try_from(descriptor.length).is_ok());
        }
        let said = oracle.said(offset).flags();
        assert_eq!(
            descriptor.flags & !said,
            0,
            "claims a flag that the plugin didn't set"
        );
        offset = offset.checked_add(descriptor.length).expect("within u64");
        let [aligned_start, aligned] =
            [map.range().start, offset].map(|at| at.is_multiple_of(wire.min_block.into()));
        assert!(aligned || !aligned_start || offset == map.range().end);
    }
    assert!(offset <= map.range().end, "past the export");
}

/// Runs the script that `bytes` encode; every string of bytes encodes one.
pub(crate) fn run_bytes(bytes: &[u8]) {
    let mut bytes = bytes.iter().copied();
    let mut next = || bytes.next();
    let Some(request) = decode_request(&mut next) else {
        return;
    };
    let mut calls = Vec::new();
    // More than the largest budget of the requests decoded here.
    while let Some(call) = decode_call(&mut next).filter(|_| calls.len() < 400) {
        calls.push(call);
    }
    run(&request, &calls);
}

fn decode_request(next: &mut impl FnMut() -> Option<u8>) -> Option<Request> {
    let flags = next()?;
    let unit_log2 = [0, 9, 29, 55][usize::from(flags >> 3 & 3)];
    Some(Request {
        at_the_top: flags & 1 != 0,
        start: next()?,
        unit_log2,
        units: next()?,
        wanted: if flags & 2 != 0 {
            Wanted::One
        } else {
            Wanted::All
        },
        max_extents: usize::from(next()? % 64),
        block_log2: (unit_log2 + u32::from(flags >> 5)).min(31),
        max_descriptors: usize::from(next()? % 64),
        width: if flags & 4 != 0 {
            Width::Wide64
        } else {
            Width::Compact32
        },
    })
}

fn decode_call(next: &mut impl FnMut() -> Option<u8>) -> Option<Call> {
    let what = next()?;
    let kind = Kind::from_flags(what.into());
    let (first, second) = (next()?, next()?);
    Some(match what >> 2 & 15 {
        0 => Call::EndAt { offset: first },
        1 => Call::Top {
            offset: first,
            beyond: second >> 6,
            kind,
        },
        2..=7 => Call::Next {
            gap: first & 3,
            length: second & 15,
            kind,
        },
        8..=11 => Call::Add {
            offset: first,
            length: second & 15,
            kind,
        },
        _ => Call::Add {
            offset: first,
            length: second,
            kind,
        },
    })
}
