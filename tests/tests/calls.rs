//! The seccomp lists beside what strace has seen: `tests/setup/calls.sh` runs the suites under strace, and then this.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::path::PathBuf;

use nbdbox_tests::calls::{VARIABLE, recorded};
use sandbox::Role;

/// Calls on a list that no test makes on this machine, and the reason for each.
const UNSEEN: &[(&str, i64, &str)] = &[];

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
            let is_known = UNSEEN.iter().any(|(_, unseen, _)| unseen == number);
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
            if !listed.contains(number) {
                wrong.push(format!("{name}: {number} is made and isn't listed: {line}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
