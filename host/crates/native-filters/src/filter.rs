//! The device that carries out the plans of a native filter, over another layer.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use device::fault::Failure;
use device::metrics::Metrics;
use device::reply::ReadReply;
use device::{
    Deadline, Device, DynServed, ExtentsOnError, Guest, Losses, Payer, Pieces, Served, Terms,
    WriteFlags, Zeroes,
};
use extent_map::{ExtentMap, Wanted};
use lanes::Work;
use tokio::time::sleep;

use crate::call::Call;
use crate::hook::Hook;
use crate::native::Native;
use crate::plan::{Plan, Then};

/// The most bytes that are read at once only to be discarded.
const READ_AWAY: u32 = 1 << 20;

/// A filter of the host's own over a layer.
pub struct NativeFilter {
    native: Arc<Native>,
    below: Arc<dyn DynServed>,
    terms: Arc<Terms>,
    metrics: Arc<Metrics>,
    /// The losses of all layers below.
    losses: Vec<Arc<Losses>>,
}

impl fmt::Debug for NativeFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NativeFilter")
            .field("native", &self.native)
            .finish_non_exhaustive()
    }
}

impl NativeFilter {
    /// Puts a filter on the layer `below`, which has `losses`.
    ///
    /// # Errors
    /// The layer below can't do what the filter's settings require.
    pub fn new(
        native: Arc<Native>,
        below: Arc<dyn DynServed>,
        metrics: Arc<Metrics>,
        losses: Vec<Arc<Losses>>,
    ) -> Result<Self, String> {
        let mut terms = below.terms().clone();
        let hook = native.hook();
        hook.promise(&mut terms.export)?;
        terms.sparse &= hook.tells_extents();
        if hook.tells_failed_extents() {
            terms.extents_on_error = ExtentsOnError::Error;
        }
        Ok(Self {
            native,
            below,
            terms: Arc::new(terms),
            metrics,
            losses,
        })
    }

    /// The filter as clients or the filter above reach it.
    #[must_use]
    pub fn served(self: &Arc<Self>) -> Served<Self> {
        let (terms, metrics) = (Arc::clone(&self.terms), Arc::clone(&self.metrics));
        Served::new(Arc::clone(self), terms, metrics)
    }

    /// The terms that it advertises.
    #[must_use]
    pub fn terms(&self) -> &Arc<Terms> {
        &self.terms
    }

    /// The counters of this layer.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    fn hook(&self) -> &dyn Hook {
        self.native.hook()
    }

    /// Waits as planned, and decides how the call goes on.
    async fn begin(&self, deadline: &Deadline, plan: &Plan) -> Result<Then, Failure> {
        if !plan.wait.is_zero() {
            wait(plan.wait, deadline).await?;
        }
        match &plan.then {
            Then::Refuse(failure) => Err(failure.clone()),
            Then::RefuseIf(file, failure) => {
                if self.exists(file, deadline).await? {
                    return Err(failure.clone());
                }
                Ok(Then::Pass)
            }
            then => Ok(then.clone()),
        }
    }

    /// Looks for a file on a thread of the tenant's lane, because file systems may take their time.
    async fn exists(&self, file: &Arc<PathBuf>, deadline: &Deadline) -> Result<bool, Failure> {
        let work = match &self.terms.quota {
            Some(quota) => &quota.work,
            None => Work::of_the_host(),
        };
        let file = Arc::clone(file);
        let found = deadline
            .standing(work.run(move || outside::files::look(&file).is_ok()))
            .await;
        found.map_err(|_| {
            Failure::host(
                nbd_proto::Errno::Eio,
                "the host can't create another thread",
            )
        })
    }

    /// Carries out a change. `pass` passes it on, with the flags of the plan.
    async fn change<'a>(
        &'a self,
        deadline: &'a Deadline,
        call: Call,
        pass: impl FnOnce(&'a dyn DynServed, WriteFlags) -> device::Answer<'a, ()> + Send,
    ) -> Result<(), Failure> {
        let plan = self.hook().plan(&call);
        let done = async {
            match self.begin(deadline, &plan).await? {
                Then::Ignore => Ok(()),
                Then::ReadAway => self.read_away(deadline, &call).await,
                Then::WriteZeroes => self.write_zeroes(deadline, &call, plan.flags).await,
                Then::PassAndFlush => {
                    pass(&*self.below, plan.flags)
                        .await
                        .map_err(Failure::told_below)?;
                    self.below
                        .flush(deadline)
                        .await
                        .map_err(Failure::told_below)
                }
                Then::Pass | Then::Refuse(_) | Then::RefuseIf(..) => pass(&*self.below, plan.flags)
                    .await
                    .map_err(Failure::told_below),
            }
        };
        let done = done.await;
        let failure = done.as_ref().err();
        self.hook().answered(plan.ticket, &call, None, failure);
        done
    }

    /// The request, and the rates that the host's own work for it counts for.
    fn payer<'a>(&'a self, deadline: &'a Deadline) -> Payer<'a> {
        Payer {
            deadline,
            metrics: &self.metrics,
            rates: self.terms.rates(),
        }
    }

    /// The largest request of the layer below, in bytes.
    fn most_below(&self) -> u32 {
        self.below.terms().export.block.maximum()
    }

    /// Writes zeroes in pieces.
    async fn write_zeroes(
        &self,
        deadline: &Deadline,
        call: &Call,
        flags: WriteFlags,
    ) -> Result<(), Failure> {
        let Call::Zero { offset, length, .. } = *call else {
            return Ok(());
        };
        let flags = flags & WriteFlags::FUA;
        let mut zeroes = Zeroes::new(self.payer(deadline), length, self.most_below());
        while let Some((at, bytes)) = zeroes.next().await? {
            let written = self.below.write(deadline, offset + at, bytes, flags).await;
            written.map_err(Failure::told_below)?;
        }
        Ok(())
    }

    /// Reads a range in pieces, and discards the bytes.
    async fn read_away(&self, deadline: &Deadline, call: &Call) -> Result<(), Failure> {
        let Call::Cache { offset, length } = *call else {
            return Ok(());
        };
        let mut reply = Box::<ReadReply>::default();
        let most = READ_AWAY.min(self.most_below());
        let mut pieces = Pieces::new(self.payer(deadline), length, most.into());
        while let Some(piece) = pieces.next().await? {
            // A piece is never longer than `most`.
            let count = u32::try_from(piece.end - piece.start).unwrap_or(most);
            reply.reset(count);
            let at = offset + piece.start;
            let read = self.below.read(deadline, at, count, reply).await;
            reply = read.map_err(Failure::told_below)?;
        }
        Ok(())
    }
}

/// Waits for `time`, while the request's clock stands still, so that the layers below keep their time. Ends early if
/// the client hangs up.
async fn wait(time: Duration, deadline: &Deadline) -> Result<(), Failure> {
    let _standing = deadline.stand_still();
    tokio::select! {
        () = sleep(time) => Ok(()),
        () = deadline.abandoned() => Err(Failure::hung_up()),
    }
}

impl Device for NativeFilter {
    async fn read(
        &self,
        deadline: &Deadline,
        offset: u64,
        length: u32,
        reply: Box<ReadReply>,
    ) -> Result<Box<ReadReply>, Failure> {
        let call = Call::Read {
            offset,
            length: length.into(),
        };
        let plan = self.hook().plan(&call);
        let done = match self.begin(deadline, &plan).await {
            Ok(_) => {
                let done = self.below.read(deadline, offset, length, reply).await;
                done.map_err(Failure::told_below)
            }
            Err(failure) => Err(failure),
        };
        let failure = done.as_ref().err();
        self.hook().answered(plan.ticket, &call, None, failure);
        done
    }

    async fn write(
        &self,
        deadline: &Deadline,
        offset: u64,
        payload: Bytes,
        flags: WriteFlags,
    ) -> Result<(), Failure> {
        let call = Call::Write {
            offset,
            length: payload.len() as u64,
            flags,
        };
        self.change(deadline, call, |below, flags| {
            below.write(deadline, offset, payload, flags)
        })
        .await
    }

    async fn flush(&self, deadline: &Deadline) -> Result<(), Failure> {
        self.change(deadline, Call::Flush, |below, _| below.flush(deadline))
            .await
    }

    async fn trim(
        &self,
        deadline: &Deadline,
        offset: u64,
        length: u64,
        flags: WriteFlags,
    ) -> Result<(), Failure> {
        let call = Call::Trim {
            offset,
            length,
            flags,
        };
        self.change(deadline, call, |below, flags| {
            below.trim(deadline, offset, length, flags)
        })
        .await
    }

    async fn zero(
        &self,
        deadline: &Deadline,
        offset: u64,
        length: u64,
        flags: WriteFlags,
    ) -> Result<(), Failure> {
        let call = Call::Zero {
            offset,
            length,
            flags,
        };
        self.change(deadline, call, |below, flags| {
            below.zero(deadline, offset, length, flags)
        })
        .await
    }

    async fn cache(&self, deadline: &Deadline, offset: u64, length: u64) -> Result<(), Failure> {
        let call = Call::Cache { offset, length };
        self.change(deadline, call, |below, _| {
            below.cache(deadline, offset, length)
        })
        .await
    }

    async fn extents(
        &self,
        deadline: &Deadline,
        map: Box<ExtentMap>,
    ) -> Result<Box<ExtentMap>, Failure> {
        let range = map.range().clone();
        let call = Call::Extents {
            offset: range.start,
            length: range.end - range.start,
            one: map.wanted() == Wanted::One,
        };
        let plan = self.hook().plan(&call);
        let done = match self.begin(deadline, &plan).await {
            // Bytes that nobody describes are data.
            Ok(Then::Ignore) => Ok(map),
            Ok(_) => {
                let done = self.below.extents(deadline, map).await;
                done.map_err(Failure::told_below)
            }
            Err(failure) => Err(failure),
        };
        let (extents, failure) = (done.as_deref().ok(), done.as_ref().err());
        self.hook().answered(plan.ticket, &call, extents, failure);
        done
    }

    fn losses(&self) -> Vec<Arc<Losses>> {
        self.losses.clone()
    }

    /// Enters this layer only; the stack enters the layers below.
    async fn enter(&self) -> Result<Guest, Failure> {
        let wait = self.hook().open_wait();
        if !wait.is_zero() {
            sleep(wait).await;
        }
        let mut guest = Guest::default();
        if let Some(exit) = self.hook().exit() {
            guest.keep(Box::new(exit.enter().await?));
        }
        if let Some(held) = self.hook().connect(&self.terms.export)? {
            guest.keep(held);
        }
        Ok(guest)
    }

    /// Leaves this layer only; the stack leaves the layers below.
    async fn leave(&self) {
        let wait = self.hook().close_wait();
        if !wait.is_zero() {
            sleep(wait).await;
        }
    }
}
