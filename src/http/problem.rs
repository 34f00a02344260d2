//! Errors as `application/problem+json` (RFC 9457). What a client sent is never repeated.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use serde_json::json;

/// An error: its status, what it is about and what helps.
#[derive(Debug)]
pub struct Problem {
    pub status: StatusCode,
    pub detail: Cow<'static, str>,
    /// Of a probe: each reason.
    pub reasons: Vec<String>,
    /// Of a team that another instance serves: `http://HOST:PORT` of that one.
    pub owner: Option<String>,
}

/// The owner once more, for proxies that do not read bodies.
const OWNER: HeaderName = HeaderName::from_static("meterfold-owner");

/// What a client may ask again after; seconds.
const RETRY_AFTER: &str = "1";

impl Problem {
    pub fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem {
            status,
            detail: detail.into(),
            reasons: Vec::new(),
            owner: None,
        }
    }

    pub fn bad_request(detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, detail)
    }

    pub fn not_found(detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, detail)
    }

    pub fn unavailable(detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    }

    pub fn failed() -> Problem {
        let detail = "the answer failed; the log of the process says why";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
    }

    /// The headers that its status asks for.
    pub fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        let header = |name, value| vec![(name, HeaderValue::from_static(value))];
        match self.status {
            StatusCode::METHOD_NOT_ALLOWED => header(header::ALLOW, "GET, HEAD"),
            StatusCode::SERVICE_UNAVAILABLE => header(header::RETRY_AFTER, RETRY_AFTER),
            StatusCode::UNAUTHORIZED => {
                header(header::WWW_AUTHENTICATE, "Bearer realm=\"meterfold\"")
            }
            StatusCode::MISDIRECTED_REQUEST => {
                let owner = self.owner.as_ref().and_then(|it| it.parse().ok());
                owner.map(|owner| (OWNER, owner)).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let mut problem = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason(),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if !self.reasons.is_empty() {
            problem["reasons"] = self.reasons.clone().into();
        }
        if let Some(owner) = &self.owner {
            problem["owner"] = owner.clone().into();
        }
        let content_type = (header::CONTENT_TYPE, "application/problem+json");
        let mut response =
            (self.status, [content_type], problem.to_string() + "\n").into_response();
        response.headers_mut().extend(self.headers());
        response
    }
}
