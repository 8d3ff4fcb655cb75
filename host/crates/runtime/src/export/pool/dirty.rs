//! The instances that a flush goes through: those with changes to flush when it began.

use std::collections::BTreeSet;

use device::Deadline;
use device::fault::Failure;
use tokio::sync::SemaphorePermit;

use super::{Lease, Member, Pool, Pooled};

/// The instances that had changes to flush at one moment. An instance of these that is lent comes here when it's
/// returned, before calls that wait for any instance get it. So a busy export can't starve a flush.
pub(crate) struct Dirty<'a, T: Pooled> {
    pool: &'a Pool<T>,
    numbers: BTreeSet<u64>,
}

/// What a flush found.
enum Next<'a, T: Pooled> {
    Found(Lease<'a, T>),
    /// There are no more.
    None,
    /// All that are left are lent.
    Lent,
    /// One is idle, but calls that are about to use a permit hold all of them.
    NoPermit,
}

impl<'a, T: Pooled> Dirty<'a, T> {
    /// The caller has already entered `numbers` into the pool's `wanted`.
    pub(super) fn new(pool: &'a Pool<T>, numbers: BTreeSet<u64>) -> Self {
        Self { pool, numbers }
    }

    /// Returns the next instance, for a request that flushes; `None` if there are no more. Skips instances that are
    /// gone or that another flush has flushed. Dropping the future is safe.
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
            // From here on, this future sees each return.
            returned.as_mut().enable();
            match self.try_next(permit.take(), request) {
                Next::Found(lease) => return Ok(Some(lease)),
                Next::None => return Ok(None),
                Next::Lent => pool.queue(request, returned).await?,
                // A call may give up its permit without using it. Then no instance is returned.
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

    /// Looks for the next instance. `permit` is for an idle one, if the caller already has a permit.
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
        // Taken out of `handed` above, so no permit comes free.
        state.unwant(number);
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
