//! Applications, as the policy files and the running server know them.

use askama::Template;

use crate::model::role::Power;
use crate::policy::application::{Application, MfaRule, Mode};

use super::super::cx::{Cx, Outcome, Stop};
use super::super::view::{BASE, Frame, Me, Tag};
use super::written::quoted;

const HERE: &str = "/admin/applications";

/// An application.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its title.
    pub title: String,
    /// Its name.
    pub name: String,
    /// The address of what is told of it.
    pub href: String,
    /// File and line.
    pub at: String,
    /// Its hosts, with its path.
    pub hosts: Vec<String>,
    /// Its servers.
    pub upstreams: Vec<String>,
    /// How many memberships were given it, in words.
    pub given: String,
    /// What it asks for besides its rules.
    pub also: Vec<String>,
    /// How its servers do.
    pub health: Health,
}

/// How an application's servers do, as far as this server knows.
#[derive(Clone, Debug)]
pub struct Health {
    /// The colour.
    pub kind: &'static str,
    /// The words.
    pub words: String,
}

/// A permission.
#[derive(Clone, Debug)]
pub struct PermissionRow {
    /// As checkboxes show it.
    pub title: String,
    /// As the files name it.
    pub name: String,
    /// What it is for; may be empty.
    pub help: String,
    /// What comes with it; may be empty.
    pub implies: String,
    /// File and line.
    pub at: String,
}

/// What is told of one application.
#[derive(Clone, Debug)]
pub struct Detail {
    /// Its title.
    pub title: String,
    /// Its permissions.
    pub permissions: Vec<PermissionRow>,
    /// Its table, as it is written.
    pub toml: String,
    /// File and line.
    pub at: String,
}

/// The page.
#[derive(Template)]
#[template(path = "console/applications.html")]
pub struct ApplicationsPage {
    /// The outside of the page.
    pub frame: Frame,
    /// Who looks.
    pub me: Me,
    /// Which page of the console this is.
    pub here: &'static str,
    /// The applications.
    pub rows: Vec<Row>,
    /// The one that is looked at.
    pub detail: Option<Detail>,
}

/// GET `/admin/applications`.
pub async fn show(cx: &mut Cx<'_>) -> Outcome {
    let by = cx.acting_by(Power::Apps)?;
    let held = cx.app.accounts.held(cx.facts.now).await;
    let shown: Vec<&Application> = cx
        .live
        .policies
        .applications()
        .iter()
        .filter(|one| by.may_see_application(&cx.live.policies, &one.name))
        .collect();
    let rows = shown.iter().map(|application| Row {
        given: match held.with_application(&application.name, &by) {
            None => "Being counted".to_owned(),
            Some(1) => "1 membership".to_owned(),
            Some(count) => format!("{count} memberships"),
        },
        ..row(cx, application)
    });
    let rows = rows.collect();
    let asked = cx.query.value("app");
    let detail = if asked.is_empty() {
        None
    } else {
        let application = shown.iter().find(|one| one.name.as_str() == asked).ok_or(Stop::NotFound)?;
        Some(detail(cx, application))
    };
    Ok(cx.page(&ApplicationsPage {
        frame: cx.frame(),
        me: cx.me(),
        here: HERE,
        rows,
        detail,
    }))
}

fn row(cx: &Cx<'_>, application: &Application) -> Row {
    let policies = &cx.live.policies;
    let path = application.path.trim_end_matches('/');
    let mut also: Vec<String> = application
        .ip_pattern
        .iter()
        .map(|name| {
            policies
                .ip_pattern(name)
                .map_or_else(|| name.to_string(), |pattern| pattern.title.clone())
        })
        .collect();
    if application.signin.mfa == MfaRule::Required {
        also.push("Second factor".to_owned());
    }
    Row {
        title: application.title.clone(),
        name: application.name.to_string(),
        href: format!("{BASE}{HERE}?app={}", application.name),
        at: application.at.line(),
        hosts: application.hosts.iter().map(|host| format!("{host}{path}")).collect(),
        upstreams: application.upstreams.iter().map(|server| server.target.to_string()).collect(),
        given: String::new(),
        also,
        health: health_of(cx, application),
    }
}

/// How an application's servers do, by what this server has met; nobody is asked for the page.
#[must_use]
pub fn health_of(cx: &Cx<'_>, application: &Application) -> Health {
    let told = |tag: Tag| Health {
        kind: tag.kind,
        words: tag.words.to_owned(),
    };
    let servers = application.upstreams.len();
    if application.mode == Mode::Authorize || servers == 0 {
        return told(Tag {
            kind: "",
            words: "Behind a front proxy",
        });
    }
    let watched = application.health.path.is_some() || servers > 1;
    match cx.app.metrics.upstream_out(&application.name) {
        0 if watched => told(Tag {
            kind: "ok",
            words: "Answering",
        }),
        0 => told(Tag {
            kind: "",
            words: "Not watched",
        }),
        out if out < servers => Health {
            kind: "warn",
            words: format!("{out} of {servers} left out"),
        },
        _ => told(Tag {
            kind: "bad",
            words: "No answer",
        }),
    }
}

fn detail(cx: &Cx<'_>, application: &Application) -> Detail {
    let permissions = application.permissions.iter().map(|permission| PermissionRow {
        title: permission.title.clone(),
        name: format!("{}:{}", application.name, permission.name),
        help: permission.help.clone(),
        implies: permission.implies.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        at: permission.at.line(),
    });
    Detail {
        title: application.title.clone(),
        permissions: permissions.collect(),
        toml: quoted(&cx.live.texts, &application.at, &format!("app.{}", application.name)),
        at: application.at.line(),
    }
}
