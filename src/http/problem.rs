//! Errors as `application/problem+json` (RFC 9457). What a client sent is never repeated.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use serde_json::json;

/// An error: its status, what it is about, and, of a probe, each reason.
pub struct Problem {
    pub status: StatusCode,
    pub detail: &'static str,
    pub reasons: Vec<String>,
}

impl Problem {
    pub fn new(status: StatusCode, detail: &'static str) -> Problem {
        Problem {
            status,
            detail,
            reasons: Vec::new(),
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
            problem["reasons"] = self.reasons.into();
        }
        let content_type = (header::CONTENT_TYPE, "application/problem+json");
        let mut response =
            (self.status, [content_type], problem.to_string() + "\n").into_response();
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            let allowed = HeaderValue::from_static("GET, HEAD");
            response.headers_mut().insert(header::ALLOW, allowed);
        }
        response
    }
}
