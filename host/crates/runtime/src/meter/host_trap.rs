//! Why the host stopped a guest, and what an error out of a guest call means.

use thiserror::Error;
use wasmtime::Trap;
use wasmtime_wasi::I32Exit;

use device::fault::{Cause, Failure};

/// The host stops a guest: returned from host functions and callbacks as an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum HostTrap {
    /// Past the CPU time of one call.
    #[error("the call used up its CPU time")]
    CpuTime,
    /// Past the number of extents that one report may add.
    #[error("the call used up its budget of extents")]
    Extents,
    /// Past the number of live handles.
    #[error("more than {} live handles", nbdbox_config::limits::HANDLES)]
    Handles,
    /// Past the number of questions to the layer below.
    #[error(
        "more than {} questions to the layer below",
        nbdbox_config::limits::QUESTIONS
    )]
    Questions,
    /// A question to the layer below where there is none.
    #[error("there is no layer below")]
    Below,
    /// A range outside the payload of a write.
    #[error("a range outside the write's payload")]
    Payload,
    /// A host function that isn't allowed in this call.
    #[error("a handle of another request")]
    Handle,
}

impl HostTrap {
    const fn cause(self) -> Cause {
        match self {
            Self::CpuTime => Cause::CpuTime,
            Self::Extents | Self::Handles | Self::Questions => Cause::Budget,
            Self::Payload => Cause::Range,
            Self::Handle | Self::Below => Cause::Abi,
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::CpuTime => "the plugin ran out of CPU time",
            Self::Extents => "the plugin added too many extents",
            Self::Handles => "the plugin holds too many handles",
            Self::Questions => "the filter asked the layer below too often",
            Self::Below => "the filter asked a layer below that isn't there yet",
            Self::Payload => "the plugin read past the payload",
            Self::Handle => "the plugin used a foreign handle",
        }
    }
}

/// What an error out of a guest call is: always the plugin's fault, and the store is done for.
pub(crate) fn failure(error: &wasmtime::Error, memory_refused: bool) -> Failure {
    if let Some(stop) = error.downcast_ref::<HostTrap>() {
        return Failure::plugin(stop.cause(), stop.text());
    }
    if is_hostcall_fuel(error) {
        return Failure::plugin(Cause::Budget, "the plugin handed over too much in one call");
    }
    if is_part_limit(error) {
        return Failure::plugin(
            Cause::Budget,
            "the plugin is made of too many memories, tables or instances",
        );
    }
    if error.downcast_ref::<I32Exit>().is_some() {
        return Failure::plugin(Cause::Trap, "the plugin called exit");
    }
    if error.downcast_ref::<Trap>().is_some() {
        // An abort after memory was refused is how most languages say "out of memory".
        return if memory_refused {
            Failure::plugin(Cause::Memory, "the plugin ran out of memory")
        } else {
            Failure::plugin(Cause::Trap, "the plugin trapped")
        };
    }
    if memory_refused {
        return Failure::plugin(Cause::Memory, "the plugin needs more memory than its limit");
    }
    Failure::plugin(Cause::Abi, "the plugin broke the component model's rules")
}

/// wasmtime's type for it is private; a test of a plugin that does it holds these words.
fn is_hostcall_fuel(error: &wasmtime::Error) -> bool {
    error
        .root_cause()
        .to_string()
        .contains("fuel allocated for hostcalls has been exhausted")
}

/// There is no type for it at all; a test of a component of a hundred memories holds these words.
fn is_part_limit(error: &wasmtime::Error) -> bool {
    error
        .root_cause()
        .to_string()
        .contains("resource limit exceeded")
}

/// The error in one line for the operator's log.
pub(crate) fn one_line(error: &wasmtime::Error) -> String {
    let mut line = format!("{error:#}").replace(['\n', '\r'], " ");
    line.truncate(line.floor_char_boundary(1024));
    line
}
