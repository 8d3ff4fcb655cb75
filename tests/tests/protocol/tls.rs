//! TLS: with real clients and real certificates, right and wrong ones, and the protocol's rules byte by
//! byte.

mod clients;
mod identity;
mod map;
mod reload;
mod rules;
mod scene;
mod wrong;
