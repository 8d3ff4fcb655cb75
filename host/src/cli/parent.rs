//! `--exit-with-parent`: the end of the parent process ends this one.

use anyhow::{Context as _, bail};
use rustix::process::{Signal, getppid, set_parent_process_death_signal};

/// Makes the kernel send SIGTERM to this process when its parent ends: as prctl(2) has it, when the parent's thread
/// ends that started this process. Must be called by the first thread, at the beginning.
///
/// # Errors
/// The parent has ended already; the kernel can't do this.
pub(super) fn end_with_it() -> anyhow::Result<()> {
    let parent = getppid();
    set_parent_process_death_signal(Some(Signal::TERM))
        .context("the kernel can't report the parent's end (--exit-with-parent)")?;
    if getppid() != parent {
        bail!("the process that started this one has ended (--exit-with-parent)");
    }
    Ok(())
}
