//! A native filter with its name and settings, not yet over a layer.

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

/// All mistakes in the settings, one a line.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}", .0.join("\n"))]
pub struct NativeError(Vec<String>);

impl Native {
    /// Reads settings. `exit` is the server's exit; without it, the filters that end the server are refused. Opens no
    /// files, so a mere check of the settings leaves no trace.
    ///
    /// # Errors
    /// All mistakes in the settings.
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

    /// The filter's name.
    #[must_use]
    pub fn name(&self) -> NativeName {
        self.name
    }

    /// Opens the files that the filter needs, on a thread of the tenant's lane. To be called when an export is opened.
    /// If the future is dropped, the thread ends by itself.
    ///
    /// # Errors
    /// A file can't be opened, or the lane has no thread.
    pub async fn open(self: &Arc<Self>, work: &Work) -> Result<(), String> {
        let (native, own) = (Arc::clone(self), work.clone());
        let opened = work.run(move || native.hook.open(&own)).await;
        opened.map_err(|error| error.to_string())?
    }

    pub(crate) fn hook(&self) -> &dyn Hook {
        &*self.hook
    }
}

/// Makes a filter that ends the server, if the server allows that.
fn with(
    exit: Option<&Arc<Exit>>,
    reader: &Reader<'_>,
    make: impl FnOnce(&Arc<Exit>) -> Option<Box<dyn Hook>>,
) -> Option<Box<dyn Hook>> {
    let made = exit.and_then(make);
    if made.is_none() {
        reader.complain(
            "it ends the server, which only `nbdbox serve` without --config allows: there, all exports \
             belong to one operator"
                .to_owned(),
        );
    }
    made
}
