//! The files that this process has open for its exports, each once for each access. The description has all that the
//! process knows of a file, its locks included.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};

use lanes::Work;
use nbdbox_config::lock::Lock;
use thiserror::Error;

use super::{FileSource, OpenFile, lock};
use crate::opener::Opener;
use crate::source::Identity;
use crate::{Access, Grant};

static FILES: LazyLock<OpenFiles> = LazyLock::new(OpenFiles::default);

#[derive(Default)]
struct OpenFiles {
    files: Mutex<HashMap<Identity, Arc<Mutex<Users>>>>,
    /// The devices of file systems without locks for which a warning was logged.
    without_locks: Mutex<Vec<u64>>,
}

/// The descriptions and users of one file.
#[derive(Default)]
struct Users {
    descriptions: Vec<(Terms, Weak<OpenFile>)>,
    uses: Vec<Weak<Use>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Terms {
    access: Access,
    lock: Lock,
}

/// Marks a file as in use by an export, as long as this exists.
#[derive(Debug)]
pub(crate) struct Use {
    opener: Opener,
    /// The name under which it was granted.
    blob: String,
    terms: Terms,
}

/// Why a file can't be used, although it exists.
#[derive(Debug, Error)]
pub(crate) enum Unusable {
    /// Another export of this process uses it.
    #[error(
        "it's the same file as blob `{blob}` of {opener}, which {}; \
         set `lock = \"shared\"` for both if they can share it",
        has(*access)
    )]
    SameFile {
        blob: String,
        opener: Opener,
        access: Access,
    },
    /// Another program has locked it.
    #[error(
        "it's in use by {holder}: stop that first, or set the blob's option `lock` to `shared` if both can share it, \
         or to `none`"
    )]
    Locked { holder: String },
    /// The kernel's error.
    #[error(
        "it can't be locked: {0}; set the blob's option `lock = \"none\"` to use it without a lock"
    )]
    Lock(#[from] nix::errno::Errno),
}

fn has(access: Access) -> &'static str {
    match access {
        Access::ReadWrite => "may write it",
        Access::ReadOnly | Access::MapOnly => "has locked it for itself",
    }
}

/// Opens a grant's file, or shares a description that is already open. Blocks: for two seconds while another program
/// has the file locked, and on a disk that hangs for as long as it hangs.
///
/// # Errors
/// The file can't be opened, or another export or program excludes it.
pub(crate) fn open(
    grant: &Grant,
    opener: &Opener,
    work: Work,
) -> anyhow::Result<(FileSource, Arc<Use>)> {
    let terms = Terms {
        access: grant.access,
        lock: grant.lock(),
    };
    let fresh = FileSource::open(&grant.path, terms.is_writable(), work)?;
    let place = FILES.place(&fresh.facts().identity);
    // Exports that open the same file wait; those that open another one don't.
    let mut users = held(&place);
    users.forget_gone();
    let user = Use {
        opener: opener.clone(),
        blob: grant.name.clone(),
        terms,
    };
    users.admit(&user)?;
    let file = match users.description(terms) {
        Some(open) => fresh.through(open),
        None => {
            lock_it(&fresh, terms, &grant.path)?;
            users.descriptions.push((terms, fresh.downgrade()));
            fresh
        }
    };
    let user = Arc::new(user);
    users.uses.push(Arc::downgrade(&user));
    Ok((file, user))
}

fn lock_it(file: &FileSource, terms: Terms, path: &Path) -> Result<(), Unusable> {
    let Identity::File { device, inode } = file.facts().identity else {
        return Ok(());
    };
    match lock::take(file.file(), terms.is_writable(), terms.lock)? {
        lock::Outcome::Held => {}
        lock::Outcome::Refused => {
            let holder = outside::files::lock_holders(inode, lock::BYTES);
            return Err(Unusable::Locked { holder });
        }
        lock::Outcome::Unknown if FILES.is_news(device) => {
            let path = path.display();
            tracing::warn!(
                target: "nbdbox::blob",
                "{path}: its file system has no locks, so nothing keeps other programs from writing to the file"
            );
        }
        lock::Outcome::Unknown => {}
    }
    Ok(())
}

impl Terms {
    fn is_writable(self) -> bool {
        self.access == Access::ReadWrite
    }

    /// All readers with the same lock share one description.
    fn is_served_by(self, other: Self) -> bool {
        self.is_writable() == other.is_writable() && self.lock == other.lock
    }
}

impl OpenFiles {
    /// The entry of a file, with its users.
    fn place(&self, file: &Identity) -> Arc<Mutex<Users>> {
        let mut files = held(&self.files);
        // Removes entries without users, except those that an opener is using now.
        files.retain(|_, place| Arc::strong_count(place) > 1 || held(place).has_any());
        Arc::clone(files.entry(file.clone()).or_default())
    }

    /// Whether this is the first time that a device turns out to have no locks.
    fn is_news(&self, device: u64) -> bool {
        let mut told = held(&self.without_locks);
        let news = !told.contains(&device);
        if news {
            told.push(device);
        }
        news
    }
}

impl Users {
    fn has_any(&self) -> bool {
        self.uses.iter().any(|user| user.strong_count() > 0)
    }

    fn forget_gone(&mut self) {
        self.descriptions
            .retain(|(_, open)| open.strong_count() > 0);
        self.uses.retain(|user| user.strong_count() > 0);
    }

    /// Checks whether another user may have the file too.
    fn admit(&self, new: &Use) -> Result<(), Unusable> {
        let terms = |user: &Use| (user.terms.access, user.terms.lock);
        let others = self.uses.iter().filter_map(Weak::upgrade);
        let mut clashing = others.filter(|user| {
            !user.opener.is_other_generation(&new.opener) && Lock::clash(terms(user), terms(new))
        });
        match clashing.next() {
            None => Ok(()),
            Some(user) => Err(Unusable::SameFile {
                blob: user.blob.clone(),
                opener: user.opener.clone(),
                access: user.terms.access,
            }),
        }
    }

    fn description(&self, terms: Terms) -> Option<Arc<OpenFile>> {
        let mut fitting = self
            .descriptions
            .iter()
            .filter(|(other, _)| terms.is_served_by(*other));
        fitting.find_map(|(_, open)| open.upgrade())
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code panics half-way through a change while it holds one of these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
