//! Disk images in the sandbox: images of QEMU's tools have the bytes that QEMU reads, and bad images make an error and
//! nothing else.

mod bad;
mod cut_short;
mod folder;
mod qcow2_grants;
mod qcow2_like_qemu;
mod qcow2_malformed;
mod vdi_like_qemu;
mod vdi_malformed;
mod vhd_like_qemu;
mod vhd_malformed;
mod vhdx_bytes;
mod vhdx_like_qemu;
mod vhdx_malformed;
mod vmdk_like_qemu;
mod vmdk_malformed;
