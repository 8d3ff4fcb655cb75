//! What a flush goes through: the instances that had something to flush.

use std::collections::BTreeSet;

use super::{Lease, Member, Pool, Pooled};

/// The instances that had something to flush at some moment. When they're lent, they come here next,
/// before those that wait for any instance: a busy export can't starve a flush.
pub(crate) struct Dirty<'a, T: Pooled> {
    pool: &'a Pool<T>,
    numbers: BTreeSet<u64>,
}

impl<'a, T: Pooled> Dirty<'a, T> {
    /// They are wanted already.
    pub(super) fn new(pool: &'a Pool<T>, numbers: BTreeSet<u64>) -> Self {
        Self { pool, numbers }
    }

    /// The next one, leaving out those that are gone or were flushed by somebody else.
    pub(crate) async fn next(&mut self) -> Option<Lease<'a, T>> {
        loop {
            let returned = self.pool.returned.notified();
            tokio::pin!(returned);
            // From here on no return is missed.
            returned.as_mut().enable();
            if let Some(found) = self.try_next() {
                return found;
            }
            returned.await;
        }
    }

    /// `None`: wait. `Some(None)`: that was all.
    fn try_next(&mut self) -> Option<Option<Lease<'a, T>>> {
        let pool = self.pool;
        let mut state = pool.state();
        let done: Vec<u64> = self.numbers.difference(&state.dirty).copied().collect();
        for number in done {
            self.numbers.remove(&number);
            pool.permits.add_permits(state.unwant(number));
        }
        if self.numbers.is_empty() {
            pool.check(&state);
            return Some(None);
        }
        let wanted = |one: &Member<T>| self.numbers.contains(&one.instance.number());
        let (member, permit) = if let Some(index) = state.handed.iter().position(wanted) {
            (state.handed.swap_remove(index), None)
        } else {
            let index = state.idle.iter().position(wanted)?;
            let permit = pool.permits.try_acquire().ok()?;
            (state.idle.swap_remove(index), Some(permit))
        };
        let number = member.instance.number();
        self.numbers.remove(&number);
        // It was taken out of `handed` above: no permit comes free.
        state.unwant(number);
        pool.check(&state);
        Some(Some(Lease::new(pool, member, permit)))
    }
}

impl<T: Pooled> Drop for Dirty<'_, T> {
    fn drop(&mut self) {
        let mut state = self.pool.state();
        for number in &self.numbers {
            self.pool.permits.add_permits(state.unwant(*number));
        }
        self.pool.check(&state);
    }
}
