//! The plugin under test, as a run needs it.

use std::sync::Arc;

use device::peaks::Peaks;
use device::{Device, Terms};

/// What a plugin claims beyond what the server advertises to clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Claims {
    /// Any call may go to a fresh instance.
    pub parallel: bool,
    /// The contents never change.
    pub immutable: bool,
    /// The plugin has a mapping of its bytes, and the host uses it.
    pub mapped: bool,
}

/// A plugin under test.
pub(crate) trait Subject: Sync {
    /// The device that it opens.
    type Device: Device;

    /// Opens the export anew, with no instance of an earlier device.
    fn open(&self) -> impl Future<Output = anyhow::Result<Arc<Self::Device>>> + Send;

    /// As [`open`](Self::open), for a device whose reads use the plugin's mapping.
    fn open_mapped(&self) -> impl Future<Output = anyhow::Result<Arc<Self::Device>>> + Send;

    /// What the device advertises.
    fn terms(&self, device: &Self::Device) -> Arc<Terms>;

    /// What the plugin claims.
    fn claims(&self, device: &Self::Device) -> Claims;

    /// The highest use of each limit by the device's calls.
    fn peaks<'a>(&self, device: &'a Self::Device) -> &'a Peaks;
}
