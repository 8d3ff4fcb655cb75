//! Other people's clients against the example plugins: what they see, and what they get.

mod fio;
mod nbdcopy;
mod nbdinfo;
mod nbdsh;
mod oracle;
mod qemu_extended;
mod qemu_img;
mod qemu_io;
