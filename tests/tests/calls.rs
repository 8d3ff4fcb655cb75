//! The seccomp lists beside what strace has seen: `tests/setup/calls.sh` runs the suites under strace, and then this.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::path::PathBuf;

use nbdbox_tests::calls::{VARIABLE, recorded};
use sandbox::Role;

/// Calls on a list that no test makes on x86-64, and the reason for each.
const UNSEEN: &[(&str, i64, &str)] = &[
    (
        "behind-walls",
        24,
        "sched_yield: a thread that waits for a lock",
    ),
    (
        "compile-plugin",
        15,
        "rt_sigreturn: the return from a signal handler",
    ),
    ("compile-plugin", 60, "exit: a thread's end"),
    (
        "compile-plugin",
        219,
        "restart_syscall: made by the kernel after SIGCONT",
    ),
    (
        "compile-plugin",
        228,
        "clock_gettime: if the clock can't be read without it",
    ),
];

/// Calls that fail with EPERM and do no harm, and the reason for each.
const DENIED: &[(i64, &str)] = &[
    (2, "open: libc looks for the processor's features"),
    (
        257,
        "openat: the standard library looks for limits of the control group",
    ),
    (
        72,
        "fcntl: the standard library checks a descriptor in debug builds",
    ),
];

#[test]
#[ignore = "needs records, which tests/setup/calls.sh makes"]
fn each_list_has_the_calls_that_are_made_and_no_others() {
    let folder = std::env::var_os(VARIABLE).unwrap();
    let recorded = recorded(&PathBuf::from(folder));
    let mut wrong = Vec::new();
    for (name, role) in [
        ("behind-walls", Role::Server),
        ("compile-plugin", Role::Compiler),
    ] {
        let calls = &recorded[name];
        let listed = sandbox::listed(role);
        println!(
            "{name}: {} calls made, {} listed",
            calls.made.len(),
            listed.len()
        );
        for number in &listed {
            let is_known = UNSEEN
                .iter()
                .any(|(role, unseen, _)| *role == name && unseen == number);
            match calls.made.contains(number) {
                true if is_known => {
                    wrong.push(format!("{name}: {number} is made, so UNSEEN is wrong"))
                }
                false if !is_known => wrong.push(format!("{name}: nobody makes {number}")),
                _ => {}
            }
        }
        for (number, line) in &calls.denied {
            // One that is listed may fail by its own rules.
            let is_known = DENIED.iter().any(|(known, _)| known == number);
            if !is_known && !listed.contains(number) {
                wrong.push(format!("{name}: {number} is made and isn't listed: {line}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
