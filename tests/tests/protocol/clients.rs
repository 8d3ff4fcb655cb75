//! Other programs as clients of the example plugins: what the server advertises to them, and the bytes that they get.

mod fio;
mod nbdcopy;
mod nbdinfo;
mod nbdsh;
mod oracle;
mod qemu_extended;
mod qemu_img;
mod qemu_io;
