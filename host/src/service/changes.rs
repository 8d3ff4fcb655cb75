//! The reasons for a reload: a changed file, SIGHUP, or a message of the keeper, which watches for both.

use std::borrow::Cow;

use outside::Keeper;

use super::FileWatcher;
use super::signals::Hangup;
use crate::walls;

/// A source of reasons for a reload.
pub(crate) struct Changes {
    /// `None` if the process has a keeper, which sends the reasons.
    own: Option<Own>,
}

struct Own {
    watcher: FileWatcher,
    hangup: Option<Hangup>,
    /// The reason in the log if a file changed.
    seen: &'static str,
}

impl Changes {
    /// Changes of files. Calls `watch` to watch them, unless the process has a keeper. `seen` is the reason in the log.
    ///
    /// # Errors
    /// `watch` failed.
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

    /// Makes SIGHUP a reason, too. From now on it doesn't end the process.
    ///
    /// # Errors
    /// The process can't catch SIGHUP.
    pub(super) fn or_hangup(mut self) -> anyhow::Result<Self> {
        let hangup = Hangup::catch()?;
        match &mut self.own {
            Some(own) => own.hangup = Some(hangup),
            // The keeper handles SIGHUP. Here it must only not end the process.
            None => drop(hangup),
        }
        Ok(self)
    }

    /// Waits for the next reason. Dropping the future loses none.
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
