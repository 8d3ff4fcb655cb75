//! `exitlast`: the server ends when its last client has left.

use std::sync::Arc;

use crate::exit::Exit;
use crate::hook::Hook;

#[derive(Debug)]
pub(crate) struct ExitLast(Arc<Exit>);

impl ExitLast {
    pub(crate) fn new(exit: &Arc<Exit>) -> Self {
        exit.with_the_last_client();
        Self(Arc::clone(exit))
    }
}

impl Hook for ExitLast {
    fn exit(&self) -> Option<&Arc<Exit>> {
        Some(&self.0)
    }
}
