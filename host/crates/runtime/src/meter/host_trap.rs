//! Why the host stopped a guest, and what an error out of a guest call means.

use thiserror::Error;
use wasmtime::Trap;
use wasmtime_wasi::I32Exit;

use device::fault::{Cause, Failure};
use nbd_proto::Errno;
use quota::Holder;

use crate::meter::memory::{Refused, Unaffordable};

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
        "more than {} requests to the layer below in one call",
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

/// Where the process's own memory ends, it isn't the plugin's fault.
fn no_memory_left() -> Failure {
    Failure::host(Errno::Enomem, "the server has no memory left for this")
}

/// What it means that an instance can't be made for want of something.
pub(crate) fn unaffordable(unaffordable: Unaffordable) -> Failure {
    match unaffordable {
        Unaffordable::Memory(Refused::Shared(Holder::Process)) => no_memory_left(),
        Unaffordable::Memory(_) => {
            Failure::plugin(Cause::Memory, "the plugin needs more memory than its limit")
        }
        Unaffordable::Mappings(Holder::Process) => {
            let text = "the server has no mappings of the address space left for this";
            Failure::host(Errno::Enomem, text)
        }
        Unaffordable::Mappings(_) => {
            Failure::share("the tenant has no mappings of the address space left for this")
        }
    }
}

/// What an error out of a guest call is: the plugin's fault, unless the host had no memory for it. The store is done
/// for.
pub(crate) fn failure(error: &wasmtime::Error, memory_refused: Option<Refused>) -> Failure {
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
        return match memory_refused {
            Some(Refused::Shared(Holder::Process)) => no_memory_left(),
            Some(_) => Failure::plugin(Cause::Memory, "the plugin ran out of memory"),
            None => Failure::plugin(Cause::Trap, "the plugin trapped"),
        };
    }
    if let Some(refused) = memory_refused {
        return unaffordable(Unaffordable::Memory(refused));
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
