//! `--exit-with-parent`.

use anyhow::{Context as _, bail};
use rustix::process::{Signal, getppid, set_parent_process_death_signal};

/// Sees to it that this process gets SIGTERM when the one that started it ends. As prctl(2) has it, that's when the
/// thread ends that started it. To be called by the first thread, at the beginning.
///
/// # Errors
/// It has ended already, or the kernel can't do that.
pub(super) fn end_with_it() -> anyhow::Result<()> {
    let parent = getppid();
    set_parent_process_death_signal(Some(Signal::TERM))
        .context("the kernel can't tell of the parent's end (--exit-with-parent)")?;
    if getppid() != parent {
        bail!("the process that started this one has ended (--exit-with-parent)");
    }
    Ok(())
}
