//! Answers of our own: pages, redirects, JSON and problem details, with the headers that every one of them carries.

use askama::Template;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use serde_json::{Value, json};

use super::form::Form;

/// The content policy of our pages (`ui/README.md` rule 2): nothing inline, nothing from elsewhere, forms only to this host.
pub const CONTENT_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; \
                                  base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

const PAGE_HEADERS: &[(&str, &str)] = &[
    ("content-security-policy", CONTENT_POLICY),
    ("cache-control", "no-store"),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
];

/// The name of the header that carries the request's id.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// An answer of our own.
pub type Answer = Response<Bytes>;

fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = status;
    for (name, value) in PAGE_HEADERS {
        answer
            .headers_mut()
            .insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    answer
}

fn with_body(status: StatusCode, kind: &'static str, body: Bytes) -> Answer {
    let mut answer = empty(status);
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    *answer.body_mut() = body;
    answer
}

/// A page.
#[must_use]
pub fn page(status: StatusCode, page: &impl Template) -> Answer {
    match page.render() {
        Ok(text) => with_body(status, "text/html; charset=utf-8", text.into()),
        // Writing to memory fails only when there is none.
        Err(_) => empty(StatusCode::SERVICE_UNAVAILABLE),
    }
}

/// JSON.
#[must_use]
pub fn json(status: StatusCode, value: &Value) -> Answer {
    with_body(status, "application/json", value.to_string().into())
}

/// JSON that is written already.
#[must_use]
pub fn json_text(text: String) -> Answer {
    with_body(StatusCode::OK, "application/json", text.into())
}

/// A file to be kept.
#[must_use]
pub fn download(kind: &'static str, name: &'static str, text: String) -> Answer {
    let mut answer = with_body(StatusCode::OK, kind, text.into());
    if let Ok(disposition) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        answer.headers_mut().insert(header::CONTENT_DISPOSITION, disposition);
    }
    answer
}

/// On from a GET: 302.
#[must_use]
pub fn found(to: &str) -> Answer {
    redirect(StatusCode::FOUND, to)
}

/// On from a form that ends on this host: 303.
#[must_use]
pub fn see_other(to: &str) -> Answer {
    redirect(StatusCode::SEE_OTHER, to)
}

fn redirect(status: StatusCode, to: &str) -> Answer {
    match HeaderValue::from_str(to) {
        Ok(location) => {
            let mut answer = empty(status);
            answer.headers_mut().insert(header::LOCATION, location);
            answer
        }
        // Every address we send people to was checked to be visible ASCII; one that was not is not followed.
        Err(_) => empty(StatusCode::BAD_REQUEST),
    }
}

/// Problem details (RFC 9457): what a program gets where a person gets a page.
#[derive(Clone, Debug)]
pub struct Problem<'a> {
    /// The status.
    pub status: StatusCode,
    /// The stable code: a reason of `POLICY.md` section 7 or a message of `ui/README.md`.
    pub reason: &'a str,
    /// What is wrong, in a sentence.
    pub detail: &'a str,
    /// The request's id.
    pub request: &'a str,
    /// The decision's id.
    pub decision: Option<&'a str>,
    /// Where a person could sign in.
    pub login_url: Option<&'a str>,
}

impl Problem<'_> {
    /// As an answer. A 401 says how to come with a credential (RFC 9110 section 15.5.2).
    #[must_use]
    pub fn answer(&self) -> Answer {
        self.with_fields(None)
    }

    /// As the answer to a form: each field's problem is listed.
    #[must_use]
    pub fn answer_to(&self, form: &Form) -> Answer {
        self.with_fields(Some(form))
    }

    fn with_fields(&self, form: Option<&Form>) -> Answer {
        let mut value = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "detail": self.detail,
            "reason": self.reason,
            "code": self.reason,
            "request_id": self.request,
        });
        if let Some(fields) = value.as_object_mut() {
            if let Some(decision) = self.decision {
                fields.insert("decision".to_owned(), decision.into());
            }
            if let Some(login_url) = self.login_url {
                fields.insert("login_url".to_owned(), login_url.into());
            }
            if let Some(form) = form.filter(|form| form.failed()) {
                let errors = form
                    .problems()
                    .iter()
                    .map(|problem| json!({ "field": problem.field, "code": problem.code, "detail": problem.words }));
                fields.insert("errors".to_owned(), errors.collect());
            }
        }
        let mut answer = with_body(self.status, "application/problem+json", value.to_string().into());
        if self.status == StatusCode::UNAUTHORIZED {
            answer
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"portcullis\""));
        }
        answer
    }
}

/// An asset of this build: kept for a year, since its address changes with its content.
#[must_use]
pub fn asset(kind: &'static str, body: Bytes) -> Answer {
    let mut answer = with_body(StatusCode::OK, kind, body);
    answer.headers_mut().insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=31536000, immutable"),
    );
    answer
}

/// Whether a person in a browser waits for a page; anything else gets JSON (CONTRACT section 5).
#[must_use]
pub fn wants_page(headers: &HeaderMap) -> bool {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let accepts = headers
        .get_all(header::ACCEPT)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(accepts_html);
    let navigates = text(&HeaderName::from_static("sec-fetch-mode")).is_none_or(|mode| mode == "navigate");
    let asked_by_script = headers.contains_key("x-requested-with");
    let upgrades = text(&header::UPGRADE).is_some_and(|to| to.eq_ignore_ascii_case("websocket"));
    accepts && navigates && !asked_by_script && !upgrades
}

fn accepts_html(range: &str) -> bool {
    let mut parts = range.split(';').map(str::trim);
    let html = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("text/html"));
    let unwanted = parts.any(|part| {
        part.split_once('=').is_some_and(|(name, value)| {
            name.trim().eq_ignore_ascii_case("q") && value.trim().parse::<f32>().is_ok_and(|quality| quality <= 0.0)
        })
    });
    html && !unwanted
}

/// A HEAD is answered as its GET would be, without the body and with its length.
#[must_use]
pub fn for_method(method: &Method, mut answer: Answer) -> Answer {
    if method == Method::HEAD {
        let length = HeaderValue::from(answer.body().len());
        answer.headers_mut().insert(header::CONTENT_LENGTH, length);
        *answer.body_mut() = Bytes::new();
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_for_a_browser_that_navigates() {
        for (name, headers, expected) in [
            ("a browser", &[("accept", "text/html,application/xhtml+xml,*/*;q=0.8")][..], true),
            (
                "a browser that says how",
                &[("accept", "text/html"), ("sec-fetch-mode", "navigate")],
                true,
            ),
            ("no accept", &[], false),
            ("curl", &[("accept", "*/*")], false),
            ("a program", &[("accept", "application/json")], false),
            ("html not wanted", &[("accept", "text/html;q=0, application/json")], false),
            (
                "a script",
                &[("accept", "text/html"), ("x-requested-with", "XMLHttpRequest")],
                false,
            ),
            ("fetch", &[("accept", "text/html"), ("sec-fetch-mode", "cors")], false),
            ("a socket", &[("accept", "text/html"), ("upgrade", "WebSocket")], false),
        ] {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(*name, HeaderValue::from_static(value));
            }
            assert_eq!(wants_page(&map), expected, "{name}");
        }
    }

    #[test]
    fn every_answer_carries_the_headers_of_a_page() {
        for (name, answer) in [
            ("json", json(StatusCode::OK, &json!({}))),
            ("redirect", found("/a")),
            (
                "problem",
                Problem {
                    status: StatusCode::UNAUTHORIZED,
                    reason: "no-session",
                    detail: "Sign in",
                    request: "r",
                    decision: None,
                    login_url: Some("https://sso.example/.portcullis/sign-in"),
                }
                .answer(),
            ),
        ] {
            for (header, value) in PAGE_HEADERS {
                assert_eq!(answer.headers().get(*header).unwrap(), value, "{name}");
            }
        }
        assert_eq!(
            CONTENT_POLICY,
            "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; \
             frame-ancestors 'none'; require-trusted-types-for 'script'"
        );
    }

    #[test]
    fn a_problem_says_what_a_program_needs() {
        let mut form = Form::default();
        form.fail("token", "invalid_characters", "Invalid characters found");
        let answer = Problem {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            reason: "invalid_characters",
            detail: "Invalid characters found",
            request: "r-1",
            decision: Some("d-1"),
            login_url: None,
        }
        .answer_to(&form);
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/problem+json");
        let value: Value = serde_json::from_slice(answer.body()).unwrap();
        assert_eq!(value["status"], 422);
        assert_eq!(value["reason"], "invalid_characters");
        assert_eq!(value["decision"], "d-1");
        assert_eq!(value["errors"][0]["field"], "token");
        assert!(value.get("login_url").is_none());
    }

    #[test]
    fn a_head_has_no_body_and_an_unfit_address_is_not_followed() {
        let answer = for_method(&Method::HEAD, json(StatusCode::OK, &json!({"a": 1})));
        assert!(answer.body().is_empty());
        assert_eq!(answer.headers()[header::CONTENT_LENGTH], "7");
        assert_eq!(found("/a\r\nb").status(), StatusCode::BAD_REQUEST);
    }
}
