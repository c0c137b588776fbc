//! What is looked at besides people: files of the policy, decisions, the audit trail, letters, the server itself.

use std::net::IpAddr;

use http::Method;
use serde_json::{Value, json};

use crate::accounts::{AuditCheck, AuditSearch, LetterPage, Reach, Went};
use crate::app::explaining;
use crate::base::diagnostic::Level;
use crate::base::time::Timestamp;
use crate::model::id::MessageId;
use crate::model::message::MessageStanding;
use crate::model::name::ApplicationName;
use crate::model::principal::{Principal, SignedIn};
use crate::model::role::Power;
use crate::policy::application::Application;
use crate::policy::explain::Explanation;
use crate::policy::facts::RequestFacts;

use super::super::console::applications::health_of;
use super::super::console::health;
use super::super::console::ip_patterns::checked;
use super::super::form::Form;
use super::call::Call;
use super::problem::Not;
use super::shapes;

/// Applications that teams within reach may give.
pub async fn applications(call: &mut Call<'_>) -> Result<Value, Not> {
    let items = shown_applications(call).await?;
    Ok(shapes::page(items.into_iter().map(|(_, value)| value).collect(), None))
}

/// One application.
pub async fn application(call: &mut Call<'_>) -> Result<Value, Not> {
    let name: ApplicationName = call.param("application")?;
    let mut found = shown_applications(call).await?.into_iter();
    found.find(|(known, _)| *known == name).map(|(_, value)| value).ok_or(Not::Found)
}

async fn shown_applications(call: &Call<'_>) -> Result<Vec<(ApplicationName, Value)>, Not> {
    let by = call.acting_by(Power::Apps)?;
    let policies = &call.cx.live.policies;
    let held = call.cx.app.accounts.held(call.cx.facts.now).await;
    let value = |one: &Application| {
        let permissions = one.permissions.iter().map(|permission| {
            json!({
                "name": permission.name.as_str(),
                "title": permission.title,
                "help": permission.help,
                "implies": permission.implies.iter().map(ToString::to_string).collect::<Vec<_>>(),
            })
        });
        json!({
            "name": one.name.as_str(),
            "title": one.title,
            "hosts": one.hosts.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "path": one.path.to_string(),
            "upstreams": one.upstreams.iter().map(|server| server.target.to_string()).collect::<Vec<_>>(),
            "health": health_of(&call.cx, one).words,
            "permissions": permissions.collect::<Vec<_>>(),
            "memberships": held.with_application(&one.name, &by),
            "at": one.at.line(),
        })
    };
    let applications = policies.applications().iter();
    let shown = applications.filter(|one| by.may_see_application(policies, &one.name));
    Ok(shown.map(|one| (one.name.clone(), value(one))).collect())
}

/// IP patterns, and whether each contains an address.
pub async fn ip_patterns(call: &mut Call<'_>) -> Result<Value, Not> {
    let by = call.acting_by(Power::Users)?;
    let tried: Option<IpAddr> = call.asked_as("address", "invalid_characters", "Enter an address like 203.0.113.7 or 2001:db8::7");
    call.sound()?;
    let held = call.cx.app.accounts.held(call.cx.facts.now).await;
    let items = call.cx.live.policies.definitions().ip_patterns.iter().map(|one| {
        json!({
            "name": one.name.as_str(),
            "title": one.title,
            "include": one.include,
            "exclude": one.exclude,
            "memberships": held.with_pattern(&one.name, &by),
            "contains": tried.map(|address| one.addresses.contains(address)),
            "at": one.at.line(),
        })
    });
    Ok(shapes::page(items.collect(), None))
}

/// The TOML of a pattern, checked before it is written into a file.
pub async fn check_ip_pattern(call: &mut Call<'_>) -> Result<Value, Not> {
    let mut form = Form::default();
    let ranges = call.body.get("include").and_then(Value::as_array).into_iter().flatten();
    let lines: Vec<&str> = ranges
        .filter_map(Value::as_str)
        .map(|line| line.lines().next().unwrap_or(""))
        .collect();
    form.set("nets", lines.join("\n"));
    form.set("name", call.text("name").to_owned());
    form.set("title", call.text("title").to_owned());
    let toml = checked(&mut form);
    for one in form.problems() {
        let field = if one.field == "nets" { "include" } else { one.field };
        call.fail(field, one.code, one.words.as_str());
    }
    call.sound()?;
    Ok(json!({ "toml": toml.ok_or(Not::Valid)? }))
}

/// Identity providers and directories.
pub async fn providers(call: &mut Call<'_>) -> Result<Value, Not> {
    let by = call.acting_by(Power::Policies)?;
    let held = call.cx.app.accounts.held(call.cx.facts.now).await;
    let items = call.cx.live.policies.definitions().providers.iter().map(|one| {
        json!({
            "name": one.name.as_str(),
            "title": one.title,
            "kind": one.kind.word(),
            "email_domains": one.email_domains,
            "team": one.team.as_ref().map(ToString::to_string),
            "memberships": held.with_provider(&one.name, &by),
            "at": one.at.line(),
        })
    });
    Ok(shapes::page(items.collect(), None))
}

/// The policy in force.
pub async fn policy(call: &mut Call<'_>) -> Result<Value, Not> {
    let live = call.cx.live;
    let since = call.cx.app.accounts.policy_since(&live.policies.generation().to_string()).await?;
    let texts = live.texts_of();
    let findings = live.findings.iter().filter(|one| one.level != Level::Error);
    let mut files: Vec<String> = live.texts.files.iter().map(|file| file.name.to_string()).collect();
    files.sort();
    let tests = live
        .tests
        .iter()
        .map(|one| json!({ "name": one.name, "expected": one.expected.word(), "at": one.at.line() }));
    let rules = live.policies.applications().iter().flat_map(|application| {
        application.rules.iter().map(move |rule| {
            json!({
                "app": application.name.as_str(),
                "paths": rule.paths.iter().map(|path| path.pattern.to_string()).collect::<Vec<_>>(),
                "methods": rule.methods.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "access": rule.access.to_string(),
                "at": rule.at.line(),
            })
        })
    });
    Ok(json!({
        "generation": live.generation().to_string(),
        "since": shapes::moment(since),
        "stale_since": shapes::moment(live.stale.as_ref().map(|stale| stale.since)),
        "files": files,
        "findings": findings.map(|one| one.one_line(&texts)).collect::<Vec<_>>(),
        "tests": tests.collect::<Vec<_>>(),
        "rules": rules.collect::<Vec<_>>(),
    }))
}

/// Why a request is let in or not.
pub async fn explain(call: &mut Call<'_>) -> Result<Value, Not> {
    let id = call.asked("decision").to_owned();
    if id.is_empty() {
        return explain_any(call).await;
    }
    let by = call.acting_by(Power::Audit)?;
    let (app, live) = (call.cx.app, call.cx.live);
    let found = explaining::look_up(app, &id).await.map_err(|error| {
        tracing::error!(%error, "a decision could not be looked up");
        Not::conflict("unreadable", error.to_string())
    })?;
    let found = match found {
        None => None,
        Some(found) => {
            let principal = explaining::principal_of(&found);
            let asker = explaining::asker(&app.accounts, &principal, &by, call.cx.facts.now).await?;
            asker.map(|_| (found, principal))
        }
    };
    let Some((found, principal)) = found else {
        call.fail("decision", "no_such_decision", "No decision or request of this id is remembered");
        return Err(Not::Valid);
    };
    let Some(facts) = explaining::logged_facts(&found) else {
        return Err(Not::conflict("incomplete", "The log keeps no path of it (decision_log.path)."));
    };
    let explanation = explaining::explanation(&live.policies, &principal, &facts);
    let made = json!({
        "decision": found.line.id.to_string(),
        "request": found.line.request_id.to_string(),
        "at": found.line.ts,
        "generation": found.line.generation,
        "differs": explaining::difference(&found, &explanation),
    });
    Ok(explained(&explanation, &facts, &made))
}

async fn explain_any(call: &mut Call<'_>) -> Result<Value, Not> {
    let by = call.acting_by(Power::Audit)?;
    let now = call.cx.facts.now;
    let who = call.asked("user").to_owned();
    let accounts = &call.cx.app.accounts;
    let principal = if who.is_empty() {
        Some(Principal::Anonymous)
    } else {
        let known = match accounts.user_named(&who).await? {
            Some(user) => accounts.user(user.id, &by, now).await?,
            None => None,
        };
        match known {
            Some(listed) => Some(Principal::User(
                accounts.imagined(&listed.user, SignedIn::by_password(now)).await?.into(),
            )),
            None => None,
        }
    };
    if principal.is_none() {
        call.fail("user", "no_such_user", "There is nobody of this name that you may see");
    }
    let from = call.asked_as("address", "invalid_characters", "Enter an address like 203.0.113.7 or 2001:db8::7");
    if call.asked("url").is_empty() {
        call.fail("url", "missing", "Say which address, or which decision");
    }
    let method = match call.asked("method") {
        "" => Method::GET.as_str().to_owned(),
        method => method.to_owned(),
    };
    call.sound()?;
    let facts = match explaining::asked(&format!("{method} {}", call.asked("url")), from, now) {
        Ok(facts) => facts,
        Err(error) => {
            call.fail("url", "no_request", error.to_string());
            return Err(Not::Valid);
        }
    };
    let principal = principal.ok_or(Not::Valid)?;
    let explanation = explaining::explanation(&call.cx.live.policies, &principal, &facts);
    Ok(explained(&explanation, &facts, &Value::Null))
}

fn explained(explanation: &Explanation, facts: &RequestFacts, made: &Value) -> Value {
    let steps = explanation
        .steps
        .iter()
        .map(|line| json!({ "step": line.step, "found": line.found, "at": line.at, "note": line.note }));
    json!({
        "decision": explanation.decision,
        "reason": explanation.reason,
        "generation": explanation.generation,
        "app": explanation.app,
        "request": format!("{} {}://{}{}", facts.method, facts.scheme.as_str(), facts.host.as_str(), facts.path.original()),
        "steps": steps.collect::<Vec<_>>(),
        "to_allow": explanation.to_allow,
        "made": made,
    })
}

/// The audit trail.
pub async fn audit(call: &mut Call<'_>) -> Result<Value, Not> {
    let by = call.acting_by(Power::Audit)?;
    let below: Option<u64> = call.asked_as("after", "no_page", "This is the `next` of no page");
    let moment = |call: &mut Call<'_>, name: &str| {
        let text = call.asked(name).to_owned();
        let read = Timestamp::parse_rfc3339(&text).ok();
        if read.is_none() && !text.is_empty() {
            call.fail(name, "no_moment", "Write a moment like 2026-03-12T14:30:00Z");
        }
        read
    };
    let (from, until) = (moment(call, "from"), moment(call, "until"));
    call.sound()?;
    let search = AuditSearch {
        text: call.asked("q").to_owned(),
        action: call.asked("event").parse().ok(),
        went: Went::ALL.into_iter().find(|went| went.word() == call.asked("outcome")),
        from,
        until,
    };
    let now = call.cx.facts.now;
    let found = call.cx.app.accounts.audit_page(&search, below, call.limit(), &by, now).await?;
    let items: Vec<Value> = found.lines.iter().map(|line| shapes::entry(line, &by)).collect();
    Ok(json!({
        "items": items,
        "next": found.next.map(|next| next.to_string()),
        "unfinished": found.unfinished,
    }))
}

/// What the last check of the chain found.
pub async fn audit_check(call: &mut Call<'_>) -> Result<Value, Not> {
    let (state, at, entries, broken) = match call.cx.app.accounts.audit_check() {
        AuditCheck::None => ("unchecked", None, None, None),
        AuditCheck::Since(at) => ("checking", Some(at), None, None),
        AuditCheck::Done { at, report: None } => ("failed", Some(at), None, None),
        AuditCheck::Done { at, report: Some(report) } => {
            let broken = report.broken.as_ref().map(ToString::to_string);
            let state = if broken.is_some() { "broken" } else { "whole" };
            (state, Some(at), Some(report.entries), broken)
        }
    };
    Ok(json!({ "state": state, "at": shapes::moment(at), "entries": entries, "broken": broken }))
}

/// How the server does.
pub async fn health(call: &mut Call<'_>) -> Result<Value, Not> {
    let cx = &call.cx;
    let (parts, calendar) = health::seen(cx).await?;
    let parts = parts.iter().map(|part| {
        let state = if part.kind.is_empty() { "none" } else { part.kind };
        json!({ "name": part.name, "state": state, "words": part.state, "detail": part.detail })
    });
    let calendar = calendar
        .iter()
        .map(|one| json!({ "what": one.what, "at": one.order.to_string(), "soon": !one.tag.kind.is_empty() }));
    Ok(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "began": cx.app.began.to_string(),
        "parts": parts.collect::<Vec<_>>(),
        "calendar": calendar.collect::<Vec<_>>(),
    }))
}

/// Letters within reach.
pub async fn letters(call: &mut Call<'_>) -> Result<Value, Not> {
    let by = call.acting_by(Power::Users)?;
    let after = call.asked_as::<MessageId>("after", "no_page", "This is the `next` of no page");
    call.sound()?;
    let standing: Option<MessageStanding> = call.asked("status").parse().ok();
    if standing.is_some_and(|standing| by.reach != Reach::All || standing == MessageStanding::Sent) {
        return Err(Not::conflict(
            "not_told",
            "Letters are listed by status for the whole instance only, and those that were sent are not listed apart.",
        ));
    }
    let limit = call.limit();
    let page = after.map_or(LetterPage::First, LetterPage::After);
    let found = call.cx.app.accounts.list_letters(standing, page, limit, &by).await?;
    let next = found.letters.last().filter(|_| found.older).map(|letter| letter.id.to_string());
    Ok(shapes::page(found.letters.iter().map(shapes::letter).collect(), next))
}
