//! Opening all blobs that an export is granted.

use anyhow::ensure;
use lanes::Work;

use crate::opener::Opener;
use crate::{Access, Blob, Grant};

impl Blob {
    /// Opens the blobs that an export, or one of its filters, is granted, in this order. A `read_only` export gets no
    /// grant to write. `work` opens them, so that a disk that hangs blocks no worker, and does later what blocks. If
    /// the future is dropped, the thread that opens a file ends by itself.
    ///
    /// # Errors
    /// A name is granted twice, or a file can't be opened, as for [`open`](Self::open).
    pub async fn open_all(
        grants: &[Grant],
        read_only: bool,
        opener: &Opener,
        work: &Work,
    ) -> anyhow::Result<Vec<Self>> {
        let mut blobs: Vec<Self> = Vec::with_capacity(grants.len());
        for grant in grants {
            ensure!(
                blobs.iter().all(|blob| blob.name() != grant.name),
                "the blob `{}` is granted twice",
                grant.name
            );
            let mut grant = grant.clone();
            if read_only {
                grant.access = grant.access.min(Access::ReadOnly);
            }
            let (opener, lane) = (opener.clone(), work.clone());
            blobs.push(work.run(move || Self::open(grant, &opener, lane)).await??);
        }
        Ok(blobs)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use lanes::Lane;

    use super::*;

    fn work() -> Work {
        Lane::new("alice").charging(None)
    }

    fn grant(name: &str, path: &Path, access: Access) -> Grant {
        Grant {
            name: name.to_owned(),
            path: path.to_owned(),
            access,
            lock: None,
        }
    }

    #[tokio::test]
    async fn a_read_only_export_gets_no_grant_to_write() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let accesses = [Access::ReadWrite, Access::ReadOnly, Access::MapOnly];
        let grants = ["a", "b", "c"].into_iter().zip(accesses);
        let grants: Vec<Grant> = grants
            .map(|(name, access)| grant(name, file.path(), access))
            .collect();
        for (read_only, first) in [(false, Access::ReadWrite), (true, Access::ReadOnly)] {
            let opener = Opener::new("an export");
            let blobs = Blob::open_all(&grants, read_only, &opener, &work())
                .await
                .unwrap();
            let given: Vec<Access> = blobs.iter().map(Blob::access).collect();
            assert_eq!(given, [first, Access::ReadOnly, Access::MapOnly]);
        }
    }

    #[tokio::test]
    async fn a_name_is_granted_once() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let grants = ["disk", "disk"].map(|name| grant(name, file.path(), Access::ReadOnly));
        let opened = Blob::open_all(&grants, false, &Opener::new("an export"), &work()).await;
        let error = opened.err().unwrap();
        assert_eq!(error.to_string(), "the blob `disk` is granted twice");
    }
}
