//! The models: what threads may do with one type, and what must hold in each of their interleavings.

mod changes;
mod cores;
mod flow;
mod lanes;
mod pool;
