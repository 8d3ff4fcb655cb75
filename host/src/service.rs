//! The life of a server process: what it opens, what it looks at again while it runs, and how it ends.

mod admin;
mod configured;
mod listeners;
mod pidfile;
mod restart;
mod signals;
mod watch;

pub(crate) use admin::AdminListener;
pub(crate) use configured::serve_configuration;
pub(crate) use pidfile::PidFile;
pub(crate) use signals::Signals;
pub(crate) use watch::FileWatcher;
