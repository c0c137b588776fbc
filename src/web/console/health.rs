//! How the server does: its parts, its figures, and everything that ends. What it shows is known already; nobody is asked and no file is
//! opened for it.

use askama::Template;

use crate::accounts::Given;
use crate::base::time::{DAY, Timestamp};
use crate::model::message::harmless;
use crate::store::StoreError;

use super::super::cx::{Cx, Outcome};
use super::super::relative::Moment;
use super::super::view::{Frame, Me, Tag};
use super::applications::health_of;

const HERE: &str = "/admin/health";
/// What ends within so many days needs attention.
const SOON_DAYS: u32 = 14;
/// Tokens that the calendar shows.
const TOKENS: usize = 20;

/// A figure.
#[derive(Clone, Debug)]
pub struct Figure {
    /// What it counts.
    pub name: &'static str,
    /// How many.
    pub value: String,
    /// Of what, or since when.
    pub note: String,
}

/// A part of the server.
#[derive(Clone, Debug)]
pub struct Part {
    /// What it is.
    pub name: String,
    /// The colour of its state.
    pub kind: &'static str,
    /// Its state, in words.
    pub state: String,
    /// What else is known.
    pub detail: String,
}

impl Part {
    fn new(name: &str, tag: Tag, detail: String) -> Self {
        Self {
            name: name.to_owned(),
            kind: tag.kind,
            state: tag.words.to_owned(),
            detail,
        }
    }
}

/// Something that ends.
#[derive(Clone, Debug)]
pub struct Ending {
    /// What it is.
    pub what: String,
    /// When it ends.
    pub at: Moment,
    /// Whether that needs attention.
    pub tag: Tag,
    pub(in crate::web) order: Timestamp,
}

#[cfg(test)]
impl Ending {
    /// Something to look at, in its place already.
    pub(in crate::web) const fn sample(what: String, at: Moment, tag: Tag) -> Self {
        Self {
            what,
            at,
            tag,
            order: Timestamp::from_secs(0),
        }
    }
}

/// The page.
#[derive(Template)]
#[template(path = "console/health.html")]
pub struct HealthPage {
    /// The outside of the page.
    pub frame: Frame,
    /// Who looks.
    pub me: Me,
    /// Which page of the console this is.
    pub here: &'static str,
    /// The version that runs.
    pub version: &'static str,
    /// When it began.
    pub began: Moment,
    /// What needs attention, one line each.
    pub attention: Vec<String>,
    /// The figures.
    pub figures: Vec<Figure>,
    /// The parts.
    pub parts: Vec<Part>,
    /// What ends, the first first.
    pub calendar: Vec<Ending>,
}

/// GET `/admin/health`.
pub async fn show(cx: &mut Cx<'_>) -> Outcome {
    let now = cx.facts.now;
    let (parts, calendar) = seen(cx).await?;
    let mut attention: Vec<String> = parts
        .iter()
        .filter(|part| matches!(part.kind, "warn" | "bad"))
        .map(|part| format!("{}: {}", part.name, lower(&part.state)))
        .collect();
    attention.extend(
        calendar
            .iter()
            .filter(|ending| !ending.tag.kind.is_empty())
            .map(|ending| format!("{}: ends {}", ending.what, ending.at.words)),
    );
    Ok(cx.page(&HealthPage {
        frame: cx.frame(),
        me: cx.me(),
        here: HERE,
        version: env!("CARGO_PKG_VERSION"),
        began: Moment::of(cx.app.began, now),
        attention,
        figures: figures(cx, &cx.app.metrics.to_text()),
        parts,
        calendar,
    }))
}

/// The parts of the server, and what ends, the first first.
///
/// # Errors
/// If the store does not answer.
pub async fn seen(cx: &Cx<'_>) -> Result<(Vec<Part>, Vec<Ending>), crate::accounts::Unavailable> {
    let now = cx.facts.now;
    let text = cx.app.metrics.to_text();
    let mut calendar = endings(&text, now);
    for (name, at) in cx.app.accounts.tokens_waiting(TOKENS, now).await? {
        calendar.push(Ending {
            what: format!("Token of {name}"),
            at: Moment::of(at, now),
            tag: Tag::default(),
            order: at,
        });
    }
    calendar.sort_by_key(|ending| ending.order);
    Ok((parts(cx, &text), calendar))
}

fn figures(cx: &Cx<'_>, text: &str) -> Vec<Figure> {
    let requests = sum(text, "portcullis_requests_total", |_| true);
    let denied = sum(text, "portcullis_decisions_total", |labels| labels.contains("decision=\"deny\""));
    let failed = sum(text, "portcullis_requests_total", |labels| {
        labels.contains("code=\"502\"") || labels.contains("code=\"504\"")
    });
    let since = || "since the start".to_owned();
    vec![
        Figure {
            name: "Requests",
            value: grouped(requests),
            note: since(),
        },
        Figure {
            name: "Denied",
            value: grouped(denied),
            note: since(),
        },
        Figure {
            name: "Not answered by applications",
            value: grouped(failed),
            note: since(),
        },
        Figure {
            name: "Signed in",
            value: grouped(cx.app.accounts.sessions_remembered() as f64),
            note: "sessions used since the start".to_owned(),
        },
    ]
}

fn parts(cx: &Cx<'_>, text: &str) -> Vec<Part> {
    const WORKING: Tag = Tag {
        kind: "ok",
        words: "Working",
    };
    let live = cx.live;
    let store = match cx.app.accounts.store_state() {
        Ok(()) => WORKING,
        Err(StoreError::Full) => Tag {
            kind: "bad",
            words: "Disk full",
        },
        Err(_) => Tag {
            kind: "bad",
            words: "Not answering",
        },
    };
    let mut parts = vec![
        Part::new("Store", store, "people, sessions, tokens, the audit log".to_owned()),
        match &live.stale {
            None => Part::new("Policy", WORKING, format!("generation {} in force", live.generation())),
            Some(stale) => Part::new(
                "Policy",
                Tag {
                    kind: "bad",
                    words: "Older than the files",
                },
                format!(
                    "the files cannot be used; generation {} stays in force. {} problems, the first: {}",
                    live.generation(),
                    stale.problems.len(),
                    stale.problems.first().map_or("", String::as_str)
                ),
            ),
        },
    ];
    let dropped = cx.app.metrics.decisions_dropped();
    parts.push(if dropped == 0 {
        Part::new("Decision log", WORKING, String::new())
    } else {
        let lost = Tag {
            kind: "warn",
            words: "Lines lost",
        };
        Part::new("Decision log", lost, format!("{dropped} lines since the start"))
    });
    parts.push(backup(cx, text));
    parts.push(mail(cx, text));
    for application in live.policies.applications() {
        let health = health_of(cx, application);
        parts.push(Part {
            name: application.title.clone(),
            kind: health.kind,
            state: health.words,
            detail: "application".to_owned(),
        });
    }
    parts
}

fn backup(cx: &Cx<'_>, text: &str) -> Part {
    let last = sum(text, "portcullis_backup_last_success_timestamp_seconds", |_| true);
    let failures = sum(text, "portcullis_backup_failures_total", |_| true);
    if cx.live.settings.backup.is_none() {
        let tag = Tag {
            kind: "",
            words: "Not set up",
        };
        return Part::new("Backup", tag, "none is made on a timer".to_owned());
    }
    let newest = if last > 0.0 {
        let at = Timestamp::from_secs(last as i64);
        format!("newest {}", Moment::of(at, cx.facts.now).full)
    } else {
        "none was made yet".to_owned()
    };
    if failures > 0.0 {
        let tag = Tag {
            kind: "warn",
            words: "Failed",
        };
        return Part::new("Backup", tag, format!("{failures} failed since the start; {newest}"));
    }
    let tag = Tag {
        kind: "ok",
        words: "Working",
    };
    Part::new("Backup", tag, newest)
}

/// Whether letters leave.
fn mail(cx: &Cx<'_>, text: &str) -> Part {
    let tag = |kind, words| Tag { kind, words };
    if cx.live.settings.mail.is_none() {
        let detail = "tokens are shown to administrators to pass on".to_owned();
        return Part::new("Mail", tag("", "Not set up"), detail);
    }
    let standing = |state: &str| sum(text, "portcullis_outbox", |labels| label(labels, "state") == state) as u64;
    let counted = |number: u64, does: &str, do_: &str| match number {
        0 => None,
        1 => Some(format!("1 message {does}")),
        _ => Some(format!("{} messages {do_}", grouped(number as f64))),
    };
    let last = cx.app.accounts.last_letter_tried();
    let mut detail: Vec<String> = counted(standing("waiting"), "waits", "wait").into_iter().collect();
    detail.extend(counted(standing("failed"), "failed", "failed"));
    let state = match &last {
        None => tag("", "Set up"),
        Some(last) => {
            let when = Moment::of(last.at, cx.facts.now).words;
            let (state, said) = match &last.given {
                Given::Taken(_) => (tag("ok", "Working"), ""),
                Given::PutOff(said) => (tag("warn", "Messages not taken"), said.as_str()),
                Given::Bounced(said) => (tag("warn", "Message refused"), said.as_str()),
            };
            detail.push(match harmless(said).as_str() {
                "" => format!("last tried {when}"),
                said => format!("last tried {when}: {said}"),
            });
            state
        }
    };
    Part::new("Mail", state, detail.join("; "))
}

/// What the figures say of certificates, signing keys and services.
fn endings(text: &str, now: Timestamp) -> Vec<Ending> {
    samples(text, "portcullis_expiry_timestamp_seconds")
        .map(|(labels, value)| {
            let at = Timestamp::from_secs(value as i64);
            let kind = label(labels, "kind");
            let name = label(labels, "name");
            let what = match kind {
                "certificate" => format!("Certificate {name}"),
                "assertion_key" => "Key that signs assertions".to_owned(),
                "service" => format!("Service {name}"),
                other => format!("{other} {name}"),
            };
            // Keys of the assertion are replaced by themselves.
            let watched = kind != "assertion_key";
            let tag = if watched && at <= now {
                Tag {
                    kind: "bad",
                    words: "Ended",
                }
            } else if watched && at <= now.after(DAY * SOON_DAYS) {
                Tag {
                    kind: "warn",
                    words: "Ends soon",
                }
            } else {
                Tag::default()
            };
            Ending {
                what,
                at: Moment::of(at, now),
                tag,
                order: at,
            }
        })
        .collect()
}

/// The samples of a figure: labels and value.
fn samples<'t>(text: &'t str, name: &'t str) -> impl Iterator<Item = (&'t str, f64)> {
    text.lines().filter_map(move |line| {
        let rest = line.strip_prefix(name)?;
        let (labels, value) = match rest.strip_prefix('{') {
            Some(rest) => rest.rsplit_once("} ")?,
            None => ("", rest.strip_prefix(' ')?),
        };
        Some((labels, value.split(' ').next()?.parse().ok()?))
    })
}

fn sum(text: &str, name: &str, wanted: impl Fn(&str) -> bool) -> f64 {
    samples(text, name)
        .filter(|(labels, _)| wanted(labels))
        .map(|(_, value)| value)
        .sum()
}

fn label<'t>(labels: &'t str, name: &str) -> &'t str {
    labels
        .split_once(&format!("{name}=\""))
        .and_then(|(_, rest)| rest.split('"').next())
        .unwrap_or("")
}

/// A number with its thousands apart.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn lower(words: &str) -> String {
    let mut letters = words.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_from_their_text() {
        let text = "# HELP x\nportcullis_requests_total{app=\"a\",code=\"200\"} 1200\nportcullis_requests_total{app=\"b\",code=\"502\"} 3\n\
                    portcullis_up 1\nportcullis_expiry_timestamp_seconds{kind=\"certificate\",name=\"gate.example\"} 1900000000\n";
        assert_eq!(grouped(sum(text, "portcullis_requests_total", |_| true)), "1,203");
        assert_eq!(
            sum(text, "portcullis_requests_total", |labels| labels.contains("code=\"502\"")),
            3.0
        );
        assert_eq!(sum(text, "portcullis_up", |_| true), 1.0);
        let now = Timestamp::from_secs(1_900_000_000).before(DAY);
        let endings = endings(text, now);
        assert_eq!(
            (endings[0].what.as_str(), endings[0].tag.words),
            ("Certificate gate.example", "Ends soon")
        );
    }
}
