//! Problem details (RFC 9457): how the API says no.

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use crate::accounts::Unavailable;
use crate::base::time::{MINUTE, Timestamp};

use super::super::answer::{self, Answer};
use super::super::cx::retry_after;
use super::shape::{Field, Flaw, LINE, NAME, Object, Shape, TEXT, may, need};

/// Why something was not done.
#[derive(Debug)]
pub enum Not {
    /// The store did not answer: 503, nobody gets in by it.
    Unavailable,
    /// There is no such thing, or none within reach: 404.
    Found,
    /// What was sent is not right: 422, and the flaws say where.
    Valid,
    /// Anything else, by its status and stable code.
    Allowed {
        /// The status.
        status: StatusCode,
        /// The stable code.
        code: &'static str,
        /// In a sentence or two.
        detail: String,
        /// When it may be tried again, if that is known.
        until: Option<Timestamp>,
    },
}

impl Not {
    /// A refusal by its status and code.
    pub fn allowed(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self::Allowed {
            status,
            code,
            detail: detail.into(),
            until: None,
        }
    }

    /// Something stands against it: 409.
    pub fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::allowed(StatusCode::CONFLICT, code, detail)
    }

    /// Too much of it: 429, until then.
    pub fn too_many(code: &'static str, detail: impl Into<String>, until: Timestamp) -> Self {
        Self::Allowed {
            status: StatusCode::TOO_MANY_REQUESTS,
            code,
            detail: detail.into(),
            until: Some(until),
        }
    }
}

impl From<Unavailable> for Not {
    fn from(_: Unavailable) -> Self {
        Self::Unavailable
    }
}

const FLAW: Object = Object {
    name: "Flaw",
    fields: &[
        need(
            "field",
            TEXT,
            "The part that is wrong, names with dots between them; empty for the whole",
        ),
        need("code", NAME, "Stable"),
        need("detail", TEXT, "In a sentence"),
    ],
};

const PROBLEM_FIELDS: &[Field] = &[
    need("type", LINE, "Always `about:blank`: `code` says what it is"),
    need("title", LINE, "The status in words"),
    need("status", Shape::Whole { least: 400, most: 599 }, ""),
    need("code", NAME, "Stable, for programs"),
    need("detail", TEXT, "What is wrong and what to do, in a sentence or two"),
    need("request_id", NAME, "The request, for whoever looks into it"),
    may("reason", NAME, "The same as `code`, of what is refused before the API is asked"),
    may("decision", NAME, "The decision, to be explained"),
    may("login_url", TEXT, "Where a person signs in"),
    may(
        "errors",
        Shape::List(&Shape::Object(&FLAW), 1000),
        "What is wrong with the parts of what was sent",
    ),
];

/// Problem details, in the document.
pub const PROBLEM: Object = Object {
    name: "Problem",
    fields: PROBLEM_FIELDS,
};

/// A problem, to be answered.
#[derive(Debug, Default)]
pub struct Problem<'a> {
    /// What is wrong with the parts of what was sent.
    pub flaws: &'a [Flaw],
    /// The request's id.
    pub request: &'a str,
    /// The decision's id.
    pub decision: Option<String>,
    /// Where a person signs in.
    pub login_url: Option<String>,
}

impl Problem<'_> {
    /// As an answer. A 401 says how to come with a credential (RFC 9110 section 15.5.2).
    #[must_use]
    pub fn answer(&self, not: &Not, now: Timestamp) -> Answer {
        let soon = now.after(MINUTE);
        let first = self.flaws.first();
        let (status, code, detail, until) = match not {
            Not::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "portcullis cannot look up what it needs to know, so it does nothing. Try again in a minute.",
                Some(soon),
            ),
            Not::Found => (
                StatusCode::NOT_FOUND,
                "not_found",
                "There is nothing of this name that you may see.",
                None,
            ),
            Not::Valid => (
                StatusCode::UNPROCESSABLE_ENTITY,
                first.map_or("invalid", |flaw| flaw.code),
                first.map_or("Something that was sent is not right.", |flaw| flaw.detail.as_str()),
                None,
            ),
            Not::Allowed {
                status,
                code,
                detail,
                until,
            } => (*status, *code, detail.as_str(), *until),
        };
        let mut value = json!({
            "type": "about:blank",
            "title": status.canonical_reason().unwrap_or("Error"),
            "status": status.as_u16(),
            "code": code,
            "detail": detail,
            "request_id": self.request,
        });
        if let Some(parts) = value.as_object_mut() {
            let flaw = |flaw: &Flaw| json!({ "field": flaw.field, "code": flaw.code, "detail": flaw.detail });
            let more = [
                ("decision", self.decision.clone().map(Value::from)),
                ("login_url", self.login_url.clone().map(Value::from)),
                ("errors", first.map(|_| self.flaws.iter().map(flaw).collect())),
            ];
            for (name, value) in more {
                if let Some(value) = value {
                    parts.insert(name.to_owned(), value);
                }
            }
        }
        let mut answer = answer::json(status, &value);
        let kind = HeaderValue::from_static("application/problem+json");
        answer.headers_mut().insert(header::CONTENT_TYPE, kind);
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer realm=\"portcullis\"");
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        match until {
            Some(until) => retry_after(answer, until, now),
            None => answer,
        }
    }
}

/// An answer with nothing in it.
#[must_use]
pub fn nothing() -> Answer {
    let mut answer = answer::json(StatusCode::NO_CONTENT, &Value::Null);
    answer.headers_mut().remove(header::CONTENT_TYPE);
    *answer.body_mut() = Bytes::new();
    answer
}
