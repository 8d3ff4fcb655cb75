//! TLS: with real clients, with right and wrong certificates, and the protocol's rules byte by byte.

mod clients;
mod identity;
mod map;
mod reload;
mod rules;
mod scene;
mod wrong;
