//! Draws the parts of a schedule.

use std::time::Duration;

use fastrand::Rng;
use nbd_proto::{BlockSizes, Export, ExportFlags, Framing};
use nbdbox_config::limits::{Limits, TenantLimits};

use super::{ClientPlan, DiskPlan, Ending, Reading, Way};

/// True in this number of a thousand cases.
pub(crate) fn chance(random: &mut Rng, per_mille: u32) -> bool {
    random.u32(..1000) < per_mille
}

/// A time of whole milliseconds, `most` at the longest.
pub(crate) fn time(random: &mut Rng, most: Duration) -> Duration {
    let most = u64::try_from(most.as_millis()).unwrap();
    Duration::from_millis(random.u64(..=most))
}

pub(super) fn pick<T: Copy>(random: &mut Rng, from: &[T]) -> T {
    from[random.usize(..from.len())]
}

pub(super) fn maybe<T: Copy>(random: &mut Rng, per_mille: u32, from: &[T]) -> Option<T> {
    chance(random, per_mille).then(|| pick(random, from))
}

pub(super) fn below(random: &mut Rng, from: &[usize]) -> usize {
    let most = pick(random, from);
    random.usize(..most)
}

pub(super) fn up_to(random: &mut Rng, from: &[Duration]) -> Duration {
    let most = pick(random, from);
    time(random, most)
}

pub(super) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(super) fn export(random: &mut Rng) -> Export {
    let minimum = pick(random, &[1, 1, 512, 4096]);
    let preferred = minimum.max(512);
    let maximum = pick(random, &[4096, 8192, 64 << 10, 32 << 20, u32::MAX]);
    let block = BlockSizes::new(minimum, preferred, maximum).unwrap();
    let size = pick(random, &[0, 4096, 20 << 10, 64 << 10, 64 << 10, 256 << 10]);
    let mut flags = ExportFlags::empty();
    for flag in [
        ExportFlags::SEND_FLUSH,
        ExportFlags::SEND_FUA,
        ExportFlags::SEND_TRIM,
        ExportFlags::SEND_WRITE_ZEROES,
        ExportFlags::SEND_FAST_ZERO,
        ExportFlags::SEND_CACHE,
        ExportFlags::CAN_MULTI_CONN,
    ] {
        flags.set(flag, chance(random, 850));
    }
    flags.set(ExportFlags::READ_ONLY, chance(random, 70));
    let small = BlockSizes::new(1, 512, maximum).unwrap();
    Export {
        name: "disk".to_owned(),
        description: None,
        size,
        flags,
        block,
        enforced: chance(random, 100).then_some(small),
        allocation: chance(random, 850),
    }
}

pub(super) fn limits(random: &mut Rng) -> Limits {
    let bytes = [1, 5000, 100_000, 1 << 20];
    Limits {
        wall: pick(random, &[ms(30), ms(200), ms(1000), ms(30_000)]),
        extents: pick(random, &[1, 3, 16_384]),
        requests: pick(random, &[1, 2, 5, 64, 64]),
        inflight: pick(random, &[1, 10_000, 100_000, 64 << 20, 64 << 20]),
        iops: maybe(random, 150, &[20, 200, 2000]),
        bandwidth: maybe(random, 150, &[20_000, 200_000, 2_000_000]),
        total_memory: maybe(random, 200, &[0, 10_000, 1 << 20]),
        total_requests: maybe(random, 300, &[1, 2, 5, 50]),
        total_inflight: maybe(random, 300, &bytes),
        idle: maybe(random, 200, &[ms(20), ms(500), ms(5000)]),
        stall: pick(random, &[ms(100), ms(1000), ms(10_000)]),
        handshake: pick(random, &[ms(200), ms(2000), ms(10_000), ms(10_000)]),
        ..Limits::default()
    }
}

pub(super) fn tenant(random: &mut Rng) -> TenantLimits {
    TenantLimits {
        memory: pick(random, &[0, 100_000, 1 << 30, 1 << 30]),
        connections: pick(random, &[1, 3, 256, 256]),
        requests: pick(random, &[1, 3, 1024, usize::MAX, usize::MAX]),
        inflight: pick(random, &[10_000, 256 << 20, u64::MAX, u64::MAX]),
        iops: maybe(random, 100, &[20, 200, 2000]),
        bandwidth: maybe(random, 100, &[20_000, 200_000]),
        ..TenantLimits::default()
    }
}

impl DiskPlan {
    pub(super) fn of(random: &mut Rng) -> Self {
        Self {
            seed: random.u64(..),
            waits: pick(random, &[0, 100, 400, 900]),
            longest: pick(random, &[ms(2), ms(20), ms(500)]),
            stands_still: pick(random, &[0, 0, 50]),
            still: pick(random, &[ms(5), ms(3000)]),
            stalls: pick(random, &[0, 0, 5, 50]),
            fails: pick(random, &[0, 20, 200]),
            loses: pick(random, &[0, 0, 20, 100]),
            around: pick(random, &[ms(0), ms(5), ms(300)]),
            refuses: pick(random, &[0, 0, 0, 100]),
        }
    }
}

impl ClientPlan {
    pub(super) fn of(random: &mut Rng) -> Self {
        let framing = pick(
            random,
            &[Framing::Simple, Framing::Structured, Framing::Extended],
        );
        let go = Way::Go {
            framing,
            allocation: chance(random, 850),
            sizes: chance(random, 850),
        };
        let old = Way::ExportName {
            structured: random.bool(),
        };
        let slow = Reading::Slow(
            pick(random, &[512, 4096, 64 << 10]),
            pick(random, &[ms(1), ms(10), ms(400)]),
        );
        let until = Reading::Until(below(random, &[100, 10_000, 200_000]));
        let cuts = [200, 400, 2000, 100_000];
        Self {
            seed: random.u64(..),
            arrives: up_to(random, &[ms(0), ms(0), ms(50), ms(1000)]),
            way: match random.u8(..20) {
                0 | 1 => old,
                2 => Way::Leave,
                3 => Way::Nonsense,
                _ => go,
            },
            detours: pick(random, &[0, 0, 1, 4]),
            hasty: chance(random, 150),
            requests: below(random, &[5, 20, 60]),
            depth: pick(random, &[1, 4, 100, 100]),
            pause: pick(random, &[ms(0), ms(0), ms(0), ms(5), ms(1500)]),
            reading: match random.u8(..10) {
                0 | 1 => slow,
                2 => until,
                _ => Reading::AtOnce,
            },
            ending: match random.u8(..10) {
                0 => Ending::HalfClose,
                1 | 2 => Ending::HangUp,
                3 => Ending::Silence,
                4 => Ending::Nonsense,
                _ => Ending::Disconnect,
            },
            cut: chance(random, 250).then(|| below(random, &cuts) as u64),
            patience: pick(random, &[ms(1000), ms(30_000)]),
            dawdles: pick(random, &[ms(0), ms(0), ms(0), ms(500), ms(5000)]),
        }
    }
}
