//! Why the host stopped a guest, and whose fault an error out of a guest call is.

use thiserror::Error;
use wasmtime::Trap;
use wasmtime_wasi::I32Exit;

use device::fault::{Cause, Failure};
use nbd_proto::Errno;
use quota::Holder;

use crate::meter::memory::{Refused, Unaffordable};

/// The host stops a guest for this reason. Host functions and callbacks return it as an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum HostTrap {
    /// The call has used up its CPU time.
    #[error("the call used up its CPU time")]
    CpuTime,
    /// The guest has added more extents than one report may.
    #[error("the call used up its budget of extents")]
    Extents,
    /// The guest holds too many live handles.
    #[error("more than {} live handles", nbdbox_config::limits::HANDLES)]
    Handles,
    /// The filter has made too many requests to the layer below.
    #[error("more than {} in one call", nbdbox_config::limits::QUESTIONS)]
    Questions,
    /// The guest used the layer below, and there is none.
    #[error("there is no layer below")]
    Below,
    /// The guest read a range outside the payload of a write.
    #[error("a range outside the write's payload")]
    Payload,
    /// The guest used a handle of something that the current call doesn't lend.
    #[error("a handle that this call doesn't lend")]
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
            Self::Questions => "the filter sent too many requests to the layer below",
            Self::Below => "the filter used the layer below before there was one",
            Self::Payload => "the plugin read past the payload",
            Self::Handle => "the plugin used a handle of another request",
        }
    }
}

/// The failure when the process itself has no memory left: not the plugin's fault.
fn no_memory_left() -> Failure {
    Failure::host(Errno::Enomem, "the server has no memory left for this")
}

/// The failure when an instance can't be made for lack of memory or mappings.
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

/// Classifies an error out of a guest call: the plugin's fault, unless the host had no memory for it. `memory_refused`
/// is the limit that refused memory to the instance, if any did. The caller must drop the store.
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
        // Most languages abort when memory was refused.
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

/// wasmtime's type for this is private. A test in `host/tests/hostile`, with a large list, fails if the text changes.
fn is_hostcall_fuel(error: &wasmtime::Error) -> bool {
    error
        .root_cause()
        .to_string()
        .contains("fuel allocated for hostcalls has been exhausted")
}

/// wasmtime has no type for this. A test in `host/tests/hostile`, with a hundred memories, fails if the text changes.
fn is_part_limit(error: &wasmtime::Error) -> bool {
    error
        .root_cause()
        .to_string()
        .contains("resource limit exceeded")
}

/// The error in one line of at most 1024 bytes, for the operator's log.
pub(crate) fn one_line(error: &wasmtime::Error) -> String {
    let mut line = format!("{error:#}").replace(['\n', '\r'], " ");
    line.truncate(line.floor_char_boundary(1024));
    line
}
