//! What is tested, as the run needs it.

use std::sync::Arc;

use device::peaks::Peaks;
use device::{Device, Terms};

/// What a plugin claims of itself beyond what clients get to see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Claims {
    /// Any call may meet a fresh instance.
    pub parallel: bool,
    /// The contents never change.
    pub immutable: bool,
    /// It tells where its bytes are, and the host goes by that.
    pub mapped: bool,
}

/// A plugin under test.
pub(crate) trait Subject: Sync {
    /// What it opens.
    type Device: Device;

    /// Opens the export anew: no instance of an earlier one is used again.
    fn open(&self) -> impl Future<Output = anyhow::Result<Arc<Self::Device>>> + Send;

    /// The same, where reads go by what the plugin tells of where its bytes are.
    fn open_mapped(&self) -> impl Future<Output = anyhow::Result<Arc<Self::Device>>> + Send;

    /// What it promises to clients.
    fn terms(&self, device: &Self::Device) -> Arc<Terms>;

    /// What it claims.
    fn claims(&self, device: &Self::Device) -> Claims;

    /// The most that its calls have taken.
    fn peaks<'a>(&self, device: &'a Self::Device) -> &'a Peaks;
}
