//! Tasks that are begun for somebody, with an owner and a bound.
//!
//! Whatever the server does for others has an owner, a bound and an end. `clippy.toml` forbids the plain ways to begin
//! work, so that none is forgotten; where it's begun by another way, the place says whose it is and what bounds it.

use std::future::Future;

use tokio::task::{JoinError, JoinSet};

/// The tasks of one owner. Dropping it cancels them.
#[derive(Debug)]
pub struct Tasks {
    owner: String,
    most: usize,
    running: JoinSet<()>,
}

impl Tasks {
    /// Tasks of `owner`, whom the log names if one panics; `most` of them at once, one at least.
    #[must_use]
    pub fn new(owner: impl Into<String>, most: usize) -> Self {
        Self {
            owner: owner.into(),
            most: most.max(1),
            running: JoinSet::new(),
        }
    }

    /// Begins a task, once the owner has fewer than it may have. Dropping it before that loses the task and nothing
    /// else.
    pub async fn begin(&mut self, work: impl Future<Output = ()> + Send + 'static) {
        while let Some(ended) = self.running.try_join_next() {
            self.note(ended);
        }
        while self.running.len() >= self.most {
            self.next_ended().await;
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "here it has an owner and a bound"
        )]
        self.running.spawn(work);
    }

    /// Waits until all have ended. Dropping it cancels none.
    pub async fn all_ended(&mut self) {
        while !self.running.is_empty() {
            self.next_ended().await;
        }
    }

    /// How many haven't ended, as far as was looked.
    #[must_use]
    pub fn count(&self) -> usize {
        self.running.len()
    }

    async fn next_ended(&mut self) {
        if let Some(ended) = self.running.join_next().await {
            self.note(ended);
        }
    }

    fn note(&self, ended: Result<(), JoinError>) {
        if let Err(error) = ended
            && error.is_panic()
        {
            let owner = &self.owner;
            tracing::error!(target: "nbdbox::server", "a task of {owner} ended badly: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use futures_util::FutureExt as _;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn no_more_are_begun_than_the_owner_may_have() {
        let mut tasks = Tasks::new("somebody", 2);
        let (end, ended) = oneshot::channel::<()>();
        tasks.begin(async { drop(ended.await) }).await;
        tasks.begin(pending()).await;
        assert!(tasks.begin(async {}).now_or_never().is_none());
        assert_eq!(tasks.count(), 2);
        end.send(()).unwrap();
        tasks.begin(async {}).await;
    }

    #[tokio::test]
    async fn one_that_panics_leaves_its_room() {
        let mut tasks = Tasks::new("somebody", 1);
        tasks.begin(async { panic!("as the test wants it") }).await;
        tasks.begin(async {}).await;
        tasks.all_ended().await;
        assert_eq!(tasks.count(), 0);
    }
}
