//! Questions to a blob, for as long as their answer is wanted.

use blob::BlobError;
use device::Deadline;
use device::fault::Failure;

/// Why a question to a blob has no answer.
pub(super) enum NoAnswer {
    /// What the blob said.
    Blob(BlobError),
    /// The request for which it was asked has ended.
    Ended(Failure),
}

/// Waits for a blob's answer until the client of the request has gone: then it's no longer waited for. `question` must
/// be safe to drop.
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
