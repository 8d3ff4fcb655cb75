//! Sums with a limit: bytes of memory, mappings of the address space.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of memory that the host holds for an export, for a tenant, or for all tenants.
///
/// Without it, one tenant could take the machine's memory by many instances, each within its own limit, and all tenants
/// together the memory that the host needs.
pub type MemoryQuota = SumQuota;

/// Bytes of a [`MemoryQuota`].
pub type MemoryCharge = SumCharge;

/// Mappings of the process's address space (proc(5), `max_map_count`). Without it, one tenant could use them up: then
/// the process can map nothing for anybody, and the exports of others fail.
pub type MappingQuota = SumQuota;

/// Mappings of a [`MappingQuota`].
pub type MappingCharge = SumCharge;

/// The owner of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// An export.
    Export,
    /// A tenant.
    Tenant,
    /// The whole process. If its limit denies an amount, the host is at fault.
    Process,
}

/// A limit on an amount, possibly within another limit.
#[derive(Debug)]
pub struct SumQuota {
    holder: Holder,
    limit: AtomicU64,
    used: AtomicU64,
    /// How often this limit denied an amount.
    refusals: AtomicU64,
    /// The enclosing quota (an export's is within its tenant's), which is charged too.
    above: Option<Arc<Self>>,
}

impl SumQuota {
    /// A quota of `limit`.
    #[must_use]
    pub fn new(holder: Holder, limit: u64) -> Arc<Self> {
        Self::made(holder, limit, None)
    }

    /// A quota of `limit` within `above`.
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

    /// Replaces the limit. Holders keep what they have beyond it.
    pub fn set(&self, limit: u64) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// The limit.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    /// The amount in use.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// How often this limit denied an amount. Denials by an enclosing limit don't count.
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

/// A holder's part of a quota; returned when it's dropped.
#[derive(Debug)]
pub struct SumCharge {
    quota: Arc<SumQuota>,
    held: u64,
}

impl SumCharge {
    /// A part of nothing, so far.
    #[must_use]
    pub fn new(quota: Arc<SumQuota>) -> Self {
        Self { quota, held: 0 }
    }

    /// The amount that it holds.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.held
    }

    /// Takes `amount` more, or nothing.
    ///
    /// # Errors
    /// The owner of the limit that denied it.
    pub fn take(&mut self, amount: u64) -> Result<(), Holder> {
        self.quota.take(amount)?;
        self.held += amount;
        Ok(())
    }

    /// Returns `amount`, or all if it holds less.
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
    fn the_denying_limit_is_named_and_the_inner_quotas_are_unchanged() {
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
