//! Files that two exports of a configuration would have, where one at most may.

use std::collections::HashMap;

use blob::{Access, Grant};
use nbdbox_config::config::{Export, Problems};
use nbdbox_config::lock::Lock;

/// A file, however many paths lead to it: its device and inode.
type FileId = (u64, u64);

/// A file as it's granted to an export.
struct Granted {
    terms: (Access, Lock),
    /// To whom, and where that is written.
    words: String,
}

/// Finds what clashes, export by export.
#[derive(Default)]
pub(super) struct SameFiles(HashMap<FileId, Vec<Granted>>);

impl SameFiles {
    /// Reports the files of an export that it, or one before it, has already. What isn't there is found when the export
    /// is opened.
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
            // Others may have it too, whatever they do.
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
                    "{path} is the same file as {words}: one of them alone may write it, unless both set `lock = \
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

/// As it will be opened.
fn terms(grant: &Grant, read_only: bool) -> (Access, Lock) {
    let mut grant = grant.clone();
    if read_only {
        grant.access = grant.access.min(Access::ReadOnly);
    }
    (grant.access, grant.lock())
}
