//! A log file. A lane's thread writes it from a bounded queue, so no request waits for a disk because it's logged.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use lanes::Work;

/// The most lines that wait to be written. The log drops and counts further lines, because logging must not delay the
/// requests.
const QUEUE: usize = 4096;

/// How long the end of the process waits for lines to be written. A disk that hangs must not delay it longer.
const PATIENCE: Duration = Duration::from_secs(1);

/// The files that are open, each once in the process, so that a new generation of an export continues the file of the
/// one before.
static OPEN: Mutex<Option<HashMap<PathBuf, Weak<LogFile>>>> = Mutex::new(None);

/// An open log. The thread that writes it holds it, so queued lines are written even if nobody else holds it.
#[derive(Debug)]
pub(super) struct LogFile {
    file: File,
    queue: Mutex<Queue>,
    /// Signalled when all lines are written, or no more will be.
    written: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    lines: VecDeque<String>,
    /// Lines dropped since the last line that was written.
    dropped: u64,
    /// Whether a thread writes the file or is about to; one does at a time.
    is_written: bool,
    /// Whether writing has failed for good.
    is_broken: bool,
}

impl LogFile {
    /// Opens a log, truncated unless `append`, or shares one that is already open. Blocks.
    ///
    /// # Errors
    /// The file can't be opened.
    pub(super) fn open(path: &Path, append: bool) -> io::Result<Arc<Self>> {
        // No code panics half-way through a change while it holds the lock.
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let open = open.get_or_insert_default();
        open.retain(|_, file| file.strong_count() > 0);
        if let Some(file) = open.get(path).and_then(Weak::upgrade) {
            return Ok(file);
        }
        let file = outside::files::append(path, !append)?;
        let file = Arc::new(Self {
            file,
            queue: Mutex::default(),
            written: Condvar::new(),
        });
        open.insert(path.to_owned(), Arc::downgrade(&file));
        Ok(file)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // No code panics half-way through a change while it holds the lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a line if there is room. If no thread writes the file, one of the lane begins to.
    pub(super) fn write(self: &Arc<Self>, line: String, work: &Work) {
        let mut queue = self.queue();
        if queue.is_broken {
            return;
        }
        if queue.lines.len() >= QUEUE {
            queue.dropped += 1;
            return;
        }
        queue.lines.push_back(line);
        if std::mem::replace(&mut queue.is_written, true) {
            return;
        }
        drop(queue);
        let file = Arc::clone(self);
        if work.begin(move || file.write_all()).is_err() {
            // The next line tries again.
            self.queue().is_written = false;
        }
    }

    /// Writes lines until there are none. The first error is logged, and ends the writing.
    fn write_all(&self) {
        loop {
            let mut queue = self.queue();
            if queue.lines.is_empty() || queue.is_broken {
                queue.is_written = false;
                self.written.notify_all();
                return;
            }
            let lines = std::mem::take(&mut queue.lines);
            let dropped = std::mem::take(&mut queue.dropped);
            drop(queue);
            let mut text: String = lines.into_iter().collect();
            if dropped > 0 {
                text += &format!("({dropped} lines are missing)\n");
            }
            if let Err(error) = (&self.file).write_all(text.as_bytes()) {
                tracing::error!(
                    target: "nbdbox::plugin",
                    "the filter `log` can't write its file, and logs nothing more: {error}"
                );
                self.queue().is_broken = true;
            }
        }
    }

    /// Waits until all lines are written, or until `deadline`.
    fn finish(&self, deadline: Instant) {
        let left = deadline.saturating_duration_since(Instant::now());
        let is_written = |queue: &mut Queue| queue.is_written;
        // After the deadline, the remaining lines may be lost.
        drop(
            self.written
                .wait_timeout_while(self.queue(), left, is_written),
        );
    }
}

/// Waits until the filters' lines are in their files, for one second at most. To be called at the end of the process.
/// Blocks.
pub fn finish_logs() {
    let deadline = Instant::now() + PATIENCE;
    let files: Vec<Arc<LogFile>> = {
        let open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let files = open.iter().flat_map(HashMap::values);
        files.filter_map(Weak::upgrade).collect()
    };
    for file in files {
        file.finish(deadline);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use lanes::Lane;

    use super::*;

    fn work() -> Work {
        Lane::new("alice").charging(None)
    }

    #[test]
    fn a_log_is_truncated_unless_it_is_appended_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        for (append, expected) in [(false, "a\n"), (true, "a\na\n"), (false, "a\n")] {
            let file = LogFile::open(&path, append).unwrap();
            file.write("a\n".to_owned(), &work());
            // As at the end of the process.
            finish_logs();
            assert_eq!(fs::read_to_string(&path).unwrap(), expected);
            // The writing thread may hold the file a moment longer; then the next `open` would share it.
            drop(file);
            while is_open(&path) {
                std::thread::yield_now();
            }
        }
    }

    fn is_open(path: &Path) -> bool {
        let open = OPEN.lock().unwrap();
        let file = open.as_ref().and_then(|open| open.get(path));
        file.is_some_and(|file| file.strong_count() > 0)
    }

    #[test]
    fn an_open_log_is_shared() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let first = LogFile::open(&path, false).unwrap();
        first.write("a\n".to_owned(), &work());
        let second = LogFile::open(&path, false).unwrap();
        second.write("b\n".to_owned(), &work());
        finish_logs();
        assert_eq!(fs::read_to_string(&path).unwrap(), "a\nb\n");
    }

    #[test]
    fn queued_lines_are_written_after_the_log_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let lines: String = (0..1000).map(|line| format!("{line}\n")).collect();
        {
            let (file, work) = (LogFile::open(&path, false).unwrap(), work());
            for line in lines.lines() {
                file.write(format!("{line}\n"), &work);
            }
        }
        finish_logs();
        assert_eq!(fs::read_to_string(&path).unwrap(), lines);
    }

    #[test]
    fn a_line_waits_for_no_disk_and_dropped_lines_are_counted() {
        // Nobody reads the pipe, so it stays full.
        let (reader, writer) = io::pipe().unwrap();
        let file = Arc::new(LogFile {
            file: File::from(std::os::fd::OwnedFd::from(writer)),
            queue: Mutex::default(),
            written: Condvar::new(),
        });
        let (work, line) = (work(), "x".repeat(1023) + "\n");
        while file.queue().dropped < 10 {
            file.write(line.clone(), &work);
        }
        #[expect(clippy::disallowed_methods, reason = "the test's own")]
        let reader = std::thread::spawn(move || io::read_to_string(reader).unwrap());
        file.finish(Instant::now() + Duration::from_secs(60));
        file.write("more\n".to_owned(), &work);
        file.finish(Instant::now() + Duration::from_secs(60));
        drop((file, work));
        let text = reader.join().unwrap();
        assert!(text.contains("\n(1"), "{}", &text[text.len() - 100..]);
        assert!(text.ends_with("more\n"));
    }
}
