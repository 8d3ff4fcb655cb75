//! A native filter as it's named and set, before it stands on anything.

use std::sync::Arc;

use lanes::Work;
use nbdbox_config::native::NativeName;
use nbdbox_config::settings::Settings;
use thiserror::Error;

use crate::exit::Exit;
use crate::filters::blocksize_policy::BlockSizePolicy;
use crate::filters::delay::Delay;
use crate::filters::error::Errors;
use crate::filters::exit_last::ExitLast;
use crate::filters::exit_when::ExitWhen;
use crate::filters::fua::Fua;
use crate::filters::no_cache::NoCache;
use crate::filters::no_extents::NoExtents;
use crate::filters::no_trim::NoTrim;
use crate::filters::no_zero::NoZero;
use crate::hook::Hook;
use crate::log::Log;
use crate::settings::Reader;

/// A filter with its settings. The layers of all generations of an export share it.
#[derive(Debug)]
pub struct Native {
    name: NativeName,
    hook: Box<dyn Hook>,
}

/// What is wrong with the settings, one thing a line.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}", .0.join("\n"))]
pub struct NativeError(Vec<String>);

impl Native {
    /// Reads settings. `exit` is the way in which a filter ends the server; where there is none, those that would are
    /// refused. Opens nothing: settings that are only checked leave no trace.
    ///
    /// # Errors
    /// All that is wrong with the settings.
    pub fn new(
        name: NativeName,
        settings: &Settings,
        exit: Option<&Arc<Exit>>,
    ) -> Result<Self, NativeError> {
        let reader = Reader::new(name.as_str(), settings);
        let hook: Option<Box<dyn Hook>> = match name {
            NativeName::BlocksizePolicy => Some(Box::new(BlockSizePolicy::new(&reader))),
            NativeName::Delay => Some(Box::new(Delay::new(&reader))),
            NativeName::Error => Some(Box::new(Errors::new(&reader))),
            NativeName::Exitlast => with(exit, &reader, |exit| Some(Box::new(ExitLast::new(exit)))),
            NativeName::Exitwhen => with(exit, &reader, |exit| {
                Some(Box::new(ExitWhen::new(&reader, exit)))
            }),
            NativeName::Fua => Some(Box::new(Fua::new(&reader))),
            NativeName::Log => Some(Box::new(Log::new(&reader))),
            NativeName::Nocache => Some(Box::new(NoCache::new(&reader))),
            NativeName::Noextents => Some(Box::new(NoExtents)),
            NativeName::Notrim => Some(Box::new(NoTrim)),
            NativeName::Nozero => Some(Box::new(NoZero::new(&reader))),
        };
        let wrong = reader.finish();
        match hook {
            Some(hook) if wrong.is_empty() => Ok(Self { name, hook }),
            _ => Err(NativeError(wrong)),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> NativeName {
        self.name
    }

    /// Opens what it works with, on a thread of its tenant's, for an export that is opened. Dropping it leaves that thread
    /// to end by itself.
    ///
    /// # Errors
    /// It can't be opened; there is no thread.
    pub async fn open(self: &Arc<Self>, work: &Work) -> Result<(), String> {
        let (native, own) = (Arc::clone(self), work.clone());
        let opened = work.run(move || native.hook.open(&own)).await;
        opened.map_err(|error| error.to_string())?
    }

    pub(crate) fn hook(&self) -> &dyn Hook {
        &*self.hook
    }
}

/// Makes a filter that ends the server, where that can be.
fn with(
    exit: Option<&Arc<Exit>>,
    reader: &Reader<'_>,
    make: impl FnOnce(&Arc<Exit>) -> Option<Box<dyn Hook>>,
) -> Option<Box<dyn Hook>> {
    let made = exit.and_then(make);
    if made.is_none() {
        reader.complain(
            "it ends the server, which only `nbdbox serve` without --config lets it: its exports are of one \
             operator there"
                .to_owned(),
        );
    }
    made
}
