//! Other people's clients against the example plugins: what they see, and what they get.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "in a test a panic is the verdict"
)]

mod fio;
mod nbdcopy;
mod nbdinfo;
mod nbdsh;
mod oracle;
mod qemu_extended;
mod qemu_img;
mod qemu_io;
