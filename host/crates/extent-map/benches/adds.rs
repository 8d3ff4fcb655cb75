//! Adds per second (E9), compared with a plain sorted vector.

#![allow(missing_docs, reason = "a benchmark")]

#[path = "adds/baseline.rs"]
mod baseline;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use extent_map::{ExtentMap, Kind, Wanted, Width, Wire};

use baseline::SpliceVec;

/// The default cap, and its budget of adds.
const MAX_EXTENTS: usize = 16_384;
const BUDGET: u64 = 65_536;
/// Bytes of the request: room for every pattern.
const RANGE: u64 = 1 << 20;

type Add = (u64, u64, Kind);

/// The honest plugin: 16,384 extents from the bottom up, none of which coalesces.
fn ascending() -> Vec<Add> {
    let kinds = [Kind::Hole, Kind::Data, Kind::Zero].into_iter().cycle();
    (0..16_383)
        .zip(kinds)
        .map(|(i, kind)| (i * 64, 64, kind))
        .collect()
}

/// Up to 64 bytes anywhere.
fn random() -> Vec<Add> {
    let mut random = fastrand::Rng::with_seed(1);
    let kinds = [Kind::Data, Kind::Hole, Kind::Zero, Kind::Undefined]
        .into_iter()
        .cycle();
    (0..BUDGET)
        .zip(kinds)
        .map(|(_, kind)| (random.u64(..RANGE), random.u64(1..=64), kind))
        .collect()
}

/// One-byte extents with a byte of data between them, from the top down: in a vector, every add moves all elements,
/// first up to the cap and then at the cap, where every add drops two.
fn hostile() -> Vec<Add> {
    (0..BUDGET)
        .map(|i| (RANGE - 2 - i * 2, 1, Kind::Hole))
        .collect()
}

fn map_of(adds: &[Add]) -> ExtentMap {
    let mut map = ExtentMap::new(0..RANGE, Wanted::All, MAX_EXTENTS).expect("a range");
    for &(offset, length, kind) in adds {
        let _ = black_box(map.add(offset, length, kind));
    }
    map
}

fn vec_of(adds: &[Add]) -> SpliceVec {
    let mut vec = SpliceVec::new(0, RANGE, MAX_EXTENTS);
    for &(offset, length, kind) in adds {
        vec.add(offset, length, kind);
    }
    vec
}

fn adds(criterion: &mut Criterion) {
    for (name, adds) in [
        ("ascending", ascending()),
        ("random", random()),
        ("hostile", hostile()),
    ] {
        let map = map_of(&adds);
        let trailing = map
            .iter()
            .last()
            .is_some_and(|extent| extent.kind == Kind::Data);
        let shape = (map.end(), map.iter().count() - usize::from(trailing));
        assert_eq!(
            shape,
            vec_of(&adds).shape(),
            "the baseline does the same work"
        );

        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(
            adds.len().try_into().expect("few adds"),
        ));
        group.sample_size(20);
        group.bench_function("map", |bencher| bencher.iter(|| map_of(black_box(&adds))));
        group.bench_function("splice-vec", |bencher| {
            bencher.iter(|| vec_of(black_box(&adds)))
        });
        group.finish();
    }
}

fn describe(criterion: &mut Criterion) {
    let wire = Wire {
        min_block: 1,
        max_descriptors: MAX_EXTENTS,
        width: Width::Compact32,
    };
    for (name, adds) in [
        ("describe-ascending", ascending()),
        ("describe-random", random()),
    ] {
        let map = map_of(&adds);
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(
            map.iter().count().try_into().expect("few extents"),
        ));
        for min_block in [1, 512] {
            let wire = Wire { min_block, ..wire };
            group.bench_function(format!("block-{min_block}"), |bencher| {
                // The same vector for every reply, as in a connection.
                let mut reply = Vec::new();
                bencher.iter(|| {
                    wire.describe(black_box(&map), &mut reply);
                    reply.len()
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, adds, describe);
criterion_main!(benches);
