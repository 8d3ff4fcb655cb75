//! The pool of instances, from `host/crates/runtime`, whose other modules need wasmtime. It's private to that crate, so
//! its models are here.

#[path = "../../../../host/crates/runtime/src/export"]
mod export {
    #[expect(dead_code, reason = "other modules of the runtime use it")]
    pub(crate) mod pool;
}

pub mod models;
