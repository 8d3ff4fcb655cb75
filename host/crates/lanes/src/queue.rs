//! The jobs that wait for a thread, and when another thread begins or ends. No thread is seen here.

use std::collections::VecDeque;

/// Jobs, first come first, and the threads that take them.
#[derive(Debug)]
pub(crate) struct Queue<J> {
    jobs: VecDeque<J>,
    /// Threads that there are, or that are about to begin.
    threads: usize,
    /// Those of them that wait for a job.
    idle: usize,
    most: usize,
}

impl<J> Queue<J> {
    /// A queue for as many as `most` threads, of which there is none yet.
    pub(crate) const fn new(most: usize) -> Self {
        Self {
            jobs: VecDeque::new(),
            threads: 0,
            idle: 0,
            most,
        }
    }

    /// Adds a job. Whether a thread is to begin for it: it counts already.
    pub(crate) fn push(&mut self, job: J) -> bool {
        self.jobs.push_back(job);
        let begins = self.jobs.len() > self.idle && self.threads < self.most;
        self.threads += usize::from(begins);
        begins
    }

    /// The thread that was to begin can't. Without any other, what waits is given up: returns it.
    pub(crate) fn cannot_begin(&mut self) -> VecDeque<J> {
        self.threads -= 1;
        if self.threads == 0 {
            return std::mem::take(&mut self.jobs);
        }
        VecDeque::new()
    }

    /// A thread takes the next job.
    pub(crate) fn pop(&mut self) -> Option<J> {
        self.jobs.pop_front()
    }

    /// A thread waits for a job.
    pub(crate) fn rest(&mut self) {
        self.idle += 1;
    }

    /// It waits no longer.
    pub(crate) fn wake(&mut self) {
        self.idle -= 1;
    }

    /// A thread ends, which isn't waiting.
    pub(crate) fn end(&mut self) {
        self.threads -= 1;
    }

    /// Threads that there are.
    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// Jobs that no thread has taken yet.
    pub(crate) fn waiting(&self) -> usize {
        self.jobs.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_begin_for_jobs_that_nobody_waits_for() {
        let mut queue = Queue::new(2);
        assert!(queue.push(1));
        assert_eq!(queue.pop(), Some(1));
        assert!(queue.push(2), "the first is at work");
        assert!(!queue.push(3), "there are as many as there may be");
        assert_eq!((queue.pop(), queue.pop()), (Some(2), Some(3)));
        queue.rest();
        assert!(!queue.push(4), "one waits for it");
        queue.wake();
        assert_eq!(queue.pop(), Some(4));
    }

    #[test]
    fn jobs_are_given_up_only_if_there_is_no_thread() {
        let mut queue = Queue::new(2);
        assert!(queue.push(1));
        assert_eq!(queue.pop(), Some(1));
        assert!(queue.push(2));
        assert!(queue.cannot_begin().is_empty(), "the first will come to it");
        queue.end();
        assert!(queue.push(3));
        assert_eq!(queue.cannot_begin(), [2, 3]);
        assert_eq!((queue.threads(), queue.waiting()), (0, 0));
    }
}
