//! Finds files that two exports of a configuration would open, if only one of them may.

use std::collections::HashMap;

use blob::{Access, Grant};
use nbdbox_config::config::{Export, Problems};
use nbdbox_config::lock::Lock;

/// What identifies a file, whatever path leads to it: its device and inode.
type FileId = (u64, u64);

/// A file that is granted to an export.
struct Granted {
    terms: (Access, Lock),
    /// The grant, and its place in the configuration, as text.
    words: String,
}

/// Finds clashes, one export after the other.
#[derive(Default)]
pub(super) struct SameFiles(HashMap<FileId, Vec<Granted>>);

impl SameFiles {
    /// Reports the files of an export that it, or an export before it, has already. A file that doesn't exist is
    /// reported when the export is opened.
    pub(super) fn add(
        &mut self,
        tenant: &str,
        export: &Export,
        key: &str,
        problems: &mut Problems,
    ) {
        let own = export
            .blobs
            .iter()
            .map(|grant| (format!("{key}.blobs"), grant));
        let filters = export.filters.iter().flat_map(|filter| &filter.blobs);
        let filters = filters.map(|grant| (format!("{key}.filters.blobs"), grant));
        for (key, grant) in own.chain(filters) {
            let terms = terms(grant, export.policy.read_only);
            // A file that is only read, without an exclusive lock, clashes with no grant.
            if terms.0 != Access::ReadWrite && terms.1 != Lock::Exclusive {
                continue;
            }
            let Ok(found) = outside::files::look(&grant.path) else {
                continue;
            };
            let place = self.0.entry((found.device, found.inode)).or_default();
            if let Some(other) = place.iter().find(|other| Lock::clash(other.terms, terms)) {
                let (path, words) = (grant.path.display(), &other.words);
                let text = format!(
                    "{path} is the same file as {words}: only one of them may write it, unless both set `lock = \
                     \"shared\"`"
                );
                problems.add(export.place.clone(), format!("{key}.{}", grant.name), text);
            }
            let (blob, name, at) = (&grant.name, &export.name, &export.place);
            place.push(Granted {
                terms,
                words: format!("blob `{blob}` of export \"{name}\" of tenant {tenant} ({at})"),
            });
        }
    }
}

/// The access and the lock with which the file will be opened.
fn terms(grant: &Grant, read_only: bool) -> (Access, Lock) {
    let mut grant = grant.clone();
    if read_only {
        grant.access = grant.access.min(Access::ReadOnly);
    }
    (grant.access, grant.lock())
}
