//! What says that the operator's words have changed: their files, SIGHUP, or the keeper, which sees both.

use std::borrow::Cow;

use outside::Keeper;

use super::FileWatcher;
use super::signals::Hangup;
use crate::walls;

/// Says when to look again.
pub(crate) struct Changes {
    /// `None` if the keeper says it.
    own: Option<Own>,
}

struct Own {
    watcher: FileWatcher,
    hangup: Option<Hangup>,
    seen: &'static str,
}

impl Changes {
    /// Of files that `watch` begins to watch, called `seen` in the log; SIGHUP counts too if it's caught.
    ///
    /// # Errors
    /// They can't be watched.
    pub(crate) fn of_files(
        watch: impl FnOnce() -> anyhow::Result<FileWatcher>,
        seen: &'static str,
    ) -> anyhow::Result<Self> {
        let own = match Keeper::get() {
            Some(_) => None,
            None => Some(Own {
                watcher: watch()?,
                hangup: None,
                seen,
            }),
        };
        Ok(Self { own })
    }

    /// SIGHUP counts too. From here on it doesn't end the process.
    ///
    /// # Errors
    /// It can't be caught.
    pub(super) fn or_hangup(mut self) -> anyhow::Result<Self> {
        let hangup = Hangup::catch()?;
        match &mut self.own {
            Some(own) => own.hangup = Some(hangup),
            // The keeper hears it: here it only mustn't end the process.
            None => drop(hangup),
        }
        Ok(self)
    }

    /// Waits for a reason to look again. Dropping it loses none.
    pub(crate) async fn reason(&mut self) -> Cow<'static, str> {
        let Some(own) = &mut self.own else {
            return walls::reload().await.into();
        };
        let hangup = async {
            match &mut own.hangup {
                Some(hangup) => hangup.wait().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = hangup => "SIGHUP".into(),
            () = own.watcher.changed() => own.seen.into(),
        }
    }
}
