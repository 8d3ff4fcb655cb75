//! Lends the terminal to a process group while that group runs.
//!
//! Only one group may read from a terminal, and Ctrl-C and Ctrl-Z go to that group. Without the loan, the kernel would
//! stop a command in a group of its own at its first read from the keyboard.

use std::fs::File;

use nix::sys::signal::{SigSet, Signal as NixSignal};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, getpgrp, kill_process_group, waitid};
use rustix::termios::{tcgetpgrp, tcsetpgrp};

/// A loan of the terminal. There is none without a terminal, or if this process isn't in its foreground.
#[derive(Default)]
pub(super) struct Foreground(Option<Loan>);

struct Loan {
    terminal: File,
    group: Pid,
}

impl Foreground {
    /// Lends the terminal to a new group.
    pub(super) fn lend(group: Pid) -> Self {
        let terminal = File::options().read(true).write(true).open("/dev/tty").ok();
        let terminal = terminal.filter(|terminal| tcgetpgrp(terminal) == Ok(getpgrp()));
        let loan = terminal.map(|terminal| Loan { terminal, group });
        if let Some(loan) = &loan {
            loan.give(group);
        }
        Self(loan)
    }

    /// Must be called when a child has changed state. If the group was stopped (Ctrl-Z), stops this process's own group
    /// too, so that the shell gets the terminal back. Continues both groups when the shell continues this one; blocks
    /// until then.
    pub(super) fn stop_together(&self) {
        let Some(loan) = &self.0 else { return };
        let stopped = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
        let is_stopped = matches!(waitid(WaitId::Pid(loan.group), stopped), Ok(Some(_)));
        if !is_stopped {
            return;
        }
        loan.give(getpgrp());
        // Returns when the shell continues this group.
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
        // The kernel stops a background process for this call unless it blocks SIGTTOU (tcsetpgrp(3)).
        let background = SigSet::from(NixSignal::SIGTTOU);
        let blocked = background.thread_block();
        let _ = tcsetpgrp(&self.terminal, group);
        if blocked.is_ok() {
            let _ = background.thread_unblock();
        }
        // The kernel may have stopped the group at a read before it got the terminal.
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
