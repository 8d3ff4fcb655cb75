//! The rates of the log: how many lines there may be about one export, and about one listener.
//!
//! Clients and plugins cause lines, so a client that can send a request could fill the operator's disk. A line's fields
//! name its owner: `export` and `tenant`, or `listener`. The rate holds for each line that names one, wherever it's
//! written, and a line that anybody except the operator can cause has to name one. The plugin's own lines have a rate
//! of their own (`--limit log`), so that a plugin that logs much can't drown what the host reports about it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// The time between two reports of dropped lines.
pub(super) const PERIOD: Duration = Duration::from_secs(10);

/// The most lines about one owner that may come at once. With fewer, the first minute of a fault would be lost.
const BURST: u32 = 200;

/// The time after which an owner may have another line.
const EACH: Duration = Duration::from_millis(50);

/// The most owners with rates of their own in one period; the others share one. Restrains a plugin that lists many
/// exports.
const OWNERS: usize = 4096;

/// The target of the log's lines about itself.
const OWN: &str = "nbdbox::log";

/// The target of the plugins' own lines.
const PLUGINS: &str = "plugin";

/// The process's rates.
pub(super) static RATES: LazyLock<Rates> = LazyLock::new(Rates::default);

/// The rates of all owners.
#[derive(Debug, Default)]
pub(super) struct Rates(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    buckets: HashMap<Owner, Bucket>,
    /// Lines that were dropped.
    dropped: u64,
}

/// The owner of a line: what the line is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Owner {
    tenant: Option<String>,
    export: Option<String>,
    listener: Option<String>,
}

/// What an owner has left of its rate.
#[derive(Debug)]
struct Bucket {
    /// When the owner has its whole burst again.
    full: Instant,
    /// Lines that were dropped since the last report.
    dropped: u64,
}

impl Rates {
    /// The number of lines that were dropped.
    pub(super) fn dropped(&self) -> u64 {
        self.state().dropped
    }

    /// Ends a period: reports what was dropped, and forgets owners that had no lines.
    pub(super) fn tell(&self, now: Instant) {
        let told = self.state().end_period(now);
        for (owner, dropped) in told {
            let Owner {
                tenant,
                export,
                listener,
            } = owner;
            tracing::warn!(
                target: OWN,
                tenant,
                export,
                listener,
                lines = dropped,
                "more lines about it were dropped: there were too many"
            );
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No change under this lock can panic half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether a line about this owner may be written now.
    fn admit(&mut self, owner: Owner, now: Instant) -> bool {
        let known = self.buckets.contains_key(&owner);
        let owner = match known || self.buckets.len() < OWNERS {
            true => owner,
            false => Owner::default(),
        };
        let bucket = self.buckets.entry(owner).or_insert(Bucket {
            full: now,
            dropped: 0,
        });
        let admitted = bucket.admit(now);
        self.dropped += u64::from(!admitted);
        admitted
    }

    /// The number of lines of each owner that were dropped in the period that ends.
    fn end_period(&mut self, now: Instant) -> Vec<(Owner, u64)> {
        let mut told = Vec::new();
        self.buckets.retain(|owner, bucket| {
            let dropped = std::mem::take(&mut bucket.dropped);
            if dropped > 0 {
                told.push((owner.clone(), dropped));
            }
            bucket.full > now
        });
        told
    }
}

impl Bucket {
    fn admit(&mut self, now: Instant) -> bool {
        let full = self.full.max(now) + EACH;
        let fits = full.saturating_duration_since(now) <= EACH * BURST;
        if fits {
            self.full = full;
        } else {
            self.dropped += 1;
        }
        fits
    }
}

impl<S: Subscriber> Layer<S> for &'static Rates {
    /// tracing calls this for each line that passes the operator's filter.
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        if matches!(event.metadata().target(), OWN | PLUGINS) {
            return true;
        }
        let mut owner = Owner::default();
        event.record(&mut owner);
        owner == Owner::default() || self.state().admit(owner, Instant::now())
    }
}

impl Visit for Owner {
    fn record_str(&mut self, field: &Field, value: &str) {
        let place = match field.name() {
            "tenant" => &mut self.tenant,
            "export" => &mut self.export,
            "listener" => &mut self.listener,
            _ => return,
        };
        *place = Some(value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if matches!(field.name(), "tenant" | "export" | "listener") {
            self.record_str(field, &format!("{value:?}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn export(name: &str) -> Owner {
        Owner {
            export: Some(name.to_owned()),
            ..Owner::default()
        }
    }

    fn admitted(state: &mut State, owner: &Owner, now: Instant, lines: u32) -> u32 {
        let admitted = (0..lines).filter(|_| state.admit(owner.clone(), now));
        u32::try_from(admitted.count()).unwrap()
    }

    #[test]
    fn each_owner_has_a_burst_and_then_its_rate() {
        let (mut state, now) = (State::default(), Instant::now());
        let (one, other) = (export("one"), export("other"));
        assert_eq!(admitted(&mut state, &one, now, 2 * BURST), BURST);
        assert_eq!(
            admitted(&mut state, &other, now, 5),
            5,
            "its rate is its own"
        );
        let later = now + 3 * EACH;
        assert_eq!(admitted(&mut state, &one, later, 10), 3);
        let much_later = now + EACH * BURST * 2;
        assert_eq!(admitted(&mut state, &one, much_later, 2 * BURST), BURST);
    }

    #[test]
    fn dropped_lines_are_reported_once_and_silent_owners_are_forgotten() {
        let (mut state, now) = (State::default(), Instant::now());
        let one = export("one");
        let _ = admitted(&mut state, &one, now, BURST + 7);
        assert_eq!(state.end_period(now), [(one.clone(), 7)]);
        assert_eq!(state.end_period(now), []);
        assert_eq!(
            admitted(&mut state, &one, now, 1),
            0,
            "its burst isn't back yet"
        );
        let later = now + EACH * BURST;
        assert_eq!(state.end_period(later), [(one, 1)]);
        assert!(state.buckets.is_empty());
        assert_eq!(state.dropped, 8);
    }

    #[test]
    fn owners_past_all_bounds_share_one_rate() {
        let (mut state, now) = (State::default(), Instant::now());
        for number in 0..OWNERS {
            assert!(state.admit(export(&number.to_string()), now));
        }
        let more = (0..2 * BURST).filter(|number| state.admit(export(&format!("m{number}")), now));
        assert_eq!(more.count(), BURST as usize);
        assert_eq!(state.buckets.len(), OWNERS + 1);
    }
}
