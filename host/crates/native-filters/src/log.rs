//! `log`: calls and their results in a file, one a line, in the format of nbdkit's filter of this name.

mod clock;
mod file;
mod line;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::SystemTime;

use device::fault::Failure;
use device::origin::Origin;
use extent_map::ExtentMap;
use lanes::Work;
use nbd_proto::Export;

pub use self::file::finish_logs;

use self::file::LogFile;
use self::line::{Answered, Asked, Connected};
use crate::call::Call;
use crate::hook::Hook;
use crate::plan::Plan;
use crate::settings::Reader;

#[derive(Debug)]
pub(crate) struct Log {
    /// The operator's file, and whether to append to it; `None` if the filter logs nothing.
    wanted: Option<(PathBuf, bool)>,
    /// The open file, once an export is open.
    book: OnceLock<Arc<Book>>,
}

/// The file for the lines, and the clients that are connected.
#[derive(Debug)]
struct Book {
    file: Arc<LogFile>,
    /// Access to the threads that write the file.
    work: Work,
    guests: Mutex<Guests>,
}

#[derive(Debug, Default)]
struct Guests {
    /// How many clients have connected so far.
    count: u64,
    /// The connected clients, by the number of their connection in the process.
    here: HashMap<u64, Guest>,
}

/// A client: its number, counted from 1 in each log, and how many calls it has made.
#[derive(Debug)]
struct Guest {
    number: u64,
    asked: u64,
}

/// Records a client as connected while this exists.
struct Present {
    book: Arc<Book>,
    connection: u64,
}

impl Log {
    pub(crate) fn new(settings: &Reader<'_>) -> Self {
        let append = settings.boolean("logappend", false);
        if settings.text("logscript").is_some() {
            settings
                .complain("logscript=: nbdbox runs no scripts; set logfile= instead".to_owned());
        }
        let path = settings.path("logfile");
        Self {
            wanted: path.map(|path| (path, append)),
            book: OnceLock::new(),
        }
    }
}

impl Book {
    fn guests(&self) -> MutexGuard<'_, Guests> {
        // No code panics half-way through a change while it holds the lock.
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client for which this thread works, and the number of its next call.
    fn next_call(&self) -> (u64, u64) {
        let connection = connection();
        let mut guests = self.guests();
        match guests.here.get_mut(&connection) {
            Some(guest) => {
                guest.asked += 1;
                (guest.number, guest.asked)
            }
            None => (0, 0),
        }
    }

    fn number(&self) -> u64 {
        let guests = self.guests();
        guests
            .here
            .get(&connection())
            .map_or(0, |guest| guest.number)
    }

    fn write(&self, number: u64, line: &dyn std::fmt::Display) {
        let now = clock::Time(SystemTime::now());
        let line = format!("{now} connection={number} {line}\n");
        self.file.write(line, &self.work);
    }
}

/// The connection for which this thread works; 0 is the host itself.
fn connection() -> u64 {
    Origin::current().map_or(0, |origin| origin.connection)
}

impl Hook for Log {
    fn open(&self, work: &Work) -> Result<(), String> {
        let Some((path, append)) = &self.wanted else {
            return Ok(());
        };
        if self.book.get().is_none() {
            let file = LogFile::open(path, *append);
            let file = file.map_err(|error| format!("logfile={}: {error}", path.display()))?;
            // If another thread was faster, its file is the same.
            let _ = self.book.set(Arc::new(Book {
                file,
                work: work.clone(),
                guests: Mutex::default(),
            }));
        }
        Ok(())
    }

    fn plan(&self, call: &Call) -> Plan {
        let mut plan = Plan::pass(call.flags());
        if let Some(book) = self.book.get() {
            let (number, id) = book.next_call();
            plan.ticket = id;
            book.write(number, &Asked { call, id });
        }
        plan
    }

    fn answered(
        &self,
        ticket: u64,
        call: &Call,
        extents: Option<&ExtentMap>,
        failure: Option<&Failure>,
    ) {
        if let Some(book) = self.book.get() {
            let line = Answered {
                call,
                id: ticket,
                extents,
                errno: failure.map(|failure| failure.errno),
            };
            book.write(book.number(), &line);
        }
    }

    fn connect(&self, export: &Export) -> Result<Option<Box<dyn Send + Sync>>, Failure> {
        let Some(book) = self.book.get() else {
            return Ok(None);
        };
        let connection = connection();
        let number = {
            let mut guests = book.guests();
            guests.count += 1;
            let number = guests.count;
            guests.here.insert(connection, Guest { number, asked: 0 });
            number
        };
        book.write(number, &Connected(export));
        Ok(Some(Box::new(Present {
            book: Arc::clone(book),
            connection,
        })))
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        let left = self.book.guests().here.remove(&self.connection);
        if let Some(Guest { number, asked }) = left {
            let line = format!("Disconnect transactions={asked}");
            self.book.write(number, &line);
        }
    }
}
