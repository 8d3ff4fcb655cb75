//! Filters: the same bytes and maps as those of nbdkit for the same purpose, and what the host passes on.

mod cache;
mod compare;
mod cow;
mod ends;
mod hop;
mod hosting;
mod image;
mod native;
mod offset;
mod partition;
mod partition_gpt;
mod partition_mbr;
mod partition_tables;
mod partition_twins;
mod slow;
mod swab;
mod truncate;
