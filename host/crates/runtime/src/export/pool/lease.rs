//! An instance in use, and the one way in which each use ends.

use std::time::Instant;

use device::Deadline;
use tokio::sync::SemaphorePermit;

use super::{Member, Pool, Pooled, State};

/// An instance that is lent to one call. A lease that is dropped counts as a crash, because a call that was given up
/// halfway leaves a store that can't be used.
pub(crate) struct Lease<'a, T: Pooled> {
    pool: &'a Pool<T>,
    member: Option<Member<T>>,
    /// `None` after a hand-over, which passed the permit on with the instance.
    permit: Option<SemaphorePermit<'a>>,
    /// The request that has the instance.
    request: Deadline,
}

/// What becomes of an instance after its use.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Kept,
    /// It's in order, and the pool drops it.
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
        pool.check(state);
        Self {
            pool,
            member: Some(member),
            permit,
            request,
        }
    }

    /// The lent instance.
    pub(crate) fn instance(&mut self) -> &mut T {
        let member = self.member.as_mut();
        &mut member
            .expect("a lease holds its instance until its end")
            .instance
    }

    /// Returns the instance to the pool after a call that left it in order.
    pub(crate) fn give_back(mut self) {
        self.end(End::Kept);
    }

    /// Drops the instance after a call that left it in order and without changes to flush. The pool makes another one
    /// when a call needs it.
    pub(crate) fn retire(mut self) {
        self.end(End::Retired);
    }

    fn end(&mut self, end: End) {
        let Some(member) = self.member.take() else {
            return;
        };
        let (number, is_dirty) = (member.instance.number(), member.instance.is_dirty());
        let kept = (end == End::Kept).then_some(member);
        // From here on an instance that isn't kept is gone. That takes a while, and happens without the lock. The call
        // that gets the permit can take its place in the tenant's quota.
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

    /// Returns the permit, and one that was put aside if it may be of use.
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
