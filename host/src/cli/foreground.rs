//! The terminal, lent to a process group for as long as it runs.
//!
//! Only one group may read from a terminal, and Ctrl-C and Ctrl-Z are for it: without the loan, a command in a group of
//! its own would be stopped at its first look at the keyboard.

use std::fs::File;

use nix::sys::signal::{SigSet, Signal as NixSignal};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, getpgrp, kill_process_group, waitid};
use rustix::termios::{tcgetpgrp, tcsetpgrp};

/// A loan, or none where there's no terminal, or where this process isn't in its foreground.
#[derive(Default)]
pub(super) struct Foreground(Option<Loan>);

struct Loan {
    terminal: File,
    group: Pid,
}

impl Foreground {
    /// Lends the terminal to a group that has just been made.
    pub(super) fn lend(group: Pid) -> Self {
        let terminal = File::options().read(true).write(true).open("/dev/tty").ok();
        let terminal = terminal.filter(|terminal| tcgetpgrp(terminal) == Ok(getpgrp()));
        let loan = terminal.map(|terminal| Loan { terminal, group });
        if let Some(loan) = &loan {
            loan.give(group);
        }
        Self(loan)
    }

    /// To be called when a child has changed: if the group was stopped (Ctrl-Z), stops this process's own group as
    /// well, so that whoever started it gets the terminal. Goes on with both when they're wanted again.
    pub(super) fn stop_together(&self) {
        let Some(loan) = &self.0 else { return };
        let stopped = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
        let is_stopped = matches!(waitid(WaitId::Pid(loan.group), stopped), Ok(Some(_)));
        if !is_stopped {
            return;
        }
        loan.give(getpgrp());
        // Returns when somebody continues it.
        let _ = kill_process_group(getpgrp(), Signal::STOP);
        if tcgetpgrp(&loan.terminal) == Ok(getpgrp()) {
            loan.give(loan.group);
        } else {
            let _ = kill_process_group(loan.group, Signal::CONT);
        }
    }
}

impl Loan {
    fn give(&self, group: Pid) {
        // Whoever isn't in the foreground is stopped for this, unless the signal is blocked (tcsetpgrp(3)).
        let background = SigSet::from(NixSignal::SIGTTOU);
        let blocked = background.thread_block();
        let _ = tcsetpgrp(&self.terminal, group);
        if blocked.is_ok() {
            let _ = background.thread_unblock();
        }
        // It may have looked at the keyboard before.
        let _ = kill_process_group(group, Signal::CONT);
    }
}

impl Drop for Foreground {
    fn drop(&mut self) {
        if let Some(loan) = &self.0 {
            loan.give(getpgrp());
        }
    }
}
