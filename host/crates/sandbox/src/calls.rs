//! seccomp: it denies all system calls except those on a list (seccomp(2)).
//!
//! A call that isn't on the list fails with EPERM, and the process goes on, so a library that makes a needless call
//! gets an error and doesn't kill the server. `clone3` fails with ENOSYS, because a filter can't see its flags in
//! memory. glibc then falls back to `clone`, whose flags the filter sees.

mod call;
mod compiler;
mod server;
mod threads;

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use libc::{EINVAL, ENOSYS, EPERM, SYS_clone3};
use seccompiler::{BpfProgram, Error, SeccompAction, SeccompFilter, TargetArch, apply_filter};

use self::call::Call;
use crate::Role;

/// Denies this thread all calls that aren't on its role's list. Returns what the kernel lacks.
///
/// # Errors
/// The kernel has seccomp, but refused a filter.
pub(crate) fn deny_others(role: Role) -> Result<Vec<String>, Error> {
    // The kernel runs both filters, and the strictest result counts. The list must come last, since it denies
    // seccomp(2).
    for filter in [without_clone3()?, only(calls(role))?] {
        match apply_filter(&filter) {
            Err(Error::Seccomp(error)) if is_missing(&error) => {
                return Ok(vec![
                    "seccomp filters (CONFIG_SECCOMP_FILTER enables them)".to_owned(),
                ]);
            }
            done => done?,
        }
    }
    Ok(Vec::new())
}

/// The system calls of a role, by their numbers on this architecture.
pub(crate) fn listed(role: Role) -> BTreeSet<i64> {
    calls(role).map(|call| call.number).collect()
}

fn calls(role: Role) -> impl Iterator<Item = &'static Call> {
    let list = match role {
        Role::Compiler => compiler::CALLS,
        Role::Server => server::CALLS,
    };
    threads::CALLS.iter().chain(list)
}

/// "EINVAL: operation is unknown or is not supported by this kernel version or configuration" (seccomp(2)).
fn is_missing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(EINVAL | ENOSYS))
}

fn only<'a>(calls: impl Iterator<Item = &'a Call>) -> Result<BpfProgram, Error> {
    let mut rules = BTreeMap::new();
    for call in calls {
        rules
            .entry(call.number)
            .or_insert_with(Vec::new)
            .extend(call.rules()?);
    }
    rules.insert(SYS_clone3, Vec::new());
    filter(
        rules,
        SeccompAction::Errno(EPERM as u32),
        SeccompAction::Allow,
    )
}

fn without_clone3() -> Result<BpfProgram, Error> {
    let rules = [(SYS_clone3, Vec::new())].into();
    filter(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(ENOSYS as u32),
    )
}

fn filter(
    rules: BTreeMap<i64, Vec<seccompiler::SeccompRule>>,
    others: SeccompAction,
    these: SeccompAction,
) -> Result<BpfProgram, Error> {
    let target = TargetArch::try_from(std::env::consts::ARCH)?;
    Ok(SeccompFilter::new(rules, others, these, target)?.try_into()?)
}

#[cfg(test)]
mod tests {
    use libc::*;

    use super::*;

    const LISTS: [&[Call]; 3] = [compiler::CALLS, server::CALLS, threads::CALLS];

    #[test]
    fn calls_that_an_intruder_needs_are_on_no_list() {
        let wanted = [
            SYS_openat,
            SYS_openat2,
            SYS_open_by_handle_at,
            SYS_execve,
            SYS_execveat,
            SYS_socket,
            SYS_bind,
            SYS_listen,
            SYS_connect,
            SYS_ptrace,
            SYS_process_vm_readv,
            SYS_process_vm_writev,
            SYS_pidfd_getfd,
            SYS_kill,
            SYS_tkill,
            SYS_mount,
            SYS_umount2,
            SYS_move_mount,
            SYS_unshare,
            SYS_setns,
            SYS_keyctl,
            SYS_add_key,
            SYS_bpf,
            SYS_io_uring_setup,
            SYS_userfaultfd,
            SYS_perf_event_open,
            SYS_init_module,
            SYS_setuid,
            SYS_capset,
            SYS_unlinkat,
            SYS_renameat2,
            SYS_mkdirat,
            SYS_linkat,
            SYS_fchmodat,
            SYS_chdir,
        ];
        for list in LISTS {
            for number in wanted {
                assert!(list.iter().all(|call| call.number != number), "{number}");
            }
        }
    }

    #[test]
    fn no_memory_is_writable_and_executable() {
        for list in LISTS {
            for number in [SYS_mmap, SYS_mprotect] {
                let calls = list.iter().filter(|call| call.number == number);
                for call in calls {
                    assert!(!call.allows(2, PROT_READ | PROT_WRITE | PROT_EXEC));
                    assert!(!call.allows(2, PROT_WRITE | PROT_EXEC));
                }
            }
        }
    }

    #[test]
    fn both_filters_fit_into_the_kernels_limit() {
        for list in LISTS {
            let program = only(list.iter()).unwrap();
            // BPF_MAXINSNS.
            assert!(program.len() < 4096, "{}", program.len());
        }
        without_clone3().unwrap();
    }
}
