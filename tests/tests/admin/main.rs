//! What an operator sees of a running server: figures, manual, log and `nbdbox top`.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod figures;
mod layers;
mod listener;
mod log;
mod manual;
mod plugins;
mod scene;
mod top;
