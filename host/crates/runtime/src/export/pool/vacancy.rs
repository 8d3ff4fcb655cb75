//! A place in which an instance is made.

use std::time::Instant;

use quota::CountPermit;
use tokio::sync::SemaphorePermit;

use super::{Lease, Member, Pool, Pooled};

/// A place for a new instance. Dropped unfilled, it's free again.
pub(crate) struct Vacancy<'a, T: Pooled> {
    pool: &'a Pool<T>,
    permit: Option<SemaphorePermit<'a>>,
    share: Option<CountPermit>,
    /// The new instance's number.
    pub(crate) number: u64,
}

impl<'a, T: Pooled> Vacancy<'a, T> {
    pub(super) fn new(
        pool: &'a Pool<T>,
        permit: SemaphorePermit<'a>,
        share: CountPermit,
        number: u64,
    ) -> Self {
        Self {
            pool,
            permit: Some(permit),
            share: Some(share),
            number,
        }
    }

    /// The instance was made and is open.
    pub(crate) fn fill(mut self, instance: T) -> Lease<'a, T> {
        let member = Member {
            instance,
            _share: self.share.take(),
        };
        Lease::new(self.pool, member, self.permit.take())
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
            state.taken -= 1;
            self.pool.try_again(&mut state);
            self.pool.check(&state);
            drop(state);
            drop(permit);
        }
    }
}
