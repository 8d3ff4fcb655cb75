//! Compiled code from the keeper: a server behind its walls can neither start a compiler nor open the cache.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use device::metrics::CompileMetrics;
use lanes::Work;
use outside::{Answer, Keeper, Request};
use tokio::sync::oneshot;

use super::{Compiled, Digest, compatibility};
use crate::component::artifact::Artifact;

/// Requests the code of a plugin's file from the keeper, and copies it on the host's lane. Dropping the future ends a
/// compiler that works for it.
///
/// # Errors
/// The keeper's reason why the file can't be a plugin.
pub(super) async fn compiled(
    keeper: &Keeper,
    engine: &wasmtime::Engine,
    path: &Path,
    metrics: &CompileMetrics,
) -> anyhow::Result<Compiled> {
    let request = Request::Code {
        path: path.into(),
        compatibility: compatibility(engine),
    };
    let (sender, told) = oneshot::channel();
    let call = keeper.begin(&request, move |reply| {
        // The caller may have dropped the future.
        let _ = sender.send(reply);
    })?;
    let reply = told.await.context("the keeper has ended")?;
    drop(call);
    // The keeper's text already names the file.
    let reply = reply.map_err(|error| anyhow!("{error}"));
    let (digest, size, compiled, file) = match reply? {
        (
            Answer::Code {
                digest,
                size,
                compiled,
            },
            Some(file),
        ) => (Digest(digest), size, compiled, File::from(file)),
        (Answer::Refused { digest, words }, _) => {
            metrics.failed(Digest(digest).to_string());
            bail!("{words}");
        }
        other => bail!("the keeper sent an unexpected answer: {other:?}"),
    };
    let engine = engine.clone();
    let copying = Work::of_the_host().run(move || Artifact::copy(&engine, file));
    let artifact = copying
        .await?
        .context("can't use what the compiler wrote")?;
    let compile_time = compiled.map(Duration::from_nanos);
    match compile_time {
        Some(time) => metrics.compiled(digest.to_string(), time),
        None => metrics.hit(digest.to_string()),
    }
    Ok(Compiled {
        artifact,
        digest,
        size,
        compile_time,
    })
}
