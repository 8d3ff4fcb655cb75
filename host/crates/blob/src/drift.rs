//! What has become of files since an export opened them.

use tokio::task::spawn_blocking;

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
    /// place. One that shrank stays as it was, so that its clients hear of what is missing: reads of that are errors. Waits for a thread that looks, so that a disk that hangs keeps no worker; dropping it leaves that
    /// thread to end by itself.
    pub async fn are_as_opened(blobs: Vec<Self>, look: Look) -> bool {
        if blobs.is_empty() {
            return true;
        }
        let looked = spawn_blocking(move || blobs.iter().all(|blob| blob.is_as_opened(look)));
        looked.await.unwrap_or(false)
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
    /// The thread that looks is gone.
    pub async fn renew_all(blobs: Vec<Self>) -> anyhow::Result<Vec<Self>> {
        let renewed = spawn_blocking(move || blobs.iter().map(Self::renewed).collect());
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
