//! Turns by weight: start-time fair queueing (Goyal, Vin and Cheng, 1996).
//!
//! The next turn goes to the member that has had the least so far, measured by weight. A member that comes back after a
//! pause begins where the others are, and gets nothing for its absence. No tasks, no clock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The weight at which virtual time passes like time.
const USUAL_WEIGHT: u64 = 100;

/// Members that take turns, each with a value of its own.
#[derive(Debug)]
pub(super) struct Fair<T> {
    /// The virtual time of the member that had the last turn.
    now: u64,
    next: u64,
    members: BTreeMap<u64, Member<T>>,
    /// The members with waiters: virtual time and number.
    waiting: BTreeSet<(u64, u64)>,
}

#[derive(Debug)]
struct Member<T> {
    weight: u64,
    /// The time that it has had, divided by its weight, in ns.
    time: u64,
    /// How many of its waiters there are.
    waits: usize,
    own: T,
}

impl<T> Default for Fair<T> {
    fn default() -> Self {
        Self {
            now: 0,
            next: 0,
            members: BTreeMap::new(),
            waiting: BTreeSet::new(),
        }
    }
}

impl<T> Fair<T> {
    /// Adds a member of this weight. Returns its number.
    pub(super) fn join(&mut self, weight: u64, own: T) -> u64 {
        let number = self.next;
        self.next += 1;
        let member = Member {
            weight: weight.max(1),
            time: self.now,
            waits: 0,
            own,
        };
        self.members.insert(number, member);
        number
    }

    /// Removes a member.
    pub(super) fn part(&mut self, number: u64) {
        if let Some(member) = self.members.remove(&number) {
            self.waiting.remove(&(member.time, number));
        }
    }

    /// Replaces a member's weight, for later charges.
    pub(super) fn set_weight(&mut self, number: u64, weight: u64) {
        if let Some(member) = self.members.get_mut(&number) {
            member.weight = weight.max(1);
        }
    }

    /// A member's own value.
    pub(super) fn own(&mut self, number: u64) -> Option<&mut T> {
        self.members.get_mut(&number).map(|member| &mut member.own)
    }

    /// Charges a member the cost of its turn beyond what it has `paid`, or returns what it has paid too much.
    pub(super) fn charge(&mut self, number: u64, cost: Duration, paid: Duration) {
        self.catch_up(number);
        let Some(member) = self.members.get_mut(&number) else {
            return;
        };
        let before = member.time;
        let more = member.scaled(cost.saturating_sub(paid));
        let less = member.scaled(paid.saturating_sub(cost));
        member.time = before.saturating_add(more).saturating_sub(less);
        if self.waiting.remove(&(before, number)) {
            self.waiting.insert((member.time, number));
        }
    }

    /// Notes that a turn of the member begins.
    pub(super) fn begin(&mut self, number: u64) {
        self.catch_up(number);
        if let Some(member) = self.members.get(&number) {
            self.now = self.now.max(member.time);
        }
    }

    /// Adds a waiter of the member.
    pub(super) fn wait(&mut self, number: u64) {
        self.catch_up(number);
        if let Some(member) = self.members.get_mut(&number) {
            member.waits += 1;
            self.waiting.insert((member.time, number));
        }
    }

    /// Removes a waiter of the member.
    pub(super) fn unwait(&mut self, number: u64) {
        if let Some(member) = self.members.get_mut(&number) {
            member.waits = member.waits.saturating_sub(1);
            if member.waits == 0 {
                self.waiting.remove(&(member.time, number));
            }
        }
    }

    /// The member that has the next turn, if any member has waiters.
    pub(super) fn first(&self) -> Option<u64> {
        self.waiting.first().map(|(_, number)| *number)
    }

    /// How many waiters all members have.
    pub(super) fn waits(&self) -> usize {
        self.members.values().map(|member| member.waits).sum()
    }

    /// Checks the invariants. `waits` tells how many waiters a member's own value has.
    pub(super) fn check(&self, waits: impl Fn(&T) -> usize) {
        for (number, member) in &self.members {
            assert_eq!(member.waits, waits(&member.own), "waiters of {number}");
            let has_turns = self.waiting.contains(&(member.time, *number));
            assert_eq!(has_turns, member.waits > 0, "turns of {number}");
        }
        let waiting = self.members.values().filter(|member| member.waits > 0);
        assert_eq!(waiting.count(), self.waiting.len(), "turns of nobody");
    }

    /// A member without waiters was away: it begins where the others are.
    fn catch_up(&mut self, number: u64) {
        if let Some(member) = self.members.get_mut(&number)
            && member.waits == 0
        {
            member.time = member.time.max(self.now);
        }
    }
}

impl<T> Member<T> {
    fn scaled(&self, time: Duration) -> u64 {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        nanos.saturating_mul(USUAL_WEIGHT) / self.weight
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLICE: Duration = Duration::from_millis(1);

    /// How many of `turns` each member gets if all of them always wait.
    fn turns(weights: &[u64], turns: usize) -> Vec<usize> {
        let mut fair = Fair::default();
        for weight in weights {
            let number = fair.join(*weight, ());
            fair.wait(number);
        }
        let mut got = vec![0; weights.len()];
        for _ in 0..turns {
            let number = fair.first().unwrap();
            fair.begin(number);
            fair.charge(number, SLICE, Duration::ZERO);
            got[usize::try_from(number).unwrap()] += 1;
        }
        got
    }

    #[test]
    fn weights_are_shares() {
        assert_eq!(turns(&[100, 100], 1000), [500, 500]);
        let got = turns(&[100, 300, 600], 1000);
        assert!(got[0].abs_diff(100) <= 2, "{got:?}");
        assert!(got[1].abs_diff(300) <= 2, "{got:?}");
    }

    #[test]
    fn the_least_weight_gets_its_turn_too() {
        let got = turns(&[1, 10_000], 100_000);
        assert!((9..=11).contains(&got[0]), "{got:?}");
    }

    #[test]
    fn an_absent_member_gets_nothing_for_its_absence() {
        let mut fair = Fair::default();
        let (one, two) = (fair.join(100, ()), fair.join(100, ()));
        fair.wait(one);
        for _ in 0..1000 {
            fair.begin(one);
            fair.charge(one, SLICE, Duration::ZERO);
        }
        fair.wait(two);
        let mut got = [0, 0];
        for _ in 0..10 {
            let number = fair.first().unwrap();
            fair.begin(number);
            fair.charge(number, SLICE, Duration::ZERO);
            got[usize::try_from(number).unwrap()] += 1;
        }
        assert!((4..=6).contains(&got[0]), "{got:?}");
    }

    #[test]
    fn an_overpaid_turn_is_refunded() {
        let mut fair = Fair::default();
        let (one, two) = (fair.join(100, ()), fair.join(100, ()));
        fair.charge(one, 3 * SLICE, Duration::ZERO);
        fair.charge(one, SLICE, 3 * SLICE);
        fair.charge(two, 2 * SLICE, Duration::ZERO);
        fair.wait(two);
        fair.wait(one);
        assert_eq!(fair.first(), Some(one), "one slice against two");
    }

    #[test]
    fn a_member_without_waiters_has_no_turn() {
        let mut fair = Fair::default();
        let (one, two) = (fair.join(100, ()), fair.join(100, ()));
        assert_eq!(fair.first(), None);
        fair.wait(one);
        fair.wait(one);
        fair.unwait(one);
        assert_eq!(fair.first(), Some(one), "another waiter is left");
        fair.wait(two);
        fair.part(one);
        assert_eq!(fair.first(), Some(two));
        fair.unwait(two);
        assert_eq!(fair.first(), None);
    }
}
