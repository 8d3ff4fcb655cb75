//! A plugin that is ready to make instances, and the engine that all plugins share.

pub(crate) mod engine;
pub(crate) mod examined;
pub(crate) mod plugin;
