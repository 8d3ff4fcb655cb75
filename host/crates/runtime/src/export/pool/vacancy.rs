//! A place in which an instance is made.

use std::time::Instant;

use device::Deadline;
use quota::CountPermit;
use tokio::sync::SemaphorePermit;

use super::{Lease, Member, Pool, Pooled, State};

/// A place for a new instance. Dropped unfilled, it's free again.
pub(crate) struct Vacancy<'a, T: Pooled> {
    pool: &'a Pool<T>,
    permit: Option<SemaphorePermit<'a>>,
    share: Option<CountPermit>,
    /// The new instance's number.
    pub(crate) number: u64,
    /// Who makes it.
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
        Self {
            pool,
            permit: Some(permit),
            share: Some(share),
            number,
            request,
        }
    }

    /// The instance was made and is open.
    pub(crate) fn fill(mut self, instance: T) -> Lease<'a, T> {
        let member = Member {
            instance,
            _share: self.share.take(),
        };
        let mut state = self.pool.state();
        // The lease has it from here on.
        state.let_go(&self.request);
        Lease::new(
            self.pool,
            &mut state,
            member,
            self.permit.take(),
            self.request.clone(),
        )
    }

    /// It could not be made.
    pub(crate) fn failed(self) {
        self.pool.state().crashes.note_failure(Instant::now());
    }
}

impl<T: Pooled> Drop for Vacancy<'_, T> {
    fn drop(&mut self) {
        // Filled, unless the permit is still here.
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
