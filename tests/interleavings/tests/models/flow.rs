//! Requests in flight: each connection that queues is admitted, and the limits hold at every moment.

use std::sync::Arc;
use std::task::{Context, Waker};

use interleavings::{check, join, wait_until};
use quota::{FlowQuota, FlowTicket};
use shuttle::thread;

fn enter(ticket: &mut FlowTicket, bytes: u64) {
    wait_until(|cx| ticket.enter(bytes, cx));
}

/// Tries once, for a task that can't be woken.
fn try_enter(ticket: &mut FlowTicket, bytes: u64) -> bool {
    ticket.enter(bytes, &Context::from_waker(Waker::noop()))
}

/// A connection that sends requests of these lengths, one after the other.
fn connection(quota: &Arc<FlowQuota>, requests: &'static [u64]) -> thread::JoinHandle<()> {
    let quota = Arc::clone(quota);
    thread::spawn(move || {
        let mut ticket = FlowTicket::new(Arc::clone(&quota));
        for bytes in requests {
            enter(&mut ticket, *bytes);
            assert_within_limits(&quota);
            ticket.leave(*bytes);
        }
    })
}

/// At most two requests with 100 bytes together, or a single one of any length.
fn assert_within_limits(quota: &FlowQuota) {
    let (requests, bytes) = quota.used();
    assert!(requests <= 2, "{requests} requests");
    assert!(bytes <= 100 || requests == 1, "{bytes} bytes of {requests}");
}

#[test]
fn each_request_is_admitted_and_the_limits_hold() {
    check(|| {
        let quota = FlowQuota::new(2, 100);
        join([
            connection(&quota, &[60, 60]),
            connection(&quota, &[60, 200]),
            connection(&quota, &[30, 30, 30]),
        ]);
        assert_eq!(quota.used(), (0, 0));
    });
}

#[test]
fn a_connection_that_gives_up_or_ends_delays_no_other() {
    check(|| {
        let quota = FlowQuota::new(1, 100);
        let gives_up = |ends: bool| {
            let quota = Arc::clone(&quota);
            thread::spawn(move || {
                let mut ticket = FlowTicket::new(quota);
                if try_enter(&mut ticket, 10) {
                    // The ticket is dropped with a request in flight.
                    return;
                }
                thread::yield_now();
                if !ends {
                    ticket.give_up();
                    assert!(!ticket.is_queued());
                    enter(&mut ticket, 10);
                }
            })
        };
        join([
            gives_up(true),
            gives_up(false),
            connection(&quota, &[10]),
            connection(&quota, &[10]),
        ]);
        assert_eq!(quota.used(), (0, 0));
    });
}

#[test]
fn a_higher_limit_admits_a_connection_that_queues() {
    check(|| {
        let quota = FlowQuota::new(1, 10);
        let mut held = FlowTicket::new(Arc::clone(&quota));
        assert!(try_enter(&mut held, 10));
        let waits = connection(&quota, &[50]);
        let other = {
            let quota = Arc::clone(&quota);
            thread::spawn(move || {
                quota.set(1, 100);
                quota.set(2, 100);
            })
        };
        // The first request stays in flight, so only the higher limits can admit the other one.
        join([waits, other]);
        assert_eq!(quota.used(), (1, 10));
    });
}

#[test]
fn a_connection_is_woken_when_another_one_wants_its_part() {
    check(|| {
        let quota = FlowQuota::new(1, 100);
        let mut held = FlowTicket::new(Arc::clone(&quota));
        assert!(try_enter(&mut held, 10));
        let holder = thread::spawn(move || {
            wait_until(|cx| held.is_wanted(cx));
            held.leave(10);
            // Now it queues itself.
            enter(&mut held, 10);
        });
        join([
            holder,
            connection(&quota, &[10]),
            connection(&quota, &[10, 10]),
        ]);
        assert_eq!(quota.used(), (0, 0));
    });
}

#[test]
fn the_task_that_tried_last_is_woken() {
    check(|| {
        let quota = FlowQuota::new(1, 100);
        let mut held = FlowTicket::new(Arc::clone(&quota));
        assert!(try_enter(&mut held, 10));
        let mut ticket = FlowTicket::new(Arc::clone(&quota));
        assert!(!try_enter(&mut ticket, 10));
        let waits = thread::spawn(move || enter(&mut ticket, 10));
        join([thread::spawn(move || held.leave(10)), waits]);
        assert_eq!(quota.used(), (0, 0));
    });
}

#[test]
fn small_requests_overtake_no_large_one() {
    check(|| {
        let quota = FlowQuota::new(3, 100);
        let mut held = FlowTicket::new(Arc::clone(&quota));
        assert!(try_enter(&mut held, 50));
        let mut large = FlowTicket::new(Arc::clone(&quota));
        assert!(!try_enter(&mut large, 70));
        let large = thread::spawn(move || {
            enter(&mut large, 70);
            large.leave(70);
        });
        let small = || {
            let quota = Arc::clone(&quota);
            thread::spawn(move || {
                let mut ticket = FlowTicket::new(Arc::clone(&quota));
                enter(&mut ticket, 7);
                // It's never in flight together with the first request, for which the large one waits.
                let (_, bytes) = quota.used();
                assert!(bytes < 50 || bytes >= 70, "{bytes} bytes");
                ticket.leave(7);
            })
        };
        let leaves = thread::spawn(move || held.leave(50));
        join([leaves, large, small(), small()]);
        assert_eq!(quota.used(), (0, 0));
    });
}
