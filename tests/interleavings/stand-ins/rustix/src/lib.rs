//! The part of rustix that `lanes` uses: the clocks of CPU time.

/// As rustix's.
pub mod time {
    /// As rustix's.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum ClockId {
        /// As rustix's.
        ThreadCPUTime,
        /// As rustix's.
        ProcessCPUTime,
    }

    /// As rustix's.
    #[derive(Clone, Copy, Debug)]
    pub struct Timespec {
        /// As rustix's.
        pub tv_sec: i64,
        /// As rustix's.
        pub tv_nsec: i64,
    }

    /// The model's clock: a job computes whenever the model advances it.
    #[must_use]
    pub fn clock_gettime(_clock: ClockId) -> Timespec {
        let now = stand_in_std::time::Instant::now().since_start();
        Timespec {
            tv_sec: now.as_secs().cast_signed(),
            tv_nsec: now.subsec_nanos().into(),
        }
    }
}
