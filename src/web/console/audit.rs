//! The audit trail: searched, downloaded, and its chain checked.

use askama::Template;
use http::StatusCode;
use serde_json::Value;

use crate::accounts::{Acting, AuditCheck, AuditLine, AuditSearch, Named, Reach, Went, details_of};
use crate::base::encoding::csv_cell;
use crate::base::time::{DAY, Timestamp};
use crate::model::event::Action;
use crate::model::role::Power;

use super::super::answer::{self, Answer};
use super::super::cx::{Cx, Outcome, Stop};
use super::super::form::Form;
use super::super::relative::Moment;
use super::super::view::{BASE, Frame, Link, Me, Tag};
use super::view::{Choice, PagesView};

const HERE: &str = "/admin/audit";
const LINES: usize = 50;
/// Entries of one download. Whoever wants more narrows the search, goes on below the last number, or asks `audit export`.
const DOWNLOADED: usize = 10_000;

/// An entry of the trail, as the page shows it.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its number.
    pub number: u64,
    /// When it happened.
    pub at: Moment,
    /// Who did it.
    pub actor: Link,
    /// What happened, in words.
    pub action: String,
    /// To whom or what; empty if to nothing.
    pub target: Link,
    /// What else it says.
    pub details: String,
    /// How it went.
    pub went: Tag,
    /// From which address; empty if it is not known.
    pub address: String,
}

/// What is known of the chain.
#[derive(Clone, Debug)]
pub struct Chain {
    /// `ok`, `bad` or nothing.
    pub kind: &'static str,
    /// What is known, in a sentence.
    pub words: String,
    /// When it was checked, or the check began.
    pub at: Option<Moment>,
}

/// The page.
#[derive(Template)]
#[template(path = "console/audit.html")]
pub struct AuditPage {
    /// The outside of the page.
    pub frame: Frame,
    /// Who looks.
    pub me: Me,
    /// Which page of the console this is.
    pub here: &'static str,
    /// The search as it was typed, and what is wrong with it.
    pub form: Form,
    /// What happened.
    pub events: Vec<Choice>,
    /// How it went.
    pub outcomes: Vec<Choice>,
    /// The entries.
    pub rows: Vec<Row>,
    /// Whether the search stopped early.
    pub unfinished: bool,
    /// Next.
    pub pages: PagesView,
    /// The chain; none for whoever sees only a team's part of it.
    pub chain: Option<Chain>,
    /// The query of a download of the same search, in front of `format`.
    pub download: String,
}

/// GET `/admin/audit`.
pub async fn show(cx: &mut Cx<'_>) -> Outcome {
    let by = cx.acting_by(Power::Audit)?;
    let search = read_search(&mut cx.query);
    let below = cx.query.value("after").parse().ok();
    let found = cx.app.accounts.audit_page(&search, below, LINES, &by, cx.facts.now).await?;
    let rows: Vec<Row> = found.lines.iter().map(|line| row(cx, line, &by)).collect();
    let words = match (rows.first(), rows.last()) {
        (Some(first), Some(last)) if first.number != last.number => format!("Entries {} to {}", first.number, last.number),
        (Some(one), _) => format!("Entry {}", one.number),
        _ => String::new(),
    };
    let page = AuditPage {
        frame: cx.frame(),
        me: cx.me(),
        here: HERE,
        form: cx.query.clone(),
        events: events(&search),
        outcomes: outcomes(&search),
        rows,
        unfinished: found.unfinished,
        pages: PagesView {
            words,
            previous: below.map(|_| format!("{BASE}{HERE}?{}", query_of(&cx.query, None))),
            next: found
                .next
                .map(|next| format!("{BASE}{HERE}?{}", query_of(&cx.query, Some(("after", &next.to_string()))))),
        },
        chain: (by.reach == Reach::All).then(|| chain(cx)),
        download: query_of(&cx.query, None),
    };
    if page.form.failed() {
        cx.form = page.form.clone();
        return Ok(cx.not_taken(StatusCode::UNPROCESSABLE_ENTITY, &page));
    }
    Ok(cx.page(&page))
}

/// POST `/admin/audit/check`: begins to check the chain.
pub async fn check(cx: &mut Cx<'_>) -> Outcome {
    cx.app.accounts.begin_audit_check(cx.facts.now);
    Ok(answer::see_other(&format!("{BASE}{HERE}")))
}

/// GET `/admin/audit/export`: what a search finds, as a file of JSON lines or comma-separated values, the newest first.
pub async fn export(cx: &mut Cx<'_>) -> Outcome {
    let by = cx.acting_by(Power::Audit)?;
    let search = read_search(&mut cx.query);
    let below = cx.query.value("after").parse().ok();
    let (entries, _) = cx.app.accounts.audit_entries(&search, below, DOWNLOADED, &by, cx.facts.now).await?;
    let values = entries.iter().map(|entry| serde_json::to_value(entry).unwrap_or_default());
    Ok(match cx.query.value("format") {
        "csv" => file("text/csv; charset=utf-8", "audit.csv", to_csv(values)),
        "jsonl" => file(
            "application/jsonl; charset=utf-8",
            "audit.jsonl",
            values.map(|value| format!("{value}\n")).collect(),
        ),
        _ => return Err(Stop::NotFound),
    })
}

fn file(kind: &'static str, name: &'static str, text: String) -> Answer {
    answer::download(kind, name, text)
}

fn to_csv(values: impl Iterator<Item = Value>) -> String {
    const COLUMNS: [&str; 7] = ["number", "at", "action", "actor", "target", "address", "details"];
    let mut text = format!("{}\r\n", COLUMNS.join(","));
    for value in values {
        let cells = COLUMNS.map(|column| csv_cell(&plain(column, value.get(column).unwrap_or(&Value::Null))));
        text.push_str(&cells.join(","));
        text.push_str("\r\n");
    }
    text
}

/// A part of an entry as one cell.
fn plain(column: &str, value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Object(actor) if column == "actor" => {
            let part = |name: &str| actor.get(name).and_then(Value::as_str);
            part("id").or(part("kind")).unwrap_or_default().to_owned()
        }
        other => other.to_string(),
    }
}

fn read_search(query: &mut Form) -> AuditSearch {
    let day = |query: &mut Form, field: &'static str| {
        let text = query.trimmed(field).to_owned();
        if text.is_empty() {
            return None;
        }
        let read = Timestamp::parse_rfc3339(&format!("{text}T00:00:00Z")).ok();
        if read.is_none() {
            query.fail(field, "date", "Enter a day like 2026-03-12");
        }
        read
    };
    let (from, to) = (day(query, "from"), day(query, "to"));
    AuditSearch {
        text: query.trimmed("q").to_owned(),
        action: query.value("event").parse().ok(),
        went: Went::ALL.into_iter().find(|went| went.word() == query.value("outcome")),
        from,
        until: to.map(|day| day.after(DAY)),
    }
}

fn events(search: &AuditSearch) -> Vec<Choice> {
    let any = Choice {
        value: String::new(),
        words: "All events".to_owned(),
        chosen: search.action.is_none(),
    };
    let listed = Action::ALL.iter().map(|action| Choice {
        value: action.word().to_owned(),
        words: in_words(*action),
        chosen: search.action == Some(*action),
    });
    std::iter::once(any).chain(listed).collect()
}

fn outcomes(search: &AuditSearch) -> Vec<Choice> {
    let any = Choice {
        value: String::new(),
        words: "Any outcome".to_owned(),
        chosen: search.went.is_none(),
    };
    let listed = Went::ALL.into_iter().map(|went| Choice {
        value: went.word().to_owned(),
        words: went_tag(went).words.to_owned(),
        chosen: search.went == Some(went),
    });
    std::iter::once(any).chain(listed).collect()
}

const fn went_tag(went: Went) -> Tag {
    match went {
        Went::Done => Tag { kind: "ok", words: "Done" },
        Went::Failed => Tag {
            kind: "bad",
            words: "Failed",
        },
        Went::Refused => Tag {
            kind: "bad",
            words: "Refused",
        },
    }
}

/// `user-created` as "User created".
fn in_words(action: Action) -> String {
    let mut letters = action.word().chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first
        .into_iter()
        .chain(letters.map(|one| if one == '-' { ' ' } else { one }))
        .collect()
}

fn row(cx: &Cx<'_>, line: &AuditLine, by: &Acting) -> Row {
    let event = &line.entry.event;
    let link = |named: &Named| match named {
        Named::Person(user, name) => Link {
            path: format!("{BASE}/admin/users/{user}"),
            name: name.clone(),
        },
        Named::Other(text) => Link {
            path: String::new(),
            name: actor_in_words(text).to_owned(),
        },
        Named::Hidden => Link {
            path: String::new(),
            name: "Somebody outside your teams".to_owned(),
        },
    };
    let nothing = Link {
        path: String::new(),
        name: String::new(),
    };
    Row {
        number: line.entry.number,
        at: Moment::of(event.at, cx.facts.now),
        actor: link(&line.actor),
        action: in_words(event.action),
        target: line.target.as_ref().map_or(nothing, link),
        details: details_of(&event.details, by.reach == Reach::All),
        went: went_tag(Went::of(event.action)),
        address: line.address.map(|address| address.to_string()).unwrap_or_default(),
    }
}

fn actor_in_words(text: &str) -> &str {
    match text {
        "command-line" => "Command line",
        "system" => "portcullis",
        "anonymous" => "Nobody signed in",
        other => other,
    }
}

fn chain(cx: &Cx<'_>) -> Chain {
    let now = cx.facts.now;
    match cx.app.accounts.audit_check() {
        AuditCheck::None => Chain {
            kind: "",
            words: "Each entry seals the one before. The chain was not checked since the server began.".to_owned(),
            at: None,
        },
        AuditCheck::Since(at) => Chain {
            kind: "",
            words: "The chain is being checked. Open this page again for what was found. Begun".to_owned(),
            at: Some(Moment::of(at, now)),
        },
        AuditCheck::Done { at, report } => {
            let (kind, words) = match report {
                None => ("bad", "The chain could not be checked: the store did not answer. Tried".to_owned()),
                Some(report) => match report.broken {
                    Some(broken) => ("bad", format!("The chain is broken: {broken}. Checked")),
                    None => (
                        "ok",
                        format!(
                            "The chain is whole: {} entries, {} signed marks. Checked",
                            report.entries, report.marks
                        ),
                    ),
                },
            };
            Chain {
                kind,
                words,
                at: Some(Moment::of(at, now)),
            }
        }
    }
}

/// The same search as the query of an address, with one field more.
fn query_of(query: &Form, more: Option<(&str, &str)>) -> String {
    let mut address = url::form_urlencoded::Serializer::new(String::new());
    for name in ["q", "event", "outcome", "from", "to"] {
        if query.has(name) {
            address.append_pair(name, query.value(name));
        }
    }
    if let Some((name, value)) = more {
        address.append_pair(name, value);
    }
    address.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_named_in_words() {
        assert_eq!(in_words(Action::SignInFailed), "Sign in failed");
        assert_eq!(in_words(Action::UserCreated), "User created");
    }

    #[test]
    fn a_cell_of_a_download_is_no_formula() {
        let value = serde_json::json!({
            "number": 3, "at": "2026-03-12T14:30:00Z", "action": "user-created",
            "actor": { "kind": "user", "id": "u-1" }, "target": "=cmd()", "address": null, "details": { "team": "a,b" },
        });
        assert_eq!(
            to_csv(std::iter::once(value)),
            "number,at,action,actor,target,address,details\r\n3,2026-03-12T14:30:00Z,user-created,u-1,'=cmd(),,\"{\"\"team\"\":\"\"a,b\"\"}\"\r\n"
        );
    }
}
