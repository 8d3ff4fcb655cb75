//! Sums that end at a limit: bytes of memory, mappings of the address space.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of memory that the host holds for an export, a tenant, or all of them.
///
/// Restrains one tenant from taking the machine's memory by many instances, each within its own limit, and all of them
/// together from taking what the host needs.
pub type MemoryQuota = SumQuota;

/// Bytes of a [`MemoryQuota`].
pub type MemoryCharge = SumCharge;

/// Mappings of the process's address space (proc(5), `max_map_count`). Where they end nothing can be mapped for
/// anybody, so that others' exports fail.
pub type MappingQuota = SumQuota;

/// Mappings of a [`MappingQuota`].
pub type MappingCharge = SumCharge;

/// Whose limit it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// An export's.
    Export,
    /// A tenant's.
    Tenant,
    /// The whole process's: where it ends nobody who asks is to blame, but the host.
    Process,
}

/// An amount that may be had at once, maybe within another one.
#[derive(Debug)]
pub struct SumQuota {
    holder: Holder,
    limit: AtomicU64,
    used: AtomicU64,
    /// Times that this limit stood in the way.
    refusals: AtomicU64,
    /// The tenant's, for an export's: what is taken from this is taken from that too.
    above: Option<Arc<Self>>,
}

impl SumQuota {
    /// A quota of `limit`.
    #[must_use]
    pub fn new(holder: Holder, limit: u64) -> Arc<Self> {
        Self::made(holder, limit, None)
    }

    /// A quota of `limit` within another.
    #[must_use]
    pub fn within(above: &Arc<Self>, holder: Holder, limit: u64) -> Arc<Self> {
        Self::made(holder, limit, Some(Arc::clone(above)))
    }

    fn made(holder: Holder, limit: u64, above: Option<Arc<Self>>) -> Arc<Self> {
        Arc::new(Self {
            holder,
            limit: AtomicU64::new(limit),
            used: AtomicU64::new(0),
            refusals: AtomicU64::new(0),
            above,
        })
    }

    /// Sets another limit. What is held beyond it is kept.
    pub fn set(&self, limit: u64) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// The limit.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    /// How much is in use now.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// How often this limit, not one above it, stood in the way.
    #[must_use]
    pub fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::Relaxed)
    }

    fn take(&self, amount: u64) -> Result<(), Holder> {
        let limit = self.limit();
        let more = |used: u64| used.checked_add(amount).filter(|sum| *sum <= limit);
        let taken = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        if taken.is_err() {
            self.refusals.fetch_add(1, Ordering::Relaxed);
            return Err(self.holder);
        }
        let granted = self
            .above
            .as_ref()
            .map_or(Ok(()), |above| above.take(amount));
        if granted.is_err() {
            self.used.fetch_sub(amount, Ordering::Relaxed);
        }
        granted
    }

    fn give_back(&self, amount: u64) {
        self.used.fetch_sub(amount, Ordering::Relaxed);
        if let Some(above) = &self.above {
            above.give_back(amount);
        }
    }
}

/// A part of a quota, given back when it's dropped.
#[derive(Debug)]
pub struct SumCharge {
    quota: Arc<SumQuota>,
    held: u64,
}

impl SumCharge {
    /// Nothing so far.
    #[must_use]
    pub fn new(quota: Arc<SumQuota>) -> Self {
        Self { quota, held: 0 }
    }

    /// How much is held.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.held
    }

    /// Takes `amount` more, or nothing.
    ///
    /// # Errors
    /// Whose limit stands in the way.
    pub fn take(&mut self, amount: u64) -> Result<(), Holder> {
        self.quota.take(amount)?;
        self.held += amount;
        Ok(())
    }

    /// Gives `amount` back, or all that is held if that's less.
    pub fn give_back(&mut self, amount: u64) {
        let amount = amount.min(self.held);
        self.held -= amount;
        self.quota.give_back(amount);
    }
}

impl Drop for SumCharge {
    fn drop(&mut self) {
        self.quota.give_back(self.held);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_together_stay_under_the_quota_and_are_given_back() {
        let quota = SumQuota::new(Holder::Tenant, 100);
        let mut one = SumCharge::new(Arc::clone(&quota));
        let mut two = SumCharge::new(Arc::clone(&quota));
        assert_eq!(one.take(60), Ok(()));
        assert_eq!(two.take(41), Err(Holder::Tenant));
        assert_eq!(two.take(u64::MAX), Err(Holder::Tenant));
        assert_eq!(two.take(40), Ok(()));
        assert_eq!(quota.refusals(), 2);
        drop(one);
        assert_eq!(quota.used(), 40);
        assert_eq!(two.take(60), Ok(()));
    }

    #[test]
    fn a_part_can_be_given_back_and_no_more_than_is_held() {
        let quota = SumQuota::new(Holder::Tenant, 100);
        let mut one = SumCharge::new(Arc::clone(&quota));
        assert_eq!(one.take(60), Ok(()));
        one.give_back(20);
        assert_eq!((one.held(), quota.used()), (40, 40));
        one.give_back(u64::MAX);
        assert_eq!((one.held(), quota.used()), (0, 0));
    }

    #[test]
    fn whoever_refuses_is_named_and_nothing_is_taken_from_those_below() {
        let process = SumQuota::new(Holder::Process, 70);
        let tenant = SumQuota::within(&process, Holder::Tenant, 50);
        let export = SumQuota::within(&tenant, Holder::Export, 100);
        let mut share = SumCharge::new(Arc::clone(&export));
        assert_eq!(share.take(60), Err(Holder::Tenant));
        assert_eq!((export.used(), tenant.used(), process.used()), (0, 0, 0));
        assert_eq!(share.take(50), Ok(()));
        tenant.set(1000);
        assert_eq!(share.take(51), Err(Holder::Export));
        assert_eq!(share.take(21), Err(Holder::Process));
        assert_eq!((export.used(), tenant.used(), process.used()), (50, 50, 50));
        let refusals = [&export, &tenant, &process].map(|quota| quota.refusals());
        assert_eq!(refusals, [1, 1, 1]);
        drop(share);
        assert_eq!((export.used(), tenant.used(), process.used()), (0, 0, 0));
    }
}
