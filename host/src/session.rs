//! Back-pressure: how much of one connection's work may be under way.

use crate::limits::Limits;

/// What a request without data counts for, in bytes: its own bookkeeping.
const OVERHEAD: u64 = 256;

/// Counts the requests of one connection from their parsing to the last byte of their reply.
///
/// What doesn't fit stays in the client's socket. A single request fits always, however large, or a
/// client with a small allowance could never get anything.
#[derive(Debug)]
pub struct Admission {
    most_requests: usize,
    most_bytes: u64,
    requests: usize,
    bytes: u64,
}

/// One request's share; to be given back with [`Admission::leave`].
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Share(u64);

impl Admission {
    /// Nothing is under way.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self {
            most_requests: limits.requests,
            most_bytes: limits.inflight,
            requests: 0,
            bytes: 0,
        }
    }

    /// Admits a request that will hold `bytes`, or says that it has to wait.
    #[must_use]
    pub fn enter(&mut self, bytes: u64) -> Option<Share> {
        let bytes = bytes.saturating_add(OVERHEAD);
        let sum = self.bytes.saturating_add(bytes);
        let fits = self.requests < self.most_requests && sum <= self.most_bytes;
        (fits || self.requests == 0).then(|| {
            self.requests += 1;
            self.bytes = sum;
            Share(bytes)
        })
    }

    /// A request's reply is on its way.
    pub fn leave(&mut self, share: Share) {
        self.requests -= 1;
        self.bytes -= share.0;
    }

    /// Requests under way.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.requests
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(requests: usize, inflight: u64) -> Admission {
        Admission::new(&Limits {
            requests,
            inflight,
            ..Limits::default()
        })
    }

    #[test]
    fn the_number_of_requests_is_bounded() {
        let mut admission = admission(2, 1 << 20);
        let first = admission.enter(0).unwrap();
        let _second = admission.enter(0).unwrap();
        assert_eq!(admission.enter(0), None);
        admission.leave(first);
        assert!(admission.enter(0).is_some());
    }

    #[test]
    fn bytes_are_bounded_but_one_request_always_fits() {
        let mut admission = admission(64, 1000);
        let large = admission.enter(u64::MAX).unwrap();
        assert_eq!(admission.enter(0), None);
        admission.leave(large);
        let _small = admission.enter(400).unwrap();
        assert_eq!(admission.enter(400), None);
        assert_eq!(admission.requests(), 1);
    }
}
