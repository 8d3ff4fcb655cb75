//! Tokio's own semaphores, notifications and channels. The scheduler may switch threads before each use of one. `sleep`
//! uses the model's clock.
//!
//! They need no runtime, and each operation takes effect at once. So their behaviour is tokio's, not that of a copy.
//! Interleavings inside an operation aren't tried here: tokio does that itself, with loom.

pub mod sync;
pub mod task;
pub mod time;

pub use ::tokio::{pin, select};
