//! The file, which a thread writes from a bounded queue: no request waits for a disk to note what it asks.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::{self, JoinHandle};

/// Lines that wait to be written. Past them lines are dropped, and counted: what is noted mustn't hold up what it is
/// about.
const QUEUE: usize = 4096;

/// The files that are open, each once in the process: a new generation of an export goes on where the one before was.
static OPEN: Mutex<Option<HashMap<PathBuf, Weak<LogFile>>>> = Mutex::new(None);

/// An open log. When it's dropped, what was noted is written first.
#[derive(Debug)]
pub(super) struct LogFile {
    lines: Option<SyncSender<String>>,
    dropped: Arc<AtomicU64>,
    writer: Option<JoinHandle<()>>,
}

impl LogFile {
    /// Opens a log, anew unless `append`, or joins one that is open.
    ///
    /// # Errors
    /// It can't be opened; there is no thread for it.
    pub(super) fn open(path: &Path, append: bool) -> io::Result<Arc<Self>> {
        // What it holds is whole at any time.
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let open = open.get_or_insert_default();
        open.retain(|_, file| file.strong_count() > 0);
        if let Some(file) = open.get(path).and_then(Weak::upgrade) {
            return Ok(file);
        }
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        let file = options.open(path)?;
        if !append {
            file.set_len(0)?;
        }
        let file = Arc::new(Self::writing(file)?);
        open.insert(path.to_owned(), Arc::downgrade(&file));
        Ok(file)
    }

    fn writing(file: File) -> io::Result<Self> {
        let (sender, lines) = sync_channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let missing = Arc::clone(&dropped);
        let named = thread::Builder::new().name("log filter".to_owned());
        #[expect(
            clippy::disallowed_methods,
            reason = "the operator's: one for each file that the operator names, and it does nothing else"
        )]
        let writer = named.spawn(move || write_all(file, &lines, &missing));
        Ok(Self {
            lines: Some(sender),
            dropped,
            writer: Some(writer?),
        })
    }

    /// Notes a line, if there is room.
    pub(super) fn write(&self, line: String) {
        if let Some(lines) = &self.lines
            && lines.try_send(line).is_err()
        {
            self.dropped.fetch_add(1, Relaxed);
        }
    }
}

impl Drop for LogFile {
    fn drop(&mut self) {
        self.lines = None;
        if let Some(writer) = self.writer.take() {
            // It doesn't panic; if it did, that has been told.
            let _ = writer.join();
        }
    }
}

/// Writes lines until nobody has more. The first error is told, and ends it.
fn write_all(mut file: File, lines: &Receiver<String>, dropped: &AtomicU64) {
    while let Ok(line) = lines.recv() {
        let missing = dropped.swap(0, Relaxed);
        let written = file.write_all(line.as_bytes()).and_then(|()| {
            if missing > 0 {
                writeln!(file, "({missing} lines are missing)")?;
            }
            Ok(())
        });
        if let Err(error) = written {
            tracing::error!(target: "nbdbox::plugin", "the filter log can't write its file, and stops: {error}");
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_log_begins_anew_unless_it_is_to_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        for (append, expected) in [(false, "a\n"), (true, "a\na\n"), (false, "a\n")] {
            LogFile::open(&path, append)
                .unwrap()
                .write("a\n".to_owned());
            assert_eq!(fs::read_to_string(&path).unwrap(), expected);
        }
    }

    #[test]
    fn an_open_log_is_joined() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let first = LogFile::open(&path, false).unwrap();
        first.write("a\n".to_owned());
        let second = LogFile::open(&path, false).unwrap();
        second.write("b\n".to_owned());
        drop((first, second));
        assert_eq!(fs::read_to_string(&path).unwrap(), "a\nb\n");
    }
}
