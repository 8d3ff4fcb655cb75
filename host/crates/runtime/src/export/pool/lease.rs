//! An instance in use, and the one way in which every use ends.

use std::time::Instant;

use device::Deadline;
use tokio::sync::SemaphorePermit;

use super::{Member, Pool, Pooled, State};

/// An instance, lent to one call. Unless it's given back it counts as broken: a call that was given
/// up half-way leaves a store that can't be used.
pub(crate) struct Lease<'a, T: Pooled> {
    pool: &'a Pool<T>,
    member: Option<Member<T>>,
    /// `None` after a hand-over, when the permit was kept for whoever got the instance.
    permit: Option<SemaphorePermit<'a>>,
    /// Whose call it is.
    request: Deadline,
}

/// What is to become of an instance that was lent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Kept,
    /// It's in order, and not wanted any more.
    Retired,
    Broken,
}

impl<'a, T: Pooled> Lease<'a, T> {
    pub(super) fn new(
        pool: &'a Pool<T>,
        state: &mut State<T>,
        member: Member<T>,
        permit: Option<SemaphorePermit<'a>>,
        request: Deadline,
    ) -> Self {
        state.holders.push(request.clone());
        Self {
            pool,
            member: Some(member),
            permit,
            request,
        }
    }

    /// The instance.
    pub(crate) fn instance(&mut self) -> &mut T {
        let member = self.member.as_mut();
        &mut member
            .expect("a lease holds its instance until it's given back")
            .instance
    }

    /// The call has ended well enough.
    pub(crate) fn give_back(mut self) {
        self.end(End::Kept);
    }

    /// The call has ended well, and the instance has nothing to flush: when another is needed, it's made.
    pub(crate) fn retire(mut self) {
        self.end(End::Retired);
    }

    fn end(&mut self, end: End) {
        let Some(member) = self.member.take() else {
            return;
        };
        let (number, is_dirty) = (member.instance.number(), member.instance.is_dirty());
        let kept = (end == End::Kept).then_some(member);
        // From here on one that isn't kept is gone, without the lock: that takes a while. Its place among its
        // tenant's is free for whoever gets the permit.
        let pool = self.pool;
        let mut state = pool.state();
        state.let_go(&self.request);
        if end == End::Broken {
            state.crashes.note_failure(Instant::now());
        } else {
            state.crashes.note_success();
        }
        if is_dirty && kept.is_some() {
            state.dirty.insert(number);
        } else {
            if is_dirty {
                pool.losses.note();
            }
            state.dirty.remove(&number);
        }
        match kept {
            Some(member) if state.wanted.contains_key(&number) => {
                state.handed.push(member);
                if let Some(permit) = self.permit.take() {
                    permit.forget();
                }
            }
            Some(member) => {
                state.idle.push(member);
                self.release(&mut state);
            }
            None => {
                state.taken -= 1;
                self.release(&mut state);
            }
        }
        pool.check(&state);
        let awaited = state.is_awaited();
        drop(state);
        if awaited {
            pool.returned.notify_waiters();
        }
    }

    fn release(&mut self, state: &mut State<T>) {
        match self.permit.take() {
            Some(permit) => drop(permit),
            None => self.pool.permits.add_permits(1),
        }
        self.pool.try_again(state);
    }
}

impl<T: Pooled> Drop for Lease<'_, T> {
    fn drop(&mut self) {
        self.end(End::Broken);
    }
}
