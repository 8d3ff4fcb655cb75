//! `exitwhen`: the server ends when an event has happened and all clients have left.

use std::sync::Arc;
use std::time::Duration;

use crate::exit::{Event, Exit};
use crate::hook::Hook;
use crate::settings::Reader;

#[derive(Debug)]
pub(crate) struct ExitWhen(Arc<Exit>);

impl ExitWhen {
    pub(crate) fn new(settings: &Reader<'_>, exit: &Arc<Exit>) -> Self {
        let events = [
            settings.path("exit-when-file-created").map(Event::Created),
            settings.path("exit-when-file-deleted").map(Event::Deleted),
            settings
                .parsed(
                    "exit-when-process-exits",
                    |id| id.parse().ok(),
                    "a process id",
                )
                .map(Event::Exited),
            settings
                .parsed(
                    "exit-when-pipe-closed",
                    |fd| fd.parse().ok(),
                    "a descriptor's number",
                )
                .and_then(|fd| {
                    let pipe = Event::of_pipe(fd);
                    pipe.map_err(|error| settings.complain(error)).ok()
                }),
        ];
        if settings.text("exit-when-script").is_some() {
            settings.complain(
                "exit-when-script=: nbdbox runs no scripts; set exit-when-process-exits, or let the script make a \
                 file for exit-when-file-created"
                    .to_owned(),
            );
        }
        let poll = settings
            .parsed(
                "exit-when-poll",
                |seconds| seconds.parse().ok().filter(|seconds| *seconds > 0),
                "a number of seconds",
            )
            .unwrap_or(60);
        exit.when(events.into_iter().flatten(), Duration::from_secs(poll));
        Self(Arc::clone(exit))
    }
}

impl Hook for ExitWhen {
    fn exit(&self) -> Option<&Arc<Exit>> {
        Some(&self.0)
    }
}
