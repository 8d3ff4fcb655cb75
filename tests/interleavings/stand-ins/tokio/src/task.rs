//! Tasks of a model.

pub use shuttle::future::yield_now;
