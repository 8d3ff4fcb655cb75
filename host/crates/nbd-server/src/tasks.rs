//! Spawned tasks, with an owner and a bound.
//!
//! All work that the server spawns has an owner, a bound and an end. `clippy.toml` forbids the plain ways to spawn, so
//! that no work lacks them. Code that spawns in another way states the owner and the bound in its `expect`.

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
    /// A set for at most `most` tasks at once, or 1 if `most` is 0. The log names `owner` if a task panics.
    #[must_use]
    pub fn new(owner: impl Into<String>, most: usize) -> Self {
        Self {
            owner: owner.into(),
            most: most.max(1),
            running: JoinSet::new(),
        }
    }

    /// Spawns a task, after waiting until the owner has fewer than it may have. If the future is dropped before that,
    /// only `work` is lost.
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

    /// Waits until all tasks have ended. Dropping the future cancels none.
    pub async fn all_ended(&mut self) {
        while !self.running.is_empty() {
            self.next_ended().await;
        }
    }

    /// The number of tasks that haven't ended. It may include tasks that ended since the last call of another method.
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
            tracing::error!(target: "nbdbox::server", "a task of {owner} panicked: {error}");
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
    async fn the_owner_has_no_more_tasks_than_its_bound() {
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
    async fn a_task_that_panics_frees_its_place() {
        let mut tasks = Tasks::new("somebody", 1);
        tasks.begin(async { panic!("as the test wants it") }).await;
        tasks.begin(async {}).await;
        tasks.all_ended().await;
        assert_eq!(tasks.count(), 0);
    }
}
