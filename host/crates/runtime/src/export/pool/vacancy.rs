//! A place for a new instance.

use std::time::Instant;

use device::Deadline;
use quota::CountPermit;
use tokio::sync::SemaphorePermit;

use super::{Lease, Member, Pool, Pooled, State};

/// A place for a new instance. Dropping it unfilled makes the place free again.
pub(crate) struct Vacancy<'a, T: Pooled> {
    pool: &'a Pool<T>,
    permit: Option<SemaphorePermit<'a>>,
    share: Option<CountPermit>,
    /// The new instance's number.
    pub(crate) number: u64,
    /// The request that makes the instance.
    request: Deadline,
}

impl<'a, T: Pooled> Vacancy<'a, T> {
    pub(super) fn new(
        pool: &'a Pool<T>,
        state: &mut State<T>,
        permit: SemaphorePermit<'a>,
        share: CountPermit,
        number: u64,
        request: Deadline,
    ) -> Self {
        state.holders.push(request.clone());
        pool.check(state);
        Self {
            pool,
            permit: Some(permit),
            share: Some(share),
            number,
            request,
        }
    }

    /// Puts a new, open instance into the place, and lends it.
    pub(crate) fn fill(mut self, instance: T) -> Lease<'a, T> {
        let member = Member {
            instance,
            _share: self.share.take(),
        };
        let mut state = self.pool.state();
        // From here on the lease is the holder.
        state.let_go(&self.request);
        Lease::new(
            self.pool,
            &mut state,
            member,
            self.permit.take(),
            self.request.clone(),
        )
    }

    /// Records that the instance couldn't be made, which counts as a crash. The place becomes free.
    pub(crate) fn failed(self) {
        self.pool.state().crashes.note_failure(Instant::now());
    }
}

impl<T: Pooled> Drop for Vacancy<'_, T> {
    fn drop(&mut self) {
        // A vacancy that was filled has no permit any more.
        if let Some(permit) = self.permit.take() {
            self.share = None;
            let mut state = self.pool.state();
            state.let_go(&self.request);
            state.taken -= 1;
            self.pool.try_again(&mut state);
            self.pool.check(&state);
            drop(state);
            drop(permit);
        }
    }
}
