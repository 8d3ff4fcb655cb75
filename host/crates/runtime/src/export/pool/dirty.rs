//! What a flush goes through: the instances that had something to flush.

use std::collections::BTreeSet;

use device::Deadline;
use device::fault::Failure;
use tokio::sync::SemaphorePermit;

use super::{Lease, Member, Pool, Pooled};

/// The instances that had something to flush at some moment. When they're lent, they come here next,
/// before those that wait for any instance: a busy export can't starve a flush.
pub(crate) struct Dirty<'a, T: Pooled> {
    pool: &'a Pool<T>,
    numbers: BTreeSet<u64>,
}

/// How a flush finds the next instance.
enum Next<'a, T: Pooled> {
    Found(Lease<'a, T>),
    /// That was all.
    None,
    /// All that are left are lent.
    Lent,
    /// One is idle, but calls that are about to use one have all permits.
    NoPermit,
}

impl<'a, T: Pooled> Dirty<'a, T> {
    /// They are wanted already.
    pub(super) fn new(pool: &'a Pool<T>, numbers: BTreeSet<u64>) -> Self {
        Self { pool, numbers }
    }

    /// The next one, for a request that flushes, leaving out those that are gone or were flushed by somebody else.
    ///
    /// # Errors
    /// The request has ended.
    pub(crate) async fn next(
        &mut self,
        request: &Deadline,
    ) -> Result<Option<Lease<'a, T>>, Failure> {
        let pool = self.pool;
        let mut permit = None;
        loop {
            let returned = pool.returned.notified();
            tokio::pin!(returned);
            // From here on no return is missed.
            returned.as_mut().enable();
            match self.try_next(permit.take(), request) {
                Next::Found(lease) => return Ok(Some(lease)),
                Next::None => return Ok(None),
                Next::Lent => pool.queue(request, returned).await?,
                // A call may give its permit up instead of using it: then nothing returns.
                Next::NoPermit => {
                    let free = async {
                        tokio::select! {
                            () = returned => None,
                            free = pool.permits.acquire() => free.ok(),
                        }
                    };
                    permit = pool.queue(request, free).await?;
                }
            }
        }
    }

    /// Finds the next one. `permit` is for one that is idle, if the caller has one already.
    fn try_next(&mut self, permit: Option<SemaphorePermit<'a>>, request: &Deadline) -> Next<'a, T> {
        let pool = self.pool;
        let mut state = pool.state();
        let done: Vec<u64> = self.numbers.difference(&state.dirty).copied().collect();
        for number in done {
            self.numbers.remove(&number);
            pool.permits.add_permits(state.unwant(number));
        }
        if self.numbers.is_empty() {
            pool.check(&state);
            return Next::None;
        }
        let wanted = |one: &Member<T>| self.numbers.contains(&one.instance.number());
        let (member, permit) = if let Some(index) = state.handed.iter().position(wanted) {
            (state.handed.swap_remove(index), None)
        } else if let Some(index) = state.idle.iter().position(wanted) {
            let Some(permit) = permit.or_else(|| pool.permits.try_acquire().ok()) else {
                return Next::NoPermit;
            };
            (state.idle.swap_remove(index), Some(permit))
        } else {
            return Next::Lent;
        };
        let number = member.instance.number();
        self.numbers.remove(&number);
        // It was taken out of `handed` above: no permit comes free.
        state.unwant(number);
        pool.check(&state);
        let lease = Lease::new(pool, &mut state, member, permit, request.clone());
        Next::Found(lease)
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
