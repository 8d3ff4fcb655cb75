//! Host functions that wait. No other module links one, so none can forget to stop a guest's clocks.
//!
//! Such a function has two halves and a wait between them. The first half, `ask`, sees the guest, checks its request,
//! and says what to wait for. The wait sees neither guest nor store, and clocks stop as [`WaitsFor`] says. The second
//! half, `answer`, sees the guest again, and gets what the wait returned.

use std::future::poll_fn;
use std::pin::{Pin, pin};

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentNamedList, Lift, LinkerInstance, Lower};

use crate::instance::guest::Guest;
use crate::meter::call::WaitsFor;
use crate::meter::clock;

/// The outcome of the first half of a host function.
pub(super) enum Asked<R, W> {
    /// The answer is ready.
    Answer(R),
    /// The answer needs this wait.
    Wait(W),
}

/// The return value of the first half of a host function. An error stops the guest.
pub(super) type Asking<R, W> = wasmtime::Result<Asked<R, W>>;

/// Links a host function that waits for `wait`. An error from either half stops the guest.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that links async functions, and it stops the clocks"
)]
pub(super) fn waiting<P, R, W>(
    linker: &mut LinkerInstance<'_, Guest>,
    name: &str,
    wait: WaitsFor,
    ask: impl Fn(&mut StoreContextMut<'_, Guest>, P) -> Asking<R, W> + Copy + Send + Sync + 'static,
    answer: impl Fn(&mut Guest, W::Output) -> wasmtime::Result<R> + Copy + Send + Sync + 'static,
) -> wasmtime::Result<()>
where
    P: ComponentNamedList + Lift + Send + 'static,
    R: ComponentNamedList + Lower + Send + 'static,
    W: Future<Output: Send> + Send + 'static,
{
    linker.func_wrap_async(name, move |mut store, params| {
        Box::new(async move {
            let waiting = match ask(&mut store, params)? {
                Asked::Answer(answer) => return Ok(answer),
                Asked::Wait(waiting) => pin!(waiting),
            };
            let waited = host_wait(&mut store, wait, waiting).await?;
            answer(store.data_mut(), waited)
        })
    })
}

/// Waits on behalf of the guest. Ticks during a pending wait aren't the guest's. A wait that is ready at the first poll
/// stops no clock, so its ticks are the guest's: otherwise a guest could call such functions in a loop and never meet a
/// tick.
async fn host_wait<W: Future>(
    store: &mut StoreContextMut<'_, Guest>,
    wait: WaitsFor,
    mut waiting: Pin<&mut W>,
) -> wasmtime::Result<W::Output> {
    store.data_mut().call.wait_begins(wait)?;
    let mut pending = false;
    let waited = poll_fn(|cx| {
        let polled = waiting.as_mut().poll(cx);
        if polled.is_pending() && !pending {
            pending = true;
            store.data_mut().call.wait_is_pending(wait);
        }
        polled
    })
    .await;
    store.data_mut().call.wait_ends(wait, pending)?;
    if pending {
        store.set_epoch_deadline(1);
        clock::note_guest();
    }
    Ok(waited)
}
