//! A number of things that several parties share, with a part reserved for each.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A limit on a number of things, for all parties together.
///
/// Half of the things are reserved, in equal parts, for parties that have few. The rest goes to whichever party comes
/// first. So a party gets its part whatever others hold, and may have more while others don't want it.
#[derive(Debug)]
pub struct SharedCount(Mutex<State>);

#[derive(Debug)]
struct State {
    most: usize,
    next: u64,
    /// How many things each party has.
    held: BTreeMap<u64, usize>,
}

/// A party that shares the things.
#[derive(Debug)]
pub struct CountParty {
    whole: Arc<SharedCount>,
    number: u64,
}

/// One of the things; returned when it's dropped.
#[derive(Debug)]
pub struct PartyPermit(Arc<CountParty>);

impl SharedCount {
    /// A limit of `most` things, without parties so far.
    #[must_use]
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            most,
            next: 0,
            held: BTreeMap::new(),
        })))
    }

    /// Adds a party, so less is reserved for each of the others.
    #[must_use]
    pub fn join(self: &Arc<Self>) -> Arc<CountParty> {
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        state.held.insert(number, 0);
        drop(state);
        Arc::new(CountParty {
            whole: Arc::clone(self),
            number,
        })
    }

    /// How many things are reserved for each party; 0 if there are too many parties.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.state().kept()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code panics half-way through a change while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn kept(&self) -> usize {
        self.most / 2 / self.held.len().max(1)
    }

    /// Whether a party may have one more: counts the things that others hold, and those reserved for them.
    fn has_room_for(&self, party: u64) -> bool {
        let kept = self.kept();
        let own = self.held.get(&party).copied().unwrap_or(0);
        let others = self.held.iter().filter(|(other, _)| **other != party);
        let others: usize = others
            .map(|(_, held)| match own < kept {
                true => *held,
                false => kept.max(*held),
            })
            .sum();
        own + others < self.most
    }
}

impl CountParty {
    /// Takes one more; `None` if all are taken or reserved for others.
    #[must_use]
    pub fn take(self: &Arc<Self>) -> Option<PartyPermit> {
        let mut state = self.whole.state();
        if !state.has_room_for(self.number) {
            return None;
        }
        *state.held.entry(self.number).or_default() += 1;
        drop(state);
        Some(PartyPermit(Arc::clone(self)))
    }
}

impl Drop for CountParty {
    fn drop(&mut self) {
        // The party has nothing left: each permit holds the party.
        self.whole.state().held.remove(&self.number);
    }
}

impl Drop for PartyPermit {
    fn drop(&mut self) {
        if let Some(held) = self.0.whole.state().held.get_mut(&self.0.number) {
            *held -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take_all(party: &Arc<CountParty>) -> Vec<PartyPermit> {
        std::iter::from_fn(|| party.take()).collect()
    }

    #[test]
    fn nobody_can_take_the_part_reserved_for_others() {
        let whole = SharedCount::new(20);
        let parties: Vec<_> = (0..5).map(|_| whole.join()).collect();
        assert_eq!(whole.kept(), 2);
        let first = take_all(&parties[0]);
        assert_eq!(first.len(), 12, "all but two for each of the others");
        let others: Vec<_> = parties[1..].iter().map(take_all).collect();
        assert!(others.iter().all(|held| held.len() == 2));
        drop(first);
        assert_eq!(take_all(&parties[1]).len(), 10);
    }

    #[test]
    fn a_party_that_is_alone_takes_all() {
        let whole = SharedCount::new(7);
        let party = whole.join();
        assert_eq!(take_all(&party).len(), 7);
    }

    #[test]
    fn more_parties_than_things_are_first_come_first_served() {
        let whole = SharedCount::new(2);
        let parties: Vec<_> = (0..5).map(|_| whole.join()).collect();
        assert_eq!(whole.kept(), 0);
        let first = parties[0].take().unwrap();
        let _second = parties[1].take().unwrap();
        assert!(parties[2].take().is_none());
        drop(first);
        assert!(parties[2].take().is_some());
    }

    #[test]
    fn a_party_that_left_has_nothing_reserved() {
        let whole = SharedCount::new(4);
        let (one, two) = (whole.join(), whole.join());
        let held = two.take().unwrap();
        drop(two);
        assert_eq!(take_all(&one).len(), 3, "it still has one");
        drop(held);
        assert_eq!(take_all(&one).len(), 4);
    }
}
