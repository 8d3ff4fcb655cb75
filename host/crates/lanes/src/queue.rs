//! The jobs that wait for a thread, and the rules by which threads begin and end. It handles no threads itself.

use std::collections::VecDeque;

/// Jobs in order of arrival, and counts of the threads that run them.
#[derive(Debug)]
pub(crate) struct Queue<J> {
    jobs: VecDeque<J>,
    /// The threads that exist, and the one that is about to begin.
    threads: usize,
    /// The threads that wait for a job.
    idle: usize,
    most: usize,
}

impl<J> Queue<J> {
    /// A queue for at most `most` threads; none exists yet.
    pub(crate) const fn new(most: usize) -> Self {
        Self {
            jobs: VecDeque::new(),
            threads: 0,
            idle: 0,
            most,
        }
    }

    /// Adds a job. Whether the caller must begin a thread for it, which is counted already.
    pub(crate) fn push(&mut self, job: J) -> bool {
        self.jobs.push_back(job);
        let begins = self.jobs.len() > self.idle && self.threads < self.most;
        self.threads += usize::from(begins);
        self.check();
        begins
    }

    /// Notes that the thread that the last `push` requested can't begin. If there is no other thread, returns the job of
    /// that `push`, which nobody will run.
    pub(crate) fn cannot_begin(&mut self) -> Option<J> {
        self.threads -= 1;
        let given_up = match self.threads {
            0 => self.jobs.pop_back(),
            _ => None,
        };
        self.check();
        given_up
    }

    /// Takes the next job.
    pub(crate) fn pop(&mut self) -> Option<J> {
        self.jobs.pop_front()
    }

    /// Notes that a thread waits for a job.
    pub(crate) fn rest(&mut self) {
        self.idle += 1;
        self.check();
    }

    /// Notes that a thread waits no longer.
    pub(crate) fn wake(&mut self) {
        self.idle -= 1;
        self.check();
    }

    /// Notes that a thread ends, which isn't waiting.
    pub(crate) fn end(&mut self) {
        self.threads -= 1;
        self.check();
    }

    /// The number of threads.
    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// The number of jobs that no thread has taken.
    pub(crate) fn waiting(&self) -> usize {
        self.jobs.len()
    }

    /// Checks the invariants at the end of each transition, in debug builds.
    fn check(&self) {
        if !cfg!(debug_assertions) {
            return;
        }
        assert!(self.idle <= self.threads, "more threads wait than exist");
        assert!(self.threads <= self.most, "a thread too many");
        assert!(
            self.threads > 0 || self.jobs.is_empty(),
            "no thread will take the jobs"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_begin_for_jobs_that_no_thread_waits_for() {
        let mut queue = Queue::new(2);
        assert!(queue.push(1));
        assert_eq!(queue.pop(), Some(1));
        assert!(queue.push(2), "the first thread is at work");
        assert!(!queue.push(3), "there are as many threads as there may be");
        assert_eq!((queue.pop(), queue.pop()), (Some(2), Some(3)));
        queue.rest();
        assert!(!queue.push(4), "a thread waits for it");
        queue.wake();
        assert_eq!(queue.pop(), Some(4));
    }

    #[test]
    fn jobs_are_given_up_only_if_there_is_no_thread() {
        let mut queue = Queue::new(2);
        assert!(queue.push(1));
        assert_eq!(queue.pop(), Some(1));
        assert!(queue.push(2));
        assert_eq!(queue.cannot_begin(), None, "the first thread will take it");
        assert_eq!(queue.pop(), Some(2));
        queue.end();
        assert!(queue.push(3));
        assert_eq!(queue.cannot_begin(), Some(3));
        assert_eq!((queue.threads(), queue.waiting()), (0, 0));
    }
}
