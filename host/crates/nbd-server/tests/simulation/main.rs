//! Whole connections in simulated time: clients, an export with its quotas, deadlines, stops and hang-ups.
//!
//! A schedule is everything that happens to the connections of one export. Its seed decides all of it: no thread, no
//! clock of the machine and no random order takes part. If a schedule breaks a promise, the test runs it again, prints
//! each step, and names the seed. `SEED=1234 cargo test --workspace --test simulation -- --nocapture` prints all steps
//! of one schedule, and `SCHEDULES=100000` runs that many.

#![expect(clippy::disallowed_methods, reason = "the test's own tasks")]
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod audit;
mod client;
mod disk;
mod exports;
mod history;
mod ledger;
mod requests;
mod schedule;
mod tally;
mod world;

use std::env;
use std::fmt::Display;
use std::panic::{catch_unwind, resume_unwind};
use std::time::Duration;

use nbd_proto::Framing;
use schedule::{Ending, Reading, Schedule, Stop, When};
use tally::Tally;
use world::{Outcome, run};

/// The number of schedules, unless SCHEDULES sets another.
const SCHEDULES: u64 = 6000;

/// A number in the environment.
fn variable(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().expect("SEED and SCHEDULES are numbers"))
}

/// Runs a schedule. If the schedule breaks a promise, runs it again and prints its steps.
fn check(name: &dyn Display, schedule: &Schedule) -> Outcome {
    let checked = catch_unwind(|| run(schedule, false));
    checked.unwrap_or_else(|panic| {
        eprintln!("{name} broke a promise, and runs again: {schedule:#?}");
        let _ = catch_unwind(|| run(schedule, true));
        eprintln!("{name} broke a promise");
        resume_unwind(panic)
    })
}

#[test]
fn every_schedule_keeps_the_promises() {
    if let Some(seed) = variable("SEED") {
        let schedule = Schedule::of(seed);
        eprintln!("{schedule:#?}");
        run(&schedule, true);
        return;
    }
    let mut tally = Tally::default();
    let schedules = variable("SCHEDULES").unwrap_or(SCHEDULES);
    for seed in 0..schedules {
        tally.add(check(&format!("SEED={seed}"), &Schedule::of(seed)).tally);
    }
    if schedules >= SCHEDULES {
        tally.check();
    }
}

#[test]
fn a_seed_repeats() {
    for seed in 0..100 {
        let [one, other] = [(); 2].map(|()| run(&Schedule::of(seed), false).digest);
        assert_eq!(one, other, "SEED={seed}");
    }
}

/// Short schedules in all framings, each of one client that nothing disturbs.
fn short() -> impl Iterator<Item = Schedule> {
    let framings = [Framing::Simple, Framing::Structured, Framing::Extended];
    (0..9)
        .zip(framings.into_iter().cycle())
        .map(|(seed, framing)| Schedule::short(seed, framing))
}

/// Short schedules of two clients that share `most` requests.
fn neighbours(most: u32) -> impl Iterator<Item = Schedule> {
    short().map(move |schedule| schedule.with_neighbour(most))
}

/// Runs each schedule once for each byte that its first client sends. `change` gets the number of that byte.
fn at_each_byte(schedules: impl Iterator<Item = Schedule>, change: impl Fn(&mut Schedule, u64)) {
    for schedule in schedules {
        for at in 0..=run(&schedule, false).sent {
            let mut schedule = schedule.clone();
            change(&mut schedule, at);
            check(&format!("byte {at}"), &schedule);
        }
    }
}

#[test]
fn a_client_may_end_after_every_byte_that_it_sends() {
    for ending in [Ending::HangUp, Ending::HalfClose, Ending::Silence] {
        at_each_byte(short(), |schedule, at| {
            schedule.clients[0].end_at(at, ending)
        });
    }
}

#[test]
fn nobody_waits_for_a_client_that_has_ended() {
    for ending in [Ending::HangUp, Ending::HalfClose, Ending::Silence] {
        let schedules = (1..=2).flat_map(neighbours);
        at_each_byte(schedules, |schedule, at| {
            schedule.clients[0].end_at(at, ending)
        });
    }
}

#[test]
fn a_client_may_stop_reading_after_every_byte() {
    for mut schedule in short() {
        // The server keeps the rest of the replies.
        schedule.pipe = 16;
        for at in 0..=run(&schedule, false).heard {
            schedule.clients[0].reading = Reading::Until(at);
            check(&format!("byte {at}"), &schedule);
        }
    }
}

#[test]
fn a_server_may_stop_after_every_byte_that_it_is_sent() {
    for drain in [Duration::ZERO, Duration::from_secs(600)] {
        at_each_byte(short(), |schedule, at| {
            let when = When::Sent(at);
            schedule.stop = Some(Stop { when, drain });
        });
    }
}

#[test]
fn nobody_waits_for_a_client_when_the_server_has_stopped() {
    let schedules = (1..=2).flat_map(neighbours);
    at_each_byte(schedules, |schedule, at| {
        schedule.clients[0].end_at(at, Ending::Silence);
        schedule.stop = Some(Stop {
            when: When::After(Duration::from_millis(3)),
            drain: Duration::from_secs(600),
        });
    });
}
