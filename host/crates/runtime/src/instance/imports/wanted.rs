//! Calls of a blob that the host gives up when their request's client hangs up.

use blob::BlobError;
use device::Deadline;
use device::fault::Failure;

/// Why a call of a blob has no answer.
pub(super) enum NoAnswer {
    /// The blob returned an error.
    Blob(BlobError),
    /// The request that the call works for has ended.
    Ended(Failure),
}

/// Waits for a blob's answer, at most until the request's client hangs up. `question` must be safe to drop, and so is
/// this.
pub(super) async fn while_wanted<T>(
    request: Option<&Deadline>,
    question: impl Future<Output = Result<T, BlobError>>,
) -> Result<T, NoAnswer> {
    let Some(request) = request else {
        return Ok(question.await?);
    };
    tokio::select! {
        biased;
        answer = question => Ok(answer?),
        () = request.abandoned() => Err(Failure::hung_up().into()),
    }
}

impl From<BlobError> for NoAnswer {
    fn from(error: BlobError) -> Self {
        Self::Blob(error)
    }
}

impl From<Failure> for NoAnswer {
    fn from(failure: Failure) -> Self {
        Self::Ended(failure)
    }
}
