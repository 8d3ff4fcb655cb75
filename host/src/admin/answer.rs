//! Answers a request to the admin listener.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use device::metrics::Observed;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use lanes::Work;
use nbd_server::ServerMetrics;

use super::exposition::exposition;
use super::others::{self, Page};
use super::{Admin, Report, merge};

type Answer = Response<Full<Bytes>>;

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The answer to a request for any other page.
const PATHS: &str = "there are /metrics, /exports and /healthz\n";

/// Makes a page from the data of this process, and from the same page of the other servers if this is the admin server.
/// `None` if the page can't be encoded.
type Maker = fn(&dyn Observed, &Arc<ServerMetrics>, Option<&[Page]>) -> Option<String>;

impl Admin {
    /// Answers a request. Ignores its body.
    pub(super) async fn answer<B>(&self, request: &Request<B>) -> Result<Answer, Infallible> {
        if request.method() != Method::GET {
            let words = "use GET: the admin listener changes nothing\n";
            let mut answer = answer(StatusCode::METHOD_NOT_ALLOWED, TEXT, words);
            answer
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET"));
            return Ok(answer);
        }
        if !request.headers().get(HOST).is_none_or(is_this_machine) {
            let words = "use localhost or a loopback address as the host name\n";
            return Ok(answer(StatusCode::MISDIRECTED_REQUEST, TEXT, words));
        }
        Ok(match request.uri().path() {
            "/metrics" => self.make("/metrics", OPEN_METRICS, metrics).await,
            "/exports" => self.make("/exports", JSON, report).await,
            "/healthz" if *self.stopping.borrow() => {
                answer(StatusCode::SERVICE_UNAVAILABLE, TEXT, "stopping\n")
            }
            "/healthz" => healthy().await,
            _ => answer(StatusCode::NOT_FOUND, TEXT, PATHS),
        })
    }

    /// Makes a page on the host's lane, away from the threads that serve tenants.
    async fn make(&self, page: &'static str, kind: &'static str, make: Maker) -> Answer {
        // The semaphore is never closed, so this never fails.
        let turn = Arc::clone(&self.making).acquire_owned().await;
        let pages = match others::are_shown_here() {
            true => Some(others::pages(page).await),
            false => None,
        };
        let (observed, server) = (Arc::clone(&self.observed), Arc::clone(&self.server));
        // The work keeps its turn to its end, even if its client has gone.
        let making = Work::of_the_host().run(move || {
            let made = make(&*observed, &server, pages.as_deref());
            drop(turn);
            made
        });
        match making.await.ok().flatten() {
            Some(text) => answer(StatusCode::OK, kind, text),
            None => {
                tracing::error!(listener = "admin", "can't make the page {page}");
                answer(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "see the log\n")
            }
        }
    }
}

fn metrics(
    observed: &dyn Observed,
    server: &Arc<ServerMetrics>,
    pages: Option<&[Page]>,
) -> Option<String> {
    let own = exposition(observed, server)?;
    Some(match pages {
        None => own,
        Some(pages) => merge::metrics(&own, pages),
    })
}

fn report(
    observed: &dyn Observed,
    _: &Arc<ServerMetrics>,
    pages: Option<&[Page]>,
) -> Option<String> {
    let own = Report::of(observed);
    let report = match pages {
        None => own,
        Some(pages) => merge::reports(own, pages),
    };
    let text = serde_json::to_string_pretty(&report).ok()?;
    Some(text + "\n")
}

/// The answer of `/healthz`: the admin server also checks the other servers.
async fn healthy() -> Answer {
    if others::are_shown_here() {
        let pages = others::pages("/healthz").await;
        if let Some(ill) = pages.iter().find(|page| page.text.is_none()) {
            let words = format!("the process of {} doesn't answer\n", ill.server);
            return answer(StatusCode::SERVICE_UNAVAILABLE, TEXT, words);
        }
    }
    answer(StatusCode::OK, TEXT, "ok\n")
}

fn answer(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let kind = HeaderValue::from_static(kind);
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

/// Whether a `Host` header names this machine. Restrains web pages in a browser on this machine that get here by a name
/// of their own (DNS rebinding), and could then read the figures.
fn is_this_machine(host: &HeaderValue) -> bool {
    let Ok(host) = host.to_str() else {
        return false;
    };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next(),
        None => host.split(':').next(),
    };
    let name = name.unwrap_or_default();
    let loopback = |address: IpAddr| address.is_loopback();
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_accepted() {
        let is = |host: &'static str| is_this_machine(&HeaderValue::from_static(host));
        for host in ["localhost", "LOCALHOST:1", "127.0.0.1:9809", "[::1]:9809"] {
            assert!(is(host), "{host}");
        }
        for host in ["", "evil.example", "127.0.0.1.evil.example", "192.0.2.1"] {
            assert!(!is(host), "{host}");
        }
    }
}
