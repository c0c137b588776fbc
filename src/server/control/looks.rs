//! What is asked about the rules: explanations, who can, what somebody can.

use std::net::IpAddr;
use std::path::PathBuf;

use http::Method;

use crate::app::Live;
use crate::app::explaining::{self, NotLooked, explanation};
use crate::app::open::sessions_ended_by;
use crate::app::waiting::{self, NotReckoned, consequences};
use crate::base::random::Random;
use crate::base::time::Timestamp;
use crate::model::id::{CredentialId, SessionId};
use crate::model::name::{IpPatternName, ProviderName, RoleName, ServiceName, TeamName};
use crate::model::principal::{Principal, Service, SignedIn};
use crate::model::user::{User, UserStatus};
use crate::policy::application::{Application, Rule};
use crate::policy::decide::decide;
use crate::policy::definitions::Scope;
use crate::policy::explain::Explanation;
use crate::policy::facts::RequestFacts;
use crate::policy::pattern::PathPattern;
use crate::policy::{PolicySet, Verdict};
use crate::server::files::Files;
use crate::server::in_use::{People, everybody};
use crate::server::opening::{Desk, Opener};

use super::Subject;
use super::answer::{Answer, Concerned, Diff, Ended, Finding, MovedPlace, Opening, StoreCheck, WhoLine};
use super::deeds::{No, found, named, no};

pub(super) async fn explain(
    desk: &Desk,
    who: Subject,
    from: Option<IpAddr>,
    at: Option<&str>,
    request: &str,
    now: Timestamp,
) -> Result<Answer, No> {
    if let Subject::Decision(id) = &who {
        return explain_logged(desk, id).await;
    }
    let at = match at {
        None => now,
        Some(text) => Timestamp::parse_rfc3339(text).map_err(|error| no("malformed", format!("--at `{text}`: {error}")))?,
    };
    let principal = principal(desk, who, at).await?;
    let facts = asked(request, from, at)?;
    Ok(answer(&explanation(&desk.app.live().policies, &principal, &facts), ""))
}

async fn principal(desk: &Desk, who: Subject, at: Timestamp) -> Result<Principal, No> {
    let accounts = &desk.app.accounts;
    match who {
        Subject::Anonymous | Subject::Decision(_) => Ok(Principal::Anonymous),
        Subject::User(who) => {
            let user = found(desk, &who).await?;
            let identity = accounts.imagined(&user, SignedIn::by_password(at)).await?;
            Ok(Principal::User(identity.into()))
        }
        Subject::Service(name) => {
            let name: ServiceName = named("the service", &name)?;
            if desk.app.live().policies.service(&name).is_none() {
                return Err(no("no-such-service", format!("the policies have no service `{name}`")));
            }
            let credential = CredentialId::generate(&Random::System);
            Ok(Principal::Service(
                Service {
                    name,
                    credential,
                    made: at,
                }
                .into(),
            ))
        }
        Subject::Session(id) => {
            let id: SessionId = named("the session's id", &id)?;
            let session = accounts
                .session(id)
                .await?
                .ok_or_else(|| no("no-such-session", format!("there is no live session `{id}`")))?;
            let user = found(desk, &session.user.to_string()).await?;
            let identity = accounts.imagined(&user, session.signed_in).await?;
            Ok(Principal::User(identity.into()))
        }
    }
}

async fn explain_logged(desk: &Desk, id: &str) -> Result<Answer, No> {
    let found = match explaining::look_up(&desk.app, id).await {
        Ok(Some(found)) => found,
        Ok(None) => {
            let why = format!("no decision or request `{id}` is remembered; with `decision_log.file` set, older ones are found too");
            return Err(no("no-such-decision", why));
        }
        Err(error @ NotLooked::Unreadable(_)) => return Err(no("unreadable", error.to_string())),
        Err(error @ NotLooked::Fault) => return Err(no("fault", error.to_string())),
    };
    let facts = explaining::logged_facts(&found).ok_or_else(|| {
        no(
            "incomplete",
            format!(
                "the log keeps no path of it (`decision_log.path`): it was {} {}",
                found.line.decision, found.line.reason
            ),
        )
    })?;
    let principal = explaining::principal_of(&found);
    let live = desk.app.live();
    let explanation = explanation(&live.policies, &principal, &facts);
    let mut note = format!(
        "decision {}, request {}, at {}\n",
        found.line.id, found.line.request_id, found.line.ts
    );
    if let Some(difference) = explaining::difference(&found, &explanation) {
        note.push_str(&format!("{difference}\n"));
    }
    Ok(answer(&explanation, &note))
}

fn answer(explanation: &Explanation, note: &str) -> Answer {
    Answer::Explained {
        text: format!("{note}{explanation}"),
        record: serde_json::to_value(explanation).unwrap_or_default(),
    }
}

/// `METHOD URL` as facts.
fn asked(request: &str, from: Option<IpAddr>, at: Timestamp) -> Result<RequestFacts, No> {
    explaining::asked(request, from, at).map_err(|error| no("malformed", error.to_string()))
}

pub(super) async fn who_can(desk: &Desk, request: &str, from: Option<IpAddr>, now: Timestamp) -> Result<Answer, No> {
    let facts = asked(request, from, now)?;
    let live = desk.app.live();
    let mut lines = Vec::new();
    for listed in everybody(&desk.app.accounts, now).await? {
        let user = listed.user;
        if user.status != UserStatus::Active && user.status != UserStatus::Pending {
            continue;
        }
        // Somebody who has yet to register is listed as what they will be.
        let awaited = user.status == UserStatus::Pending;
        let as_active = User {
            status: UserStatus::Active,
            ..user.clone()
        };
        let identity = desk.app.accounts.imagined(&as_active, SignedIn::by_password(now)).await?;
        let explanation = explanation(&live.policies, &Principal::User(identity.into()), &facts);
        if matches!(explanation.decision, "allow" | "step-up" | "sign-in") {
            let held: Vec<&str> = explanation
                .steps
                .iter()
                .filter(|step| matches!(step.step, "facts" | "require"))
                .map(|step| step.found.as_str())
                .collect();
            let registered = if awaited { "once registered: " } else { "" };
            lines.push(WhoLine {
                id: user.id.to_string(),
                username: user.username.to_string(),
                email: user.email.as_ref().map(ToString::to_string),
                outcome: explanation.decision.to_owned(),
                because: format!("{registered}{} ({})", explanation.reason, held.join("; ")),
            });
        }
    }
    Ok(Answer::WhoCan(lines))
}

pub(super) async fn can(desk: &Desk, who: &str, from: Option<IpAddr>, now: Timestamp) -> Result<Answer, No> {
    let user = found(desk, who).await?;
    let live = desk.app.live();
    let identity = desk.app.accounts.imagined(&user, SignedIn::by_password(now)).await?;
    let principal = Principal::User(identity.into());
    let mut openings = Vec::new();
    for application in live.policies.applications() {
        let Some(host) = application.hosts.first().map(|host| host.to_string().replacen('*', "any", 1)) else {
            continue;
        };
        let decided = |method: Method, path: &str| {
            let facts = RequestFacts::new(method, &host, path, from, now);
            let decision = decide(&live.policies, &principal, &facts);
            (decision.verdict, decision.reason.code())
        };
        for rule in &application.rules {
            for placed in &rule.paths {
                let method = rule.methods.first().cloned().unwrap_or(Method::GET);
                openings.push(opening(
                    application,
                    Some(rule),
                    &placed.pattern,
                    decided(method, &placed.pattern.example()),
                ));
            }
        }
        // Whatever no rule names; a segment that nobody would write stands for it.
        let elsewhere = format!("{}/{UNLISTED}", application.path.trim_end_matches('/'));
        let mut rest = opening(application, None, &PathPattern::everything(), decided(Method::GET, &elsewhere));
        rest.path = "everything else".to_owned();
        openings.push(rest);
    }
    Ok(Answer::Can(openings))
}

/// A path segment that no rule names.
const UNLISTED: &str = "any-other-path-0";

fn opening(application: &Application, rule: Option<&Rule>, pattern: &PathPattern, decided: (Verdict, &'static str)) -> Opening {
    Opening {
        application: application.name.to_string(),
        title: application.title.clone(),
        path: pattern.to_string(),
        methods: rule
            .map(|rule| rule.methods.iter().map(ToString::to_string).collect())
            .unwrap_or_default(),
        outcome: decided.0.word().to_owned(),
        because: decided.1.to_owned(),
        at: Some(rule.map_or_else(|| application.at.to_string(), |rule| rule.at.to_string())),
    }
}

/// A role by where it is held: instance-wide, or within a team.
pub(super) fn role_for(policies: &PolicySet, role: &RoleName) -> Result<(Option<RoleName>, Option<RoleName>), No> {
    if *role == RoleName::admin() || *role == RoleName::user() {
        return Ok((Some(role.clone()), None));
    }
    match policies.role(role).map(|role| role.scope) {
        Some(Scope::Global) => Ok((Some(role.clone()), None)),
        Some(Scope::Team) => Ok((None, Some(role.clone()))),
        Some(Scope::Service) => Err(no("service-role", format!("`{role}` is for services, not for people"))),
        None => Err(no(
            "no-such-role",
            format!(
                "the policies have no role `{role}`{}",
                like(policies.definitions().roles.iter().map(|one| one.name.as_str()), role.as_str())
            ),
        )),
    }
}

/// The names of a membership, checked against the policies.
pub(super) fn names_exist(
    policies: &PolicySet,
    team: Option<&TeamName>,
    ip_pattern: Option<&IpPatternName>,
    provider: Option<&ProviderName>,
) -> Result<(), No> {
    let definitions = policies.definitions();
    let missing = |what: &str, name: &str, known: &mut dyn Iterator<Item = &str>| {
        no("no-such-name", format!("the policies have no {what} `{name}`{}", like(known, name)))
    };
    if let Some(team) = team.filter(|team| **team != TeamName::main() && policies.team(team).is_none()) {
        return Err(missing(
            "team",
            team.as_str(),
            &mut definitions.teams.iter().map(|one| one.name.as_str()),
        ));
    }
    if let Some(pattern) = ip_pattern.filter(|pattern| policies.ip_pattern(pattern).is_none()) {
        return Err(missing(
            "IP pattern",
            pattern.as_str(),
            &mut definitions.ip_patterns.iter().map(|one| one.name.as_str()),
        ));
    }
    if let Some(provider) = provider.filter(|provider| policies.provider(provider).is_none()) {
        return Err(missing(
            "identity provider",
            provider.as_str(),
            &mut definitions.providers.iter().map(|one| one.name.as_str()),
        ));
    }
    Ok(())
}

/// The nearest known name, if one is near.
fn like<'a>(known: impl Iterator<Item = &'a str>, name: &str) -> String {
    let near = known
        .map(|one| (strsim::damerau_levenshtein(one, name), one))
        .filter(|(distance, _)| *distance <= 3)
        .min();
    near.map(|(_, one)| format!("; did you mean `{one}`?")).unwrap_or_default()
}

/// Who gains and who loses access by the policies in `folder` or those of the files, were they in force now.
pub(super) async fn diff(desk: &Desk, folder: Option<PathBuf>, now: Timestamp) -> Result<Answer, No> {
    let app = &desk.app;
    let files = Files {
        policies: folder.or_else(|| desk.files.policies.clone()),
        ..desk.files.clone()
    };
    let sources = files.read().map_err(|error| no("unreadable", error.to_string()))?;
    let Ok(after) = Live::parse(&sources, now) else {
        return Err(no(
            "unusable",
            "these policies cannot be put in force; `portcullis check` says what is wrong",
        ));
    };
    let live = app.live();
    let found = match consequences(&app.accounts, &live.policies, &after, usize::MAX, now).await {
        Ok(found) => found,
        Err(NotReckoned::Unavailable(error)) => return Err(error.into()),
        Err(error) => return Err(no("not-reckoned", error.to_string())),
    };
    let concerned = |people: Vec<waiting::Concerned>| {
        let line = |one: waiting::Concerned| Concerned {
            id: one.id,
            username: one.username,
            applications: one.applications,
        };
        people.into_iter().map(line).collect()
    };
    Ok(Answer::Differs(Diff {
        before: live.generation().to_string(),
        after: found.generation,
        people: found.people,
        gain: concerned(found.gain),
        lose: concerned(found.lose),
        places: found
            .places
            .into_iter()
            .map(|moved| MovedPlace {
                application: moved.application,
                place: moved.place,
                gain: moved.gain,
                lose: moved.lose,
            })
            .collect(),
    }))
}

/// What the store has to say about the policies in `folder` or those of the files, and what they would end, were they in force now.
pub(super) async fn check_store(desk: &Desk, folder: Option<PathBuf>) -> Result<Answer, No> {
    let app = &desk.app;
    let now = app.clock.now();
    let people = People::read(&app.accounts, now).await?;
    let files = Files {
        policies: folder.or_else(|| desk.files.policies.clone()),
        ..desk.files.clone()
    };
    let sources = files.read().map_err(|error| no("unreadable", error.to_string()))?;
    // What is wrong with the tree itself is told by whoever asks; nothing can be said about the store then.
    let Ok(live) = Live::parse(&sources, now) else {
        return Ok(Answer::Checked(StoreCheck {
            findings: Vec::new(),
            will_end: None,
        }));
    };
    let will_end = match desk.opener {
        Opener::Command => None,
        Opener::Server => Some(Ended {
            sessions: sessions_ended_by(app, &app.live(), &live).await,
            streams: app.open.streams_cut_by(app, &live).await,
        }),
    };
    let mut found = people.administrators(&live.policies, now);
    found.extend(people.orphans(&live.policies));
    found.extend(people.unused(&live.policies));
    let findings = found.into_iter().map(|one| Finding {
        code: one.code.to_owned(),
        level: one.level.to_string(),
        message: one.message,
        help: one.help,
    });
    Ok(Answer::Checked(StoreCheck {
        findings: findings.collect(),
        will_end,
    }))
}
