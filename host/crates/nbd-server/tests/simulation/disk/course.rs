//! The course of an operation of the disk: its waits, its failure, its loss.

use std::time::Duration;

use device::fault::{Cause, Failure};
use fastrand::Rng;
use nbd_proto::Errno;

use crate::schedule::{DiskPlan, chance, time};

/// A wait of an operation.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wait {
    None,
    Turn,
    For(Duration),
    /// For storage: nothing ends it early, and the request's time stands still.
    Storage(Duration),
    /// Until the request's deadline has ended.
    Ever,
}

/// The course of an operation: a wait, one half of the work, a wait, the other half, a wait.
#[derive(Debug)]
pub(super) struct Course {
    pub(super) waits: [Wait; 3],
    /// The index of the wait after which it fails, and the failure.
    pub(super) fails: Option<(usize, Failure)>,
    /// It loses an earlier change.
    pub(super) loses: bool,
    /// A read reports its zeroes as such, extents end early, and a trim makes zeroes.
    pub(super) sparse: bool,
}

impl Course {
    pub(super) fn draw(plan: &DiskPlan, random: &mut Rng) -> Self {
        let waits = [(); 3].map(|()| plan.wait(random));
        let fails = chance(random, plan.fails).then(|| (random.usize(..3), failure(random)));
        Self {
            waits,
            fails,
            loses: chance(random, plan.loses),
            sparse: random.bool(),
        }
    }
}

impl DiskPlan {
    fn wait(&self, random: &mut Rng) -> Wait {
        if chance(random, self.stalls) {
            Wait::Ever
        } else if chance(random, self.stands_still) {
            Wait::Storage(time(random, self.still))
        } else if chance(random, self.waits) {
            Wait::For(time(random, self.longest))
        } else if chance(random, 200) {
            Wait::Turn
        } else {
            Wait::None
        }
    }
}

fn failure(random: &mut Rng) -> Failure {
    const ALL: [Errno; 8] = [
        Errno::Eperm,
        Errno::Eio,
        Errno::Enomem,
        Errno::Einval,
        Errno::Enospc,
        Errno::Eoverflow,
        Errno::Enotsup,
        Errno::Eshutdown,
    ];
    match random.u8(..4) {
        0 => Failure::host(Errno::Eio, "the disk failed"),
        1 => Failure::plugin(Cause::Trap, "the plugin trapped"),
        _ => Failure::answer(ALL[random.usize(..ALL.len())], Some("no".to_owned())),
    }
}
