//! Changes of files since an export opened them.

use lanes::Work;

use crate::blob::{Behind, Blob};

/// What to check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// The open file: whether it has grown.
    File,
    /// The open file, and whether its path still leads to it.
    Path,
}

impl Blob {
    /// Whether no blob has changed since it was opened: none has grown, nor, with [`Look::Path`], does a path lead to
    /// another file. A file that shrank counts as unchanged: its clients get errors for the missing bytes. A thread of
    /// the tenant's lane checks, so that a disk that hangs blocks no worker. If the future is dropped, that thread ends
    /// by itself.
    pub async fn are_as_opened(blobs: Vec<Self>, look: Look) -> bool {
        let Some(work) = Self::work_of(&blobs) else {
            return true;
        };
        let looked = work.run(move || blobs.iter().all(|blob| blob.is_as_opened(look)));
        looked.await.unwrap_or(false)
    }

    /// Access to the lane of the export that has these blobs; `None` if no file is among them.
    fn work_of(blobs: &[Self]) -> Option<Work> {
        blobs.iter().find_map(|blob| match blob.behind() {
            Behind::File(file) => Some(file.work().clone()),
            Behind::Other(_) => None,
        })
    }

    /// The same blob with its present size, if it has grown. Blocks.
    fn renewed(&self) -> Self {
        match self.behind() {
            Behind::File(file) => self.over_file(file.renewed()),
            Behind::Other(_) => self.clone(),
        }
    }

    /// The same open blobs, each with its present size if it has grown. Waits as [`are_as_opened`](Self::are_as_opened)
    /// does.
    ///
    /// # Errors
    /// The lane has no thread for the work.
    pub async fn renew_all(blobs: Vec<Self>) -> anyhow::Result<Vec<Self>> {
        let Some(work) = Self::work_of(&blobs) else {
            return Ok(blobs);
        };
        let renewed = work.run(move || blobs.iter().map(Self::renewed).collect());
        Ok(renewed.await?)
    }

    fn is_as_opened(&self, look: Look) -> bool {
        match self.behind() {
            Behind::File(file) => {
                let is_there = look == Look::File || file.is_at_its_path();
                is_there && file.size_now() <= file.facts().size
            }
            Behind::Other(_) => true,
        }
    }
}
