//! Which path answers what. Probes say 200 or 503; only `GET` and `HEAD`; nothing has an effect.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{RawQuery, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::problem::Problem;
use super::status;
use super::target::Target;
use super::teams::{self, Queries};
use crate::telemetry::labels::{HTTP_CODES, HTTP_PATHS};
use crate::telemetry::{Format, Telemetry};

/// Goes out with every answer: none is to be kept, guessed at, or made a part of another site.
const HEADERS: [(HeaderName, &str); 3] = [
    (header::CACHE_CONTROL, "no-store"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
];

const OPENAPI: &str = include_str!("../../docs/openapi.json");

/// The whole of the surface.
pub fn router(telemetry: &Telemetry, queries: Arc<Queries>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/startupz", get(startupz))
        .route("/status", get(status))
        .route("/openapi.json", get(openapi))
        .with_state(telemetry.clone())
        .merge(teams::router(queries))
        .fallback(not_found)
        .method_not_allowed_fallback(not_allowed)
        .layer(from_fn_with_state(telemetry.clone(), observe))
}

async fn metrics(State(telemetry): State<Telemetry>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT);
    let accept = accept.and_then(|accept| accept.to_str().ok());
    let format = Format::accepted(accept.unwrap_or_default());
    let content_type = (header::CONTENT_TYPE, format.content_type());
    ([content_type], telemetry.render(format)).into_response()
}

/// Whether the process is to be left alone (200) or killed.
async fn livez(State(telemetry): State<Telemetry>, RawQuery(query): RawQuery) -> Response {
    let reasons = telemetry.not_alive();
    probe(&telemetry, query, "the process is stuck", reasons)
}

/// Whether it may be sent work and rolled past.
async fn readyz(State(telemetry): State<Telemetry>, RawQuery(query): RawQuery) -> Response {
    let reasons = telemetry.not_ready();
    probe(&telemetry, query, "the process is not ready", reasons)
}

/// Whether the other two probes may begin.
async fn startupz(State(telemetry): State<Telemetry>, RawQuery(query): RawQuery) -> Response {
    let reasons = telemetry.not_started();
    probe(
        &telemetry,
        query,
        "the process has not started yet",
        reasons,
    )
}

async fn status(State(telemetry): State<Telemetry>) -> Response {
    let content_type = (header::CONTENT_TYPE, "application/json");
    ([content_type], status::json(&telemetry)).into_response()
}

/// What there is to ask, for programs.
async fn openapi() -> Response {
    let content_type = (header::CONTENT_TYPE, "application/json");
    ([content_type], OPENAPI).into_response()
}

async fn not_found() -> Problem {
    let detail = "there are /metrics, /livez, /readyz, /startupz, /status, /openapi.json, \
                  /v1/teams/{team} and /teams/{team}";
    Problem::new(StatusCode::NOT_FOUND, detail)
}

async fn not_allowed() -> Problem {
    let detail = "everything here is read only: use GET";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}

/// `ok`, with `?verbose` followed by the state of all parts; or 503 and the reasons.
fn probe(
    telemetry: &Telemetry,
    query: Option<String>,
    detail: &'static str,
    reasons: Vec<String>,
) -> Response {
    if !reasons.is_empty() {
        let mut problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail);
        problem.reasons = reasons;
        return problem.into_response();
    }
    let mut text = String::from("ok\n");
    let query = query.unwrap_or_default();
    if query
        .split('&')
        .any(|word| matches!(word, "verbose" | "verbose=true" | "verbose=1"))
    {
        text.push_str(&status::summary(telemetry));
    }
    let content_type = (header::CONTENT_TYPE, "text/plain; charset=utf-8");
    ([content_type], text).into_response()
}

/// RFC 9112 3.2.
fn names_host(request: &Request) -> bool {
    let hosts = request.headers().get_all(header::HOST).iter().count();
    hosts == 1 || request.version() != Version::HTTP_11
}

/// Counts and times every request, under a path and a code of closed lists.
async fn observe(State(telemetry): State<Telemetry>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let path = request.uri().path();
    let known = HTTP_PATHS.iter().find(|known| **known == path);
    let path = known.copied().unwrap_or_else(|| Target::template(path));
    let mut response = match names_host(&request) {
        true => next.run(request).await,
        false => Problem::bad_request("HTTP/1.1 asks with one Host").into_response(),
    };
    for (name, value) in HEADERS {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    let code = response.status();
    let known = HTTP_CODES.iter().find(|known| **known == code.as_str());
    telemetry.http_request(path, known.copied().unwrap_or("other"), begun.elapsed());
    response
}
