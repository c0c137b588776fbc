//! What a handler of the API is given, and how it answers.

use std::str::FromStr;

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use serde_json::{Map, Value};

use crate::accounts::Acting;
use crate::accounts::Reach;
use crate::base::encoding::hex;
use crate::base::secret::sha256;
use crate::model::id::SessionId;
use crate::model::role::Power;

use super::super::answer::{self, Answer, for_method};
use super::super::cx::{Cx, Stop};
use super::super::view::BASE;
use super::problem::{Not, Problem, nothing};
use super::rows::Row;
use super::shape::{Flaw, within};

/// A request to a row, checked: who asks may ask it, and what was sent is in its shape.
pub struct Call<'a> {
    /// The request, and everything around it.
    pub cx: Cx<'a>,
    /// The row.
    pub row: &'static Row,
    /// What was sent.
    pub body: Map<String, Value>,
    /// What is wrong with it.
    pub flaws: Vec<Flaw>,
    /// What says in which state the thing is that the answer shows: its `ETag`.
    pub tag: Option<String>,
    /// The decision by which somebody was turned away.
    pub decision: Option<String>,
}

impl<'a> Call<'a> {
    /// A request to a row.
    #[must_use]
    pub fn new(cx: Cx<'a>, row: &'static Row) -> Self {
        Self {
            cx,
            row,
            body: Map::new(),
            flaws: Vec::new(),
            tag: None,
            decision: None,
        }
    }

    /// Who asks, for what is kept for them.
    #[must_use]
    pub fn whose(&self) -> String {
        let caller = self.cx.caller.as_ref();
        caller.map(|caller| caller.identity().user.to_string()).unwrap_or_default()
    }

    /// Who asks, as one who acts or looks by a power.
    ///
    /// # Errors
    /// 404 for nobody.
    pub fn acting_by(&self, power: Power) -> Result<Acting, Not> {
        self.cx.acting_by(power).map_err(|stop| match stop {
            Stop::Unavailable => Not::Unavailable,
            _ => Not::Found,
        })
    }

    /// Who asks, with the reach of every power they hold: for what is told to anybody who administers something.
    ///
    /// # Errors
    /// 404 for nobody.
    pub fn acting_anyhow(&self) -> Result<Acting, Not> {
        let mut all = self.acting_by(Power::Users)?;
        for power in Power::ALL {
            let one = self.acting_by(*power)?;
            all.reach = match (all.reach, one.reach) {
                (Reach::Teams(mut known), Reach::Teams(more)) => {
                    known.extend(more);
                    Reach::Teams(known)
                }
                _ => Reach::All,
            };
        }
        Ok(all)
    }

    /// The session of this request, where it came by one.
    #[must_use]
    pub fn own_session(&self) -> Option<SessionId> {
        self.cx.caller.as_ref().map(|caller| caller.session().id)
    }

    /// A part of the address, as an identifier or a name.
    ///
    /// # Errors
    /// 404 for what is none.
    pub fn param<T: FromStr>(&self, name: &str) -> Result<T, Not> {
        self.cx.param(name).parse().map_err(|_| Not::Found)
    }

    /// A text of the query; empty if it was not sent.
    #[must_use]
    pub fn asked(&self, name: &str) -> &str {
        self.cx.query.trimmed(name)
    }

    /// A text of the query as what it stands for; a flaw if it cannot be one.
    pub fn asked_as<T: FromStr>(&mut self, name: &str, code: &'static str, words: &str) -> Option<T> {
        let text = self.asked(name);
        if text.is_empty() {
            return None;
        }
        let read = text.parse().ok();
        if read.is_none() {
            self.fail(name, code, words);
        }
        read
    }

    /// How many lines a page may have.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.asked("limit").parse().unwrap_or(super::rows::LINES)
    }

    /// A text of the body; empty if it was not sent.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.body.get(name).and_then(Value::as_str).unwrap_or("").trim()
    }

    /// A text of the body as what it stands for; a flaw if it cannot be one.
    pub fn text_as<T: FromStr>(&mut self, name: &str, told: impl FnOnce(T::Err) -> (&'static str, String)) -> Option<T> {
        match self.text(name).parse() {
            Ok(read) => Some(read),
            Err(error) => {
                let (code, words) = told(error);
                self.fail(name, code, words);
                None
            }
        }
    }

    /// A name in the body, none if it was not sent or is null; a flaw if it cannot be one.
    pub fn name<T: FromStr>(&mut self, name: &str) -> Option<T> {
        let text = self.text(name).to_owned();
        (!text.is_empty()).then(|| self.named(&text, name)).flatten()
    }

    /// A name that stands somewhere in the body; a flaw if it cannot be one.
    pub fn named<T: FromStr>(&mut self, text: &str, at: &str) -> Option<T> {
        let read = text.parse().ok();
        if read.is_none() {
            self.fail(at, "invalid_characters", "Invalid characters found");
        }
        read
    }

    /// The names in a list of the body.
    pub fn names<T: FromStr>(&mut self, list: &Value, at: &str) -> Vec<T> {
        let items: Vec<String> = list
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|one| one.as_str().map(str::to_owned))
            .collect();
        let named = items.iter().enumerate();
        named
            .filter_map(|(place, one)| self.named(one, &within(at, &place.to_string())))
            .collect()
    }

    /// Notes something wrong with what was sent.
    pub fn fail(&mut self, field: &str, code: &'static str, words: impl Into<String>) {
        self.flaws.push(Flaw::new(field, code, words));
    }

    /// Whether nothing is wrong with what was sent.
    ///
    /// # Errors
    /// 422 if something is.
    pub fn sound(&self) -> Result<(), Not> {
        if self.flaws.is_empty() { Ok(()) } else { Err(Not::Valid) }
    }

    /// Refuses a change of what is not any more as it was seen: `If-Match` has to hold the tag it was read with.
    ///
    /// # Errors
    /// 428 without `If-Match`, 412 with another tag.
    pub fn matches(&self, tag: &str) -> Result<(), Not> {
        let mut sent = self
            .cx
            .headers()
            .get_all(header::IF_MATCH)
            .into_iter()
            .filter_map(|value| value.to_str().ok());
        let Some(first) = sent.next() else {
            return Err(Not::allowed(
                StatusCode::PRECONDITION_REQUIRED,
                "if_match_missing",
                "Read it first, and send its ETag back in If-Match: what somebody changed meanwhile is not overwritten.",
            ));
        };
        let fits = std::iter::once(first)
            .chain(sent)
            .flat_map(|value| value.split(','))
            .any(|one| one.trim() == tag);
        if fits { Ok(()) } else { Err(changed_meanwhile()) }
    }

    /// What was done, as the row's answer.
    #[must_use]
    pub fn answer(&self, value: &Value) -> Answer {
        if self.row.gives.shape.is_none() {
            return nothing();
        }
        let mut answer = self.answer_text(value.to_string().into());
        if let Some(tag) = self.tag.as_ref().and_then(|tag| HeaderValue::from_str(tag).ok()) {
            answer.headers_mut().insert(header::ETAG, tag);
        }
        for_method(&self.cx.facts.method, answer)
    }

    /// An answer that is written already.
    #[must_use]
    pub fn answer_text(&self, text: Bytes) -> Answer {
        if self.row.gives.shape.is_none() {
            return nothing();
        }
        let mut answer = answer::json_text(String::new());
        *answer.status_mut() = StatusCode::from_u16(self.row.gives.status).unwrap_or(StatusCode::OK);
        *answer.body_mut() = text;
        answer
    }

    /// What was not done, as problem details.
    #[must_use]
    pub fn problem(&self, not: &Not) -> Answer {
        let signs_in = matches!(not, Not::Allowed { status, .. } if *status == StatusCode::UNAUTHORIZED);
        let problem = Problem {
            flaws: &self.flaws,
            request: &self.cx.request(),
            decision: self.decision.clone(),
            login_url: signs_in.then(|| format!("{}{BASE}/sign-in", self.cx.portal().origin())),
        };
        for_method(&self.cx.facts.method, problem.answer(not, self.cx.facts.now))
    }
}

/// Somebody else changed it since it was read.
#[must_use]
pub fn changed_meanwhile() -> Not {
    Not::allowed(
        StatusCode::PRECONDITION_FAILED,
        "changed_meanwhile",
        "Somebody changed this since you read it. Read it again, and send what still holds.",
    )
}

/// The tag of a state.
#[must_use]
pub fn tag_of(state: &impl serde::Serialize) -> String {
    let text = serde_json::to_vec(state).unwrap_or_default();
    let mut digest = hex(&sha256(&text));
    digest.truncate(32);
    format!("\"{digest}\"")
}
