//! Carries out what the commands ask, through the same use cases the console has.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::accounts::acting::Acting;
use crate::accounts::{AddOutcome, EditOutcome, Filter, Listed, NewUser, Page, SessionLine as Line, ShownToken, TokenFor, Unavailable};
use crate::base::time::Timestamp;
use crate::model::email::EmailAddress;
use crate::model::id::{SessionId, UserId};
use crate::model::name::{IpPatternName, PersonName, ProviderName, RoleName, TeamName, Username};
use crate::model::password::Password;
use crate::model::token::TokenKind;
use crate::model::user::User;

use super::answer::{Added, Answer, Change, Handed, Member, Person, SessionLine};
use super::{NewPerson, Request, invitations, keeping, looks, mail, teams};
use crate::server::doctor;
use crate::server::in_use::everybody;
use crate::server::opening::Desk;

/// People on one page of a list; an answer is one line, and nobody wants a line of a million people.
const PAGE: usize = 500;

/// Does what is asked and says what came of it.
pub async fn execute(desk: &Desk, request: Request) -> Answer {
    match attempt(desk, request).await {
        Ok(answer) => answer,
        Err(No::Answer(answer)) => *answer,
        Err(No::Unavailable(error)) => {
            tracing::error!(error = %keeping::chain(&error), "a command found no store");
            Answer::refused("unavailable", keeping::chain(&error))
        }
    }
}

/// Why something was not done.
pub(super) enum No {
    Answer(Box<Answer>),
    Unavailable(Unavailable),
}

impl From<Unavailable> for No {
    fn from(error: Unavailable) -> Self {
        Self::Unavailable(error)
    }
}

pub(super) fn no(code: &str, message: impl Into<String>) -> No {
    No::Answer(Box::new(Answer::refused(code, message)))
}

async fn attempt(desk: &Desk, request: Request) -> Result<Answer, No> {
    let now = desk.app.clock.now();
    match request {
        Request::Health => Ok(keeping::health(desk)),
        Request::Doctor => Ok(Answer::Examined(doctor::of_running(desk).await)),
        Request::Reload => Ok(keeping::reload_now(desk).await),
        Request::CheckStore { policies } => looks::check_store(desk, policies).await,
        Request::Diff { policies } => looks::diff(desk, policies, now).await,
        Request::Explain { who, from, at, request } => looks::explain(desk, who, from, at.as_deref(), &request, now).await,
        Request::WhoCan { request, from } => looks::who_can(desk, &request, from, now).await,
        Request::Can { user, from } => looks::can(desk, &user, from, now).await,
        Request::UserAdd(new) => add(desk, new, now).await,
        Request::UserList { search, after } => list(desk, search, after, now).await,
        Request::UserShow { who } => show(desk, &who, now).await,
        Request::UserRole { who, change } => change_role(desk, &who, change, now).await,
        Request::UserDisable { who } => {
            let user = found(desk, &who).await?;
            let outcome = desk.app.accounts.disable(user.id, &Acting::command_line(), now).await?;
            edited(outcome, &user, "disabled; all sessions have ended")
        }
        Request::UserEnable { who } => {
            let user = found(desk, &who).await?;
            let outcome = desk.app.accounts.enable(user.id, &Acting::command_line(), now).await?;
            edited(outcome, &user, "enabled")
        }
        Request::UserDelete { who } => {
            let user = found(desk, &who).await?;
            let outcome = desk.app.accounts.delete(user.id, &Acting::command_line(), now).await?;
            edited(outcome, &user, "deleted")
        }
        Request::UserToken { who, new } => token(desk, &who, new, now).await,
        Request::InviteCreate(new) => invitations::create(desk, &new, now).await,
        Request::InviteList {
            search,
            team,
            status,
            after,
        } => {
            let asked = invitations::Asked {
                search,
                team,
                status,
                after,
            };
            invitations::list(desk, asked, now).await
        }
        Request::InviteResend { which } => invitations::resend(desk, &which, now).await,
        Request::InviteExtend { which } => invitations::extend(desk, &which, now).await,
        Request::InviteChange { which, gifts } => invitations::change(desk, &which, &gifts, now).await,
        Request::InviteWithdraw { which } => invitations::withdraw(desk, &which, now).await,
        Request::SessionList { user } => sessions(desk, user, now).await,
        Request::SessionEnd { id } => end_session(desk, &id, now).await,
        Request::SessionEndAll { user } => {
            let user = found(desk, &user).await?;
            let ended = desk
                .app
                .accounts
                .end_all_of(user.id, &Acting::command_line(), now)
                .await?
                .unwrap_or_default();
            Ok(Answer::Done(format!("{ended} sessions of {} ended", user.username)))
        }
        Request::SessionEndFrom { address } => {
            let by = Acting::command_line();
            let ended = desk.app.accounts.end_all_from(address, None, &by, now).await?;
            Ok(Answer::Done(format!("{ended} sessions from {address} ended")))
        }
        Request::TeamList => Ok(teams::list(desk)),
        Request::TeamSet { who, team, gifts } => teams::set(desk, &who, &team, &gifts, now).await,
        Request::TeamRemove { who, team } => teams::remove(desk, &who, &team, now).await,
        Request::ProjectList { team } => teams::projects(desk, team.as_deref()).await,
        Request::ProjectAdd { team, name } => teams::add_project(desk, &team, &name, now).await,
        Request::ProjectRename { id, name } => teams::rename_project(desk, &id, &name, now).await,
        Request::ProjectDelete { id } => teams::delete_project(desk, &id, now).await,
        Request::MailList { status, after } => mail::list(desk, status.as_deref(), after.as_deref()).await,
        Request::MailAgain { id } => mail::again(desk, &id, now).await,
        Request::MailGiveUp { id } => mail::give_up(desk, &id, now).await,
        Request::MailTest { who } => mail::test(desk, &who, now).await,
        Request::BanList => keeping::bans(desk, now).await,
        Request::BanClear { id } => keeping::clear_ban(desk, &id, now).await,
        Request::BanClearAll => keeping::clear_bans(desk, now).await,
        Request::Rewrap => keeping::rewrap(desk).await,
        Request::Backup { file } => keeping::backup(desk, &file).await,
        Request::AuditVerify => keeping::verify(desk).await,
        Request::AuditExport { after } => keeping::export(desk, after.as_deref()).await,
    }
}

pub(super) async fn found(desk: &Desk, who: &str) -> Result<User, No> {
    let user = desk.app.accounts.user_named(who).await?;
    user.ok_or_else(|| {
        no(
            "no-such-user",
            format!("there is nobody called `{who}`; give an id, an e-mail address or a username"),
        )
    })
}

fn edited(outcome: EditOutcome, user: &User, done: &str) -> Result<Answer, No> {
    let name = &user.username;
    match outcome {
        EditOutcome::Changed => Ok(Answer::Done(format!("{name}: {done}"))),
        EditOutcome::Unchanged => Ok(Answer::Done(format!("{name}: it was so already"))),
        EditOutcome::NotFound => Err(no("no-such-user", format!("{name} is gone"))),
        EditOutcome::LastAdmin => Err(no(
            "last-admin",
            format!("{name} is the last active admin, and at least one must remain"),
        )),
        EditOutcome::Pending => Err(no(
            "pending",
            format!("{name} has not registered yet; hand over the token of `user token {name}`"),
        )),
        EditOutcome::Own | EditOutcome::NotAllowed => Err(no("not-allowed", format!("{name} cannot be changed like this"))),
    }
}

/// A name with rules, or a refusal that says which of them was broken.
pub(super) fn named<T: FromStr>(what: &str, text: &str) -> Result<T, No>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error| no("malformed", format!("{what} `{text}`: {error}")))
}

async fn add(desk: &Desk, new: NewPerson, now: Timestamp) -> Result<Answer, No> {
    let live = desk.app.live();
    let email: EmailAddress = named("the e-mail address", &new.email)?;
    let (role, team_role) = match &new.role {
        None => (None, None),
        Some(role) => looks::role_for(&live.policies, &named::<RoleName>("the role", role)?)?,
    };
    let team = new.team.as_deref().map(|name| named::<TeamName>("the team", name)).transpose()?;
    let ip_pattern = new
        .ip_pattern
        .as_deref()
        .map(|name| named::<IpPatternName>("the IP pattern", name))
        .transpose()?;
    let provider = new
        .idp
        .as_deref()
        .map(|name| named::<ProviderName>("the identity provider", name))
        .transpose()?;
    looks::names_exist(&live.policies, team.as_ref(), ip_pattern.as_ref(), provider.as_ref())?;
    let account = NewUser {
        email,
        username: new
            .username
            .as_deref()
            .map(|name| named::<Username>("the username", name))
            .transpose()?,
        given_name: person_name(new.given_name.as_deref())?,
        family_name: person_name(new.family_name.as_deref())?,
        role,
        team_role,
        team,
        ip_pattern,
        provider,
        password: new.password.map(Password::new),
    };
    let email = account.email.clone();
    match desk.app.accounts.add_user(account, &Acting::command_line(), now).await? {
        AddOutcome::Added(added) => {
            let user = person_of(desk, added.user.id, now).await?;
            Ok(Answer::Added(Added {
                user,
                token: added.token.map(|token| handed(desk, &token)),
            }))
        }
        AddOutcome::EmailTaken => Err(no("email-taken", format!("somebody has the address {email} already"))),
        AddOutcome::UsernameTaken => Err(no(
            "username-taken",
            "somebody has that username already; give another with --username",
        )),
        AddOutcome::Weak(why) => Err(no("password-weak", why.to_string())),
        AddOutcome::NotAllowed => Err(no("not-allowed", "that role cannot be given like this")),
        AddOutcome::Busy => Err(no("busy", "too many passwords are being hashed; try again")),
    }
}

fn person_name(text: Option<&str>) -> Result<PersonName, No> {
    named("the name", text.unwrap_or_default())
}

async fn list(desk: &Desk, search: Option<String>, after: Option<String>, now: Timestamp) -> Result<Answer, No> {
    let filter = Filter {
        text: search.unwrap_or_default(),
        ..Filter::default()
    };
    let page = after.map_or(Page::First, Page::After);
    let page = desk
        .app
        .accounts
        .list_users(&filter, &page, PAGE, &Acting::command_line(), now)
        .await?;
    Ok(Answer::People {
        people: page.lines.iter().map(person).collect(),
        next: page.after,
    })
}

async fn show(desk: &Desk, who: &str, now: Timestamp) -> Result<Answer, No> {
    let user = found(desk, who).await?;
    Ok(Answer::Person(person_of(desk, user.id, now).await?))
}

pub(super) async fn person_of(desk: &Desk, id: UserId, now: Timestamp) -> Result<Person, No> {
    let listed = desk.app.accounts.user(id, &Acting::command_line(), now).await?;
    listed
        .as_ref()
        .map(person)
        .ok_or_else(|| no("no-such-user", "the account has just been deleted"))
}

fn person(listed: &Listed) -> Person {
    let user = &listed.user;
    Person {
        id: user.id.to_string(),
        email: user.email.as_ref().map(ToString::to_string),
        username: user.username.to_string(),
        given_name: user.given_name.to_string(),
        family_name: user.family_name.to_string(),
        status: user.status.word().to_owned(),
        roles: user.roles.iter().map(ToString::to_string).collect(),
        memberships: listed
            .memberships
            .iter()
            .map(|one| Member {
                team: one.team.to_string(),
                roles: one.roles.iter().map(ToString::to_string).collect(),
                permissions: one
                    .permissions
                    .iter()
                    .map(|(application, names)| (application.to_string(), names.iter().map(ToString::to_string).collect()))
                    .collect(),
                projects: one
                    .projects
                    .iter()
                    .map(|(project, level)| (project.to_string(), level.word().to_owned()))
                    .collect::<BTreeMap<_, _>>(),
                ip_pattern: one.ip_pattern.as_ref().map(ToString::to_string),
                idp: one.provider.as_ref().map(ToString::to_string),
            })
            .collect(),
    }
}

async fn change_role(desk: &Desk, who: &str, change: Change, now: Timestamp) -> Result<Answer, No> {
    let user = found(desk, who).await?;
    let live = desk.app.live();
    let by = Acting::command_line();
    let accounts = &desk.app.accounts;
    match change {
        Change::Set(role) => match role.as_str() {
            "admin" => edited(accounts.set_admin(user.id, true, &by, now).await?, &user, "now admin"),
            "user" => edited(accounts.set_admin(user.id, false, &by, now).await?, &user, "now user"),
            other => Err(no(
                "not-set",
                format!("only `admin` and `user` are set; give another role besides with --add {other}"),
            )),
        },
        Change::Add(role) => {
            let role = named::<RoleName>("the role", &role)?;
            let (Some(role), _) = looks::role_for(&live.policies, &role)? else {
                return Err(no("team-role", format!("`{role}` is held within a team, not instance-wide")));
            };
            let done = format!("now {role} besides");
            edited(accounts.add_role(user.id, role, &by, now).await?, &user, &done)
        }
        Change::Remove(role) => {
            // The role may be gone from the policies; it can still be taken away.
            let role = named::<RoleName>("the role", &role)?;
            let done = format!("no longer {role}");
            edited(accounts.remove_role(user.id, role, &by, now).await?, &user, &done)
        }
    }
}

async fn token(desk: &Desk, who: &str, new: bool, now: Timestamp) -> Result<Answer, No> {
    let user = found(desk, who).await?;
    match desk.app.accounts.token_for(user.id, new, &Acting::command_line(), now).await? {
        TokenFor::Token(token) => Ok(Answer::Token(handed(desk, &token))),
        TokenFor::NotFound => Err(no("no-such-user", format!("{} is gone", user.username))),
        TokenFor::Disabled => Err(no(
            "disabled",
            format!("{0} is disabled; enable the account first with `user enable {0}`", user.username),
        )),
    }
}

fn handed(desk: &Desk, token: &ShownToken) -> Handed {
    let page = if token.kind == TokenKind::Registration {
        "/.portcullis/account/new"
    } else {
        "/.portcullis/account/reset/token"
    };
    Handed {
        kind: token.kind.word().to_owned(),
        token: token.text.clone(),
        expires: token.expires.to_string(),
        url: format!("{}{page}", desk.app.live().settings.public_url.origin()),
    }
}

async fn sessions(desk: &Desk, user: Option<String>, now: Timestamp) -> Result<Answer, No> {
    let people = match user {
        Some(who) => vec![found(desk, &who).await?],
        None => everybody(&desk.app.accounts, now).await?.into_iter().map(|one| one.user).collect(),
    };
    let mut lines = Vec::new();
    for user in people {
        for line in desk.app.accounts.sessions_of(user.id, now).await? {
            lines.push(session_line(&user, &line));
        }
    }
    Ok(Answer::Sessions(lines))
}

fn session_line(user: &User, line: &Line) -> SessionLine {
    let session = &line.session;
    SessionLine {
        id: session.id.to_string(),
        user: user.username.to_string(),
        method: session.signed_in.method.word().to_owned(),
        since: session.created.to_string(),
        last_seen: line.last_seen.to_string(),
        ends: session.expires.min(line.idle_end).to_string(),
        address: session.address.map(|address| address.to_string()),
        agent: session.agent.clone(),
    }
}

async fn end_session(desk: &Desk, id: &str, now: Timestamp) -> Result<Answer, No> {
    let session: SessionId = named("the session's id", id)?;
    if desk.app.accounts.end_session(session, &Acting::command_line(), now).await? {
        Ok(Answer::Done(format!("session {id} ended")))
    } else {
        Err(no(
            "no-such-session",
            format!("there is no live session `{id}`; see `session list`"),
        ))
    }
}
