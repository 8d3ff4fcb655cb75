//! What has become of files since an export opened them.

use lanes::Work;

use crate::blob::{Behind, Blob};

/// Where to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// At the open file: whether it has grown.
    File,
    /// At its path too: whether it's still the file there.
    Path,
}

impl Blob {
    /// Whether all are as they were when they were opened: none has grown, nor, with [`Look::Path`], another file in its
    /// place. One that shrank stays as it was, so that its clients hear of what is missing: reads of that are errors. A
    /// thread of the tenant's lane looks, so that a disk that hangs keeps no worker; dropping it leaves that thread to end
    /// by itself.
    pub async fn are_as_opened(blobs: Vec<Self>, look: Look) -> bool {
        let Some(work) = Self::work_of(&blobs) else {
            return true;
        };
        let looked = work.run(move || blobs.iter().all(|blob| blob.is_as_opened(look)));
        looked.await.unwrap_or(false)
    }

    /// The way to the lane of the export whose blobs these are; `None` if no file is among them.
    fn work_of(blobs: &[Self]) -> Option<Work> {
        blobs.iter().find_map(|blob| match blob.behind() {
            Behind::File(file) => Some(file.work().clone()),
            Behind::Other(_) => None,
        })
    }

    /// The same blob, as far as it has grown. Blocks.
    fn renewed(&self) -> Self {
        match self.behind() {
            Behind::File(file) => self.over_file(file.renewed()),
            Behind::Other(_) => self.clone(),
        }
    }

    /// The same blobs, open as they are, each as far as it has grown. Waits as
    /// [`are_as_opened`](Self::are_as_opened) does.
    ///
    /// # Errors
    /// There is no thread to look.
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
