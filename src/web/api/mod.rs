//! The same by machine: what the console does, as JSON, for scripts of people and for services.
//!
//! [`rows::API`] is the one table: what may be asked, who may, what goes in and comes out. Requests are found and checked by it, and the
//! OpenAPI document is written from it, so nothing can be done here that is not documented. What a row does is a use case that the console
//! has too.

pub mod call;
pub mod deeds;
pub mod kept;
pub mod looks;
pub mod offers;
pub mod openapi;
pub mod people;
pub mod problem;
pub mod read;
pub mod rows;
pub mod shape;
pub mod shapes;

use std::sync::OnceLock;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::Value;

use crate::accounts::{Caller, csrf_fits};
use crate::app::{App, Live};
use crate::policy::Verdict;
use crate::policy::house;

use super::answer::{self, Answer, for_method};
use super::cookies::Cookie;
use super::cx::Cx;
use super::form::{FORM_BYTES, Form};
use super::pace::Pace;
use super::{Remedy, Visitor, comes_from_us, decorate, lacking, query_of, remedy};

use call::Call;
use kept::{Answers, Begun, Found};
use problem::{Not, Problem};
use rows::{API, Row};
use shape::Flaw;

/// Where the API is, below `/.portcullis`; with the slash, whatever is below it is the API's.
pub const BELOW: &str = "/api/";
const VERSION: &str = "v1";
const DOCUMENT: &str = "/openapi.json";

/// The most that a body may hold.
const BODY_BYTES: usize = FORM_BYTES;
const CSRF: HeaderName = HeaderName::from_static("x-portcullis-csrf");
const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The longest `Idempotency-Key`.
const KEY_BYTES: usize = 255;

/// The table with its addresses compiled.
pub struct Api {
    paths: matchit::Router<&'static str>,
    answers: Answers,
    document: OnceLock<String>,
}

impl Default for Api {
    fn default() -> Self {
        Self::new()
    }
}

impl Api {
    /// Compiles the table.
    #[must_use]
    pub fn new() -> Self {
        let mut paths = matchit::Router::new();
        for row in API {
            // The second method of an address finds it there already.
            let _ = paths.insert(row.path, row.path);
        }
        Self {
            paths,
            answers: Answers::default(),
            document: OnceLock::new(),
        }
    }

    /// The address in the table for one below `/.portcullis/api/`: it may be told where what stands in its place may not.
    #[must_use]
    pub fn page(&self, below: &str) -> Option<&'static str> {
        let path = below.strip_prefix(VERSION)?;
        self.paths.at(path).ok().map(|found| *found.value)
    }

    /// Answers a request for an address below `/.portcullis/api/`, on the portal.
    pub async fn serve<B>(&self, app: &App, live: &Live, visitor: Visitor<'_>, below: &str, pace: &Pace, body: B) -> Answer
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (facts, asked) = (visitor.facts, visitor.asked);
        let request = asked.id.to_string();
        let method = if facts.method == Method::HEAD {
            &Method::GET
        } else {
            &facts.method
        };
        let no = |not: &Not| {
            let problem = Problem {
                request: &request,
                ..Problem::default()
            };
            problem.answer(not, facts.now)
        };
        let path = below.strip_prefix(VERSION).unwrap_or("");
        if path == DOCUMENT && *method == Method::GET {
            let text = self.document.get_or_init(|| openapi::document().to_string());
            return for_method(&facts.method, answer::json_text(text.clone()));
        }
        let matched = self.paths.at(path).ok();
        let Some(matched) = matched else {
            return no(&if path == DOCUMENT { wrong_method("GET, HEAD") } else { Not::Found })
                .allowing((path == DOCUMENT).then_some("GET, HEAD"));
        };
        let rows = || API.iter().filter(|row| row.path == *matched.value);
        let Some(row) = rows().find(|row| row.method == *method) else {
            let allowed: Vec<&str> = rows().flat_map(|row| methods(&row.method)).collect();
            let allowed = allowed.join(", ");
            return no(&wrong_method(&allowed)).allowing(Some(&allowed));
        };
        let Ok(query) = query_of(&asked.target) else {
            return no(&Not::allowed(
                StatusCode::BAD_REQUEST,
                "bad_query",
                "The query of this address has no one meaning.",
            ));
        };
        let Ok(caller) = visitor.caller else {
            return no(&Not::Unavailable);
        };
        let standing = caller
            .as_ref()
            .map(|caller| house::judge_remembering(&live.policies, &caller.principal, facts, caller.memo()));
        let params = matched
            .params
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let cx = Cx {
            app,
            live,
            facts,
            asked,
            hop: visitor.hop,
            params,
            query,
            form: Form::default(),
            caller,
            standing,
            login: app.accounts.begin_login(facts.now),
        };
        let mut call = Call::new(cx, row);
        let mut answer = match self.carry_out(&mut call, pace, body).await {
            Ok(answer) => answer,
            Err(not) => call.problem(&not),
        };
        decorate(&call.cx, &mut answer).await;
        answer
    }

    async fn carry_out<B>(&self, call: &mut Call<'_>, pace: &Pace, body: B) -> Result<Answer, Not>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let row = call.row;
        admit(call)?;
        check_query(call)?;
        if row.method == Method::GET {
            let value = (row.handler)(call).await?;
            return Ok(call.answer(&value));
        }
        if let Err(wait) = pace.count(call.cx.live.settings.limits.forms, call.cx.facts.client_ip) {
            let until = call.cx.facts.now.after(wait);
            return Err(Not::too_many("rate_limited", "Too many changes from your network.", until));
        }
        let mut sent = Bytes::new();
        if let Some(takes) = row.takes {
            sent = read_body(call, body).await?;
            let value = read::json(&sent).map_err(|words| Not::allowed(StatusCode::BAD_REQUEST, "bad_json", words))?;
            shape::Shape::Object(takes).check(&value, "", &mut call.flaws);
            call.sound()?;
            if let Value::Object(parts) = value {
                call.body = parts;
            }
        }
        let Some(begun) = self.begin(call, &sent)? else {
            let value = (row.handler)(call).await?;
            return Ok(call.answer(&value));
        };
        let begun = match begun {
            Ok(begun) => begun,
            Err(kept) => return Ok(call.answer_text(kept)),
        };
        let value = (row.handler)(call).await?;
        let answer = call.answer(&value);
        begun.done(answer.body().clone());
        Ok(answer)
    }

    /// What an `Idempotency-Key` says: nothing is kept, a request to be carried out, or the answer to one that was.
    fn begin(&self, call: &Call<'_>, sent: &[u8]) -> Result<Option<Result<Begun<'_>, Bytes>>, Not> {
        let mut keys = call.cx.headers().get_all(KEY).into_iter();
        let Some(key) = keys.next().filter(|_| call.row.repeatable) else {
            return Ok(None);
        };
        let text = key.to_str().unwrap_or("").trim();
        if text.is_empty() || text.len() > KEY_BYTES || keys.next().is_some() {
            return Err(Not::allowed(
                StatusCode::BAD_REQUEST,
                "bad_key",
                "Idempotency-Key holds from 1 to 255 visible characters, and stands once.",
            ));
        }
        let whose = call.whose();
        let name = Answers::name(&whose, call.row.id, text);
        match self.answers.begin(name, &whose, sent, call.cx.facts.now) {
            Found::New => Ok(Some(Ok(Begun::new(&self.answers, name)))),
            Found::Same(answer) => Ok(Some(Err(answer))),
            Found::Other => Err(Not::allowed(
                StatusCode::UNPROCESSABLE_ENTITY,
                "key_reused",
                "Another request was sent with this Idempotency-Key. Take a new key for a new request.",
            )),
            Found::Busy => Err(Not::conflict(
                "key_in_use",
                "A request with this Idempotency-Key is being carried out. Ask again in a moment.",
            )),
            Found::Full => {
                let until = call.cx.facts.now.after(crate::base::time::HOUR);
                Err(Not::too_many(
                    "too_many_keys",
                    "Too many keys are kept. Send without Idempotency-Key, or wait.",
                    until,
                ))
            }
        }
    }
}

trait Allowing {
    /// With the methods that the address takes.
    fn allowing(self, methods: Option<&str>) -> Self;
}

impl Allowing for Answer {
    fn allowing(mut self, methods: Option<&str>) -> Self {
        if let Some(value) = methods.and_then(|methods| HeaderValue::from_str(methods).ok()) {
            self.headers_mut().insert(header::ALLOW, value);
        }
        self
    }
}

fn methods(method: &Method) -> Vec<&str> {
    if *method == Method::GET {
        vec!["GET", "HEAD"]
    } else {
        vec![method.as_str()]
    }
}

fn wrong_method(allowed: &str) -> Not {
    Not::allowed(
        StatusCode::METHOD_NOT_ALLOWED,
        "wrong_method",
        format!("This address takes {allowed}."),
    )
}

/// Whether the row lets this asker in: who they are, where a session's request comes from, and what they may.
fn admit(call: &mut Call<'_>) -> Result<(), Not> {
    let cx = &call.cx;
    let (Some(caller), Some(standing)) = (&cx.caller, &cx.standing) else {
        let ended = Cookie::Session.read(cx.headers(), cx.portal()).is_some();
        let words = if ended { "Your session has ended." } else { "Nobody is signed in." };
        return Err(Not::allowed(StatusCode::UNAUTHORIZED, "no-session", words));
    };
    // Looked at first: a page of another site learns nothing, not even who may what.
    if call.row.method != Method::GET && !comes_from_us(cx.headers(), cx.portal().origin()) {
        return Err(Not::allowed(
            StatusCode::FORBIDDEN,
            "origin",
            "This request came from a page of another site. Nothing was changed.",
        ));
    }
    let mut values = cx.headers().get_all(CSRF).into_iter();
    let presented = values.next().and_then(|value| value.to_str().ok()).unwrap_or("");
    let expected = cx.app.accounts.csrf_of_session(caller.session().id);
    if values.next().is_some() || !csrf_fits(&expected, presented) {
        return Err(Not::allowed(
            StatusCode::FORBIDDEN,
            "csrf",
            "Send X-Portcullis-Csrf with the value that the forms of this session hold.",
        ));
    }
    match standing.verdict {
        Verdict::Allow => {}
        Verdict::SignIn | Verdict::StepUp => {
            let words = "Sign in again, in the way that is asked for here.";
            return Err(Not::allowed(StatusCode::UNAUTHORIZED, standing.reason.code(), words));
        }
        _ => {
            let id = cx.note_turned_away(&caller.principal, standing);
            let words = "You may not come in here from where you are, or your account is not in use.";
            let not = Not::allowed(StatusCode::FORBIDDEN, standing.reason.code(), words);
            call.decision = Some(id.to_string());
            return Err(not);
        }
    }
    let Some((power, everywhere)) = lacking(cx, standing, call.row.access) else {
        return signed_in_lately(cx, call.row, caller);
    };
    Err(match remedy(cx, caller, power, everywhere) {
        Remedy::SignIn => Not::allowed(
            StatusCode::UNAUTHORIZED,
            "session-too-old",
            "What you may do here asks for a fresh sign-in. Sign in again.",
        ),
        Remedy::SecondFactor => Not::allowed(
            StatusCode::FORBIDDEN,
            "mfa-needed",
            "What you may do here asks for a second factor.",
        ),
        Remedy::None => Not::allowed(
            StatusCode::FORBIDDEN,
            "role-missing",
            format!(
                "This asks for the power \"{power}\"{}.",
                if everywhere { " in the whole instance" } else { "" }
            ),
        ),
    })
}

/// Giving, taking and handing over rights asks for a fresh sign-in, as in the console.
fn signed_in_lately(cx: &Cx<'_>, row: &Row, caller: &Caller) -> Result<(), Not> {
    let within = cx.app.accounts.rules().fresh_for;
    if row.method == Method::GET || row.harmless || caller.identity().signed_in.is_fresh(within, cx.facts.now) {
        return Ok(());
    }
    Err(Not::allowed(
        StatusCode::UNAUTHORIZED,
        "session-too-old",
        "This asks for a more recent sign-in. Sign in again, and send it once more.",
    ))
}

/// Everything in a query has to be known, and in its shape.
fn check_query(call: &mut Call<'_>) -> Result<(), Not> {
    let row = call.row;
    for (name, value) in call.cx.query.beginning("") {
        let Some(field) = row.query().find(|field| field.name == name) else {
            let shown: String = name.chars().take(64).collect();
            call.flaws
                .push(Flaw::new(shown, "unknown_field", "There is no parameter of this name"));
            continue;
        };
        let value = match field.shape {
            shape::Shape::Whole { .. } => value.parse::<u64>().map_or_else(|_| Value::from(value), Value::from),
            _ => Value::from(value),
        };
        field.shape.check(&value, name, &mut call.flaws);
    }
    for field in row.query().filter(|field| field.needed) {
        if !call.cx.query.has(field.name) && !call.flaws.iter().any(|flaw| flaw.field == field.name) {
            call.flaws.push(Flaw::new(field.name, "missing", "This has to be there"));
        }
    }
    call.sound()
}

async fn read_body<B>(call: &Call<'_>, body: B) -> Result<Bytes, Not>
where
    B: Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut kinds = call.cx.headers().get_all(header::CONTENT_TYPE).into_iter();
    let kind = kinds.next().and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = kind.split(';').next().unwrap_or("").trim();
    if !essence.eq_ignore_ascii_case("application/json") || kinds.next().is_some() {
        return Err(Not::allowed(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "media_type",
            "What is sent here is application/json.",
        ));
    }
    let stall = call.cx.live.settings.limits.body_stall;
    match tokio::time::timeout(stall, Limited::new(body, BODY_BYTES).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Not::allowed(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            format!("A body holds {} KiB at most.", BODY_BYTES / 1024),
        )),
        Ok(Err(_)) | Err(_) => Err(Not::allowed(
            StatusCode::BAD_REQUEST,
            "body_broken",
            "The body stopped half way. Send it again.",
        )),
    }
}
