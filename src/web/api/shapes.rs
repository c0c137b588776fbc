//! The objects that rows take and give, and how records become them. Names are those that `--json` of the commands prints.

use serde_json::{Map, Value, json};

use crate::accounts::{Acting, Invited, ListedSession, SessionLine, ShownToken};
use crate::accounts::{AuditLine, Listed, Named, Reach, Went};
use crate::base::time::Timestamp;
use crate::model::event::Action;
use crate::model::id::{SessionId, UserId};
use crate::model::invitation::Progress;
use crate::model::membership::Membership;
use crate::model::message::{Message, MessageKind, MessageStanding, MessageState};
use crate::model::role::{Power, SignInMethod};
use crate::model::team::{Level, Project};
use crate::model::token::TokenKind;
use crate::model::user::UserStatus;

use super::super::cx::Cx;
use super::super::view::BASE;
use super::call::Call;
use super::shape::{ADDRESS, COUNT, EMAIL, Field, LINE, MOMENT, NAME, Object, Shape, TEXT, may, need};

/// A list of words.
macro_rules! words_of {
    ($kind:ty) => {
        Shape::Word(|| <$kind>::ALL.iter().map(|one| one.word()).collect())
    };
}
pub(super) use words_of;

/// A moment, or null.
pub const MOMENT_OR_NULL: Shape = Shape::Or(&MOMENT);
/// A name, or null.
pub const NAME_OR_NULL: Shape = Shape::Or(&NAME);
/// Names.
pub const NAMES: Shape = Shape::List(&NAME, 1000);
/// Texts.
pub const TEXTS: Shape = Shape::List(&TEXT, 1000);
/// Permissions by application.
pub const PERMISSIONS: Shape = Shape::Names(&NAMES, 1000);
/// Levels by project.
pub const LEVELS: Shape = Shape::Names(&words_of!(Level), 1000);
/// Where the next page begins.
pub const NEXT: Field = need(
    "next",
    Shape::Or(&TEXT),
    "What to send as `after` for the next page; null at the end",
);

/// Makes a list of an object.
macro_rules! page_of {
    ($(#[$doc:meta])* $name:ident, $text:literal, $of:ident) => {
        $(#[$doc])*
        pub const $name: Object = Object {
            name: $text,
            fields: &[need("items", Shape::List(&Shape::Object(&$of), 1000), ""), NEXT],
        };
    };
}

/// Somebody's membership of a team.
pub const MEMBERSHIP: Object = Object {
    name: "Membership",
    fields: &[
        need("team", NAME, "The team's name"),
        need("roles", NAMES, "Team roles"),
        need(
            "permissions",
            PERMISSIONS,
            "Applications that were given, with the permissions ticked in each",
        ),
        need("projects", LEVELS, "Levels by a project's id"),
        need("ip_pattern", NAME_OR_NULL, "It counts only from inside this IP pattern"),
        need("idp", NAME_OR_NULL, "It counts only in sessions through this identity provider"),
    ],
};

/// A token to hand over.
pub const TOKEN: Object = Object {
    name: "Token",
    fields: &[
        need("kind", Shape::Word(|| vec!["registration", "reset", "email"]), ""),
        need("token", NAME, "As it is shown to its person"),
        need("expires", MOMENT, ""),
        need("tries_left", COUNT, "Wrong guesses that are left"),
        need("url", TEXT, "The page that it is typed into"),
    ],
};

/// A person.
pub const USER: Object = Object {
    name: "User",
    fields: &[
        need("id", NAME, "For ever"),
        need("email", Shape::Or(&EMAIL), "Missing only if a directory gives none"),
        need("username", NAME, ""),
        need("given_name", TEXT, ""),
        need("family_name", TEXT, ""),
        need("status", words_of!(UserStatus), ""),
        need(
            "roles",
            NAMES,
            "Instance-wide roles besides `user`, which every active person holds",
        ),
        need(
            "memberships",
            Shape::List(&Shape::Object(&MEMBERSHIP), 1000),
            "Those in teams within your reach",
        ),
        need(
            "tokens",
            Shape::List(&Shape::Object(&TOKEN), 10),
            "Tokens to be handed over; none to whoever may not change the account",
        ),
        need("changeable", Shape::Flag, "Whether you may change the account"),
        need("created", MOMENT, ""),
        need(
            "last_seen",
            MOMENT_OR_NULL,
            "The last request of any of their sessions, a minute coarse",
        ),
    ],
};

/// A page of people.
pub const USERS: Object = Object {
    name: "Users",
    fields: &[
        need("items", Shape::List(&Shape::Object(&USER), 1000), "By name"),
        NEXT,
        need("total", COUNT, "How many the search finds"),
    ],
};

/// A person in few words.
pub const PERSON: Object = Object {
    name: "Person",
    fields: &[need("id", NAME, ""), need("name", TEXT, ""), need("email", Shape::Or(&EMAIL), "")],
};

/// A live session.
pub const SESSION: Object = Object {
    name: "Session",
    fields: &[
        need("id", NAME, "Not the secret that opens it"),
        need("user", Shape::Object(&PERSON), ""),
        need("method", words_of!(SignInMethod), "How they signed in"),
        need("idp", NAME_OR_NULL, "Through which identity provider or directory"),
        need("mfa", Shape::Flag, "Whether a second factor was shown"),
        need("address", Shape::Or(&ADDRESS), "From where they signed in"),
        need("agent", TEXT, "What the browser says of itself"),
        need("since", MOMENT, ""),
        need("last_seen", MOMENT, "A minute coarse"),
        need("ends", MOMENT, "At the latest, unless it is used"),
        need("current", Shape::Flag, "Whether it is yours, of this request"),
        need("changeable", Shape::Flag, "Whether you may end it"),
    ],
};

page_of!(
    /// A page of sessions.
    SESSIONS,
    "Sessions",
    SESSION
);

/// An invitation.
pub const INVITATION: Object = Object {
    name: "Invitation",
    fields: &[
        need("id", NAME, ""),
        need("email", EMAIL, "Whom it is for"),
        need("offer", Shape::Object(&MEMBERSHIP), "What they will have"),
        need("status", words_of!(Progress), "How far it has come"),
        need("sent", MOMENT, "The last time"),
        need("expires", MOMENT, ""),
        need(
            "by",
            Shape::Or(&TEXT),
            "The name of who invited, if it was a person who is still there",
        ),
        need(
            "link",
            Shape::Or(&TEXT),
            "To be handed over; null where it was mailed, has ended, or promises what you may not give",
        ),
        need(
            "token",
            NAME_OR_NULL,
            "The token that confirms the address, to be handed over; null likewise, or where there is none",
        ),
    ],
};

/// A page of invitations.
pub const INVITATIONS: Object = Object {
    name: "Invitations",
    fields: &[
        need("items", Shape::List(&Shape::Object(&INVITATION), 1000), "The newest first"),
        NEXT,
        need("total", COUNT, "How many the search finds"),
    ],
};

/// A team, with what may be given in it.
pub const TEAM: Object = Object {
    name: "Team",
    fields: &[
        need("name", NAME, ""),
        need("title", TEXT, ""),
        need("roles", NAMES, "Roles that you may give in it"),
        need(
            "permissions",
            PERMISSIONS,
            "Applications that may be given in it, with all their permissions",
        ),
        need("idps", NAMES, "SAML identity providers that its members may be bound to"),
        need("seats", Shape::Or(&COUNT), "How many members it may have; null is any number"),
    ],
};

page_of!(
    /// Teams.
    TEAMS,
    "Teams",
    TEAM
);

/// A project.
pub const PROJECT: Object = Object {
    name: "Project",
    fields: &[
        need("id", NAME, ""),
        need("team", NAME, ""),
        need("name", TEXT, "Upstreams are told this"),
    ],
};

page_of!(
    /// Projects.
    PROJECTS,
    "Projects",
    PROJECT
);

/// An application.
pub const APPLICATION: Object = Object {
    name: "Application",
    fields: &[
        need("name", NAME, ""),
        need("title", TEXT, ""),
        need("hosts", TEXTS, ""),
        need("path", TEXT, ""),
        need("upstreams", TEXTS, ""),
        need("health", TEXT, "How its servers do, as far as this server has met them"),
        need("permissions", Shape::List(&Shape::Object(&PERMISSION), 1000), ""),
        need(
            "memberships",
            Shape::Or(&COUNT),
            "How many within your reach were given it; null while that is counted",
        ),
        need("at", TEXT, "File and line"),
    ],
};

/// A permission.
pub const PERMISSION: Object = Object {
    name: "Permission",
    fields: &[
        need("name", NAME, ""),
        need("title", TEXT, ""),
        need("help", TEXT, ""),
        need("implies", NAMES, "Others of the application that come with it"),
    ],
};

page_of!(
    /// Applications.
    APPLICATIONS,
    "Applications",
    APPLICATION
);

/// An IP pattern.
pub const IP_PATTERN: Object = Object {
    name: "IpPattern",
    fields: &[
        need("name", NAME, ""),
        need("title", TEXT, ""),
        need("include", TEXTS, "As written"),
        need("exclude", TEXTS, "As written"),
        need(
            "memberships",
            Shape::Or(&COUNT),
            "How many within your reach are bound to it; null while that is counted",
        ),
        need(
            "contains",
            Shape::Or(&Shape::Flag),
            "Whether it contains the address that was asked about; null if none was",
        ),
        need("at", TEXT, "File and line"),
    ],
};

page_of!(
    /// IP patterns.
    IP_PATTERNS,
    "IpPatterns",
    IP_PATTERN
);

/// An identity provider or directory.
pub const PROVIDER: Object = Object {
    name: "IdentityProvider",
    fields: &[
        need("name", NAME, ""),
        need("title", TEXT, ""),
        need("kind", words_of!(crate::policy::definitions::ProviderKind), ""),
        need("email_domains", TEXTS, "Only addresses of these are believed; `*` is all"),
        need("team", NAME_OR_NULL, "Whoever joins here is of this team"),
        need(
            "memberships",
            Shape::Or(&COUNT),
            "How many are bound to it; null while that is counted",
        ),
        need("at", TEXT, "File and line"),
    ],
};

page_of!(
    /// Identity providers and directories.
    PROVIDERS,
    "IdentityProviders",
    PROVIDER
);

/// A rule of an application.
pub const RULE: Object = Object {
    name: "Rule",
    fields: &[
        need("app", NAME, ""),
        need("paths", TEXTS, ""),
        need("methods", TEXTS, "Empty is every one"),
        need("access", TEXT, "Whom it lets in"),
        need("at", TEXT, "File and line"),
    ],
};

/// A test of the policy.
pub const TEST: Object = Object {
    name: "PolicyTest",
    fields: &[
        need("name", TEXT, ""),
        need("expected", TEXT, "What it expects; it held, or the policy would not be in force"),
        need("at", TEXT, "File and line"),
    ],
};

/// The policy in force.
pub const POLICY: Object = Object {
    name: "Policy",
    fields: &[
        need("generation", NAME, ""),
        need("since", MOMENT_OR_NULL, "Since when it is in force; null if that is not known"),
        need(
            "stale_since",
            MOMENT_OR_NULL,
            "Since when the files say something else that cannot be used; null if they do not",
        ),
        need("files", TEXTS, ""),
        need("findings", TEXTS, "Warnings"),
        need("tests", Shape::List(&Shape::Object(&TEST), 100_000), ""),
        need(
            "rules",
            Shape::List(&Shape::Object(&RULE), 100_000),
            "In the order in which they are looked at",
        ),
    ],
};

/// A step of an explanation.
pub const STEP: Object = Object {
    name: "Step",
    fields: &[
        need("step", TEXT, "What was looked at"),
        need("found", TEXT, "What was found"),
        need("at", Shape::Or(&TEXT), "File and line"),
        need("note", Shape::Or(&TEXT), ""),
    ],
};

/// A decision that was made.
pub const MADE: Object = Object {
    name: "MadeDecision",
    fields: &[
        need("decision", NAME, "Its id"),
        need("request", NAME, "The request's id"),
        need("at", TEXT, ""),
        need("generation", TEXT, "By which policy"),
        need(
            "differs",
            Shape::Or(&TEXT),
            "How it differs from what the policy in force says; null if it does not",
        ),
    ],
};

/// Why a request is let in or not.
pub const EXPLANATION: Object = Object {
    name: "Explanation",
    fields: &[
        need("decision", TEXT, "`allow`, `deny`, `sign-in`, `step-up`, …"),
        need("reason", TEXT, "The stable code of the reason"),
        need("generation", TEXT, "Which policy explains"),
        need("app", Shape::Or(&TEXT), ""),
        need("request", TEXT, "Method and address"),
        need("steps", Shape::List(&Shape::Object(&STEP), 1000), ""),
        need("to_allow", TEXTS, "What would have to change for a yes"),
        need(
            "made",
            Shape::Or(&Shape::Object(&MADE)),
            "The decision, where it was asked for by its id",
        ),
    ],
};

/// Whom an entry of the audit trail names.
pub const NAMED: Object = Object {
    name: "Named",
    fields: &[
        need(
            "kind",
            Shape::Word(|| vec!["person", "other", "hidden"]),
            "`hidden` is somebody out of your reach",
        ),
        need("id", Shape::Or(&TEXT), ""),
        need("name", Shape::Or(&TEXT), ""),
    ],
};

/// An entry of the audit trail.
pub const ENTRY: Object = Object {
    name: "AuditEntry",
    fields: &[
        need("number", COUNT, "From 1, without a gap"),
        need("at", MOMENT, ""),
        need("event", words_of!(Action), ""),
        need("outcome", words_of!(Went), ""),
        need("actor", Shape::Object(&NAMED), "Who did it"),
        need("target", Shape::Or(&Shape::Object(&NAMED)), "To whom or what"),
        need("address", Shape::Or(&ADDRESS), "From where"),
        need("details", Shape::Names(&TEXT, 1000), ""),
    ],
};

/// A page of the audit trail.
pub const ENTRIES: Object = Object {
    name: "AuditEntries",
    fields: &[
        need("items", Shape::List(&Shape::Object(&ENTRY), 1000), "The newest first"),
        NEXT,
        need(
            "unfinished",
            Shape::Flag,
            "Whether the search stopped short of a full page; go on with `next`",
        ),
    ],
};

/// What is known of the chain of the audit trail.
pub const CHAIN: Object = Object {
    name: "AuditCheck",
    fields: &[
        need(
            "state",
            Shape::Word(|| vec!["unchecked", "checking", "whole", "broken", "failed"]),
            "",
        ),
        need("at", MOMENT_OR_NULL, "When the check was begun"),
        need("entries", Shape::Or(&COUNT), "How many were looked at"),
        need("broken", Shape::Or(&TEXT), "The first fault"),
    ],
};

/// A part of the server.
pub const PART: Object = Object {
    name: "Part",
    fields: &[
        need("name", TEXT, ""),
        need("state", Shape::Word(|| vec!["ok", "warn", "bad", "none"]), ""),
        need("words", TEXT, ""),
        need("detail", TEXT, ""),
    ],
};

/// Something that ends.
pub const ENDING: Object = Object {
    name: "Ending",
    fields: &[
        need("what", TEXT, ""),
        need("at", MOMENT, ""),
        need("soon", Shape::Flag, "Whether it needs attention"),
    ],
};

/// How the server does.
pub const HEALTH: Object = Object {
    name: "Health",
    fields: &[
        need("version", TEXT, ""),
        need("began", MOMENT, ""),
        need("parts", Shape::List(&Shape::Object(&PART), 1000), ""),
        need("calendar", Shape::List(&Shape::Object(&ENDING), 1000), "What ends, the first first"),
    ],
};

/// A letter.
pub const LETTER: Object = Object {
    name: "Letter",
    fields: &[
        need("id", NAME, ""),
        need("to", EMAIL, ""),
        need("title", TEXT, ""),
        need("kind", words_of!(MessageKind), ""),
        need("status", words_of!(MessageStanding), ""),
        need("made", MOMENT, ""),
        need("tries", COUNT, ""),
        need("said", TEXT, "What the mail server said the last time"),
        need("next_try", MOMENT_OR_NULL, ""),
        need("why", Shape::Or(&NAME), "Why it is not tried any more"),
    ],
};

page_of!(
    /// A page of letters, the newest first.
    LETTERS,
    "Letters",
    LETTER
);

/// Who asks, and what they may.
pub const ME: Object = Object {
    name: "Me",
    fields: &[
        need("kind", Shape::Word(|| vec!["user", "service"]), ""),
        need("id", NAME, ""),
        need("name", TEXT, ""),
        need("powers", Shape::List(&words_of!(Power), 100), "In the whole instance"),
        need("teams", Shape::Names(&Shape::List(&words_of!(Power), 100), 1000), "Powers by team"),
    ],
};

/// Somebody to add.
pub const NEW_USER: Object = Object {
    name: "NewUser",
    fields: &[
        need("email", EMAIL, "It counts as verified"),
        may(
            "username",
            Shape::Text {
                least: 1,
                most: 64,
                format: "",
            },
            "Made of the address if it is not said",
        ),
        need("given_name", NEW_NAME, ""),
        need("family_name", NEW_NAME, ""),
    ],
};

/// A name to be given.
const NEW_NAME: Shape = Shape::Text {
    least: 1,
    most: 100,
    format: "",
};

/// A change of the instance-wide role.
pub const NEW_ROLE: Object = Object {
    name: "NewRole",
    fields: &[need(
        "role",
        Shape::Word(|| vec!["admin", "user"]),
        "`user` takes `admin` away; other roles stay",
    )],
};

const ROLES_IN: Field = may("roles", NAMES, "Team roles");
const PERMISSIONS_IN: Field = may("permissions", PERMISSIONS, "Applications, with the permissions ticked in each");
const PROJECTS_IN: Field = may("projects", LEVELS, "Levels by a project's id");
const IP_PATTERN_IN: Field = may("ip_pattern", NAME_OR_NULL, "It counts only from inside this IP pattern");
const IDP_IN: Field = may("idp", NAME_OR_NULL, "It counts only in sessions through this identity provider");

/// What somebody has in a team, all of it.
pub const OFFER: Object = Object {
    name: "Offer",
    fields: &[
        may("team", NAME, "As it was read; the address says which team it is"),
        ROLES_IN,
        PERMISSIONS_IN,
        PROJECTS_IN,
        IP_PATTERN_IN,
        IDP_IN,
    ],
};

/// Somebody to invite.
pub const NEW_INVITATION: Object = Object {
    name: "NewInvitation",
    fields: &[
        need("email", EMAIL, ""),
        need("team", NAME, ""),
        ROLES_IN,
        PERMISSIONS_IN,
        PROJECTS_IN,
        IP_PATTERN_IN,
        IDP_IN,
    ],
};

/// What somebody would be invited with.
pub const TO_PREVIEW: Object = Object {
    name: "ToPreview",
    fields: &[
        may("email", EMAIL, ""),
        need("team", NAME, ""),
        ROLES_IN,
        PERMISSIONS_IN,
        PROJECTS_IN,
        IP_PATTERN_IN,
        IDP_IN,
    ],
};

/// How an application will answer a person-to-be.
pub const FORESEEN: Object = Object {
    name: "Foreseen",
    fields: &[
        need("app", NAME, ""),
        need("decision", NAME, ""),
        need("reason", NAME, "The stable code"),
        need("ip_patterns", NAMES, "From inside all of these; empty is any address"),
        need("anywhere", Shape::Flag, "Whether these have an address in common"),
    ],
};

page_of!(
    /// What a person-to-be will reach.
    REACH,
    "Reach",
    FORESEEN
);

/// What may be copied of a membership.
pub const COPY: Object = Object {
    name: "Copy",
    fields: &[need("permissions", PERMISSIONS, ""), need("projects", LEVELS, "")],
};

/// A project to make.
pub const NEW_PROJECT: Object = Object {
    name: "NewProject",
    fields: &[need("team", NAME, ""), need("name", NEW_NAME, "")],
};

/// Another name of a project.
pub const PROJECT_NAME: Object = Object {
    name: "ProjectName",
    fields: &[need("name", NEW_NAME, "")],
};

/// An address whose sessions end.
pub const FROM_ADDRESS: Object = Object {
    name: "FromAddress",
    fields: &[need("address", ADDRESS, "Where they were made from")],
};

/// How many sessions have ended.
pub const ENDED: Object = Object {
    name: "Ended",
    fields: &[need("ended", COUNT, "How many sessions")],
};

/// An IP pattern to check.
pub const NEW_IP_PATTERN: Object = Object {
    name: "NewIpPattern",
    fields: &[
        need("name", NAME, ""),
        may("title", LINE, ""),
        need("include", Shape::List(&NAME, 500), "Addresses, networks, ranges"),
    ],
};

/// A piece of a policy file.
pub const TOML: Object = Object {
    name: "Toml",
    fields: &[need("toml", TEXT, "What to put into a file")],
};

/// A token, as JSON.
pub fn token(cx: &Cx<'_>, token: &ShownToken) -> Value {
    let page = match token.kind {
        TokenKind::Registration => "/account/new",
        TokenKind::Reset | TokenKind::Email => "/account/reset/token",
    };
    json!({
        "kind": token.kind.word(),
        "token": token.text,
        "expires": token.expires.to_string(),
        "tries_left": token.tries_left,
        "url": format!("{}{BASE}{page}", cx.portal().origin()),
    })
}

/// A membership, or what one will be, as JSON.
pub fn membership(one: &Membership) -> Value {
    json!({
        "team": one.team.as_str(),
        "roles": one.roles.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "permissions": one.permissions,
        "projects": one.projects,
        "ip_pattern": one.ip_pattern.as_ref().map(ToString::to_string),
        "idp": one.provider.as_ref().map(ToString::to_string),
    })
}

/// A person, as JSON. What they have in a team that whoever looks does not administer is not theirs to know.
pub fn user(cx: &Cx<'_>, line: &Listed, by: &Acting) -> Value {
    let user = &line.user;
    let memberships = line.memberships.iter().filter(|one| by.reaches(&one.team));
    json!({
        "id": user.id.to_string(),
        "email": user.email.as_ref().map(ToString::to_string),
        "username": user.username.as_str(),
        "given_name": user.given_name.to_string(),
        "family_name": user.family_name.to_string(),
        "status": user.status.word(),
        "roles": user.roles.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "memberships": memberships.map(membership).collect::<Vec<_>>(),
        "tokens": line.tokens.iter().map(|one| token(cx, one)).collect::<Vec<_>>(),
        "changeable": line.changeable,
        "created": user.created.to_string(),
        "last_seen": moment(line.last_seen),
    })
}

/// A person in few words, as JSON.
pub fn person(user: &crate::model::user::User) -> Value {
    json!({
        "id": user.id.to_string(),
        "name": user.display_name(),
        "email": user.email.as_ref().map(ToString::to_string),
    })
}

/// A session, as JSON.
pub fn session(line: &SessionLine, user: &crate::model::user::User, changeable: bool, own: Option<SessionId>) -> Value {
    let session = &line.session;
    let current = own == Some(session.id);
    json!({
        "id": session.id.to_string(),
        "user": person(user),
        "method": session.signed_in.method.word(),
        "idp": session.signed_in.provider.as_ref().map(ToString::to_string),
        "mfa": session.signed_in.mfa,
        "address": session.address.map(|address| address.to_string()),
        "agent": session.agent,
        "since": session.created.to_string(),
        "last_seen": line.last_seen.to_string(),
        "ends": session.expires.min(line.idle_end).to_string(),
        "current": current,
        "changeable": changeable && !current,
    })
}

/// A session of anybody, as JSON.
pub fn listed_session(call: &Call<'_>, listed: &ListedSession) -> Value {
    session(&listed.line, &listed.user, listed.changeable, call.own_session())
}

/// An invitation, as JSON.
pub fn invitation(cx: &Cx<'_>, invited: &Invited) -> Value {
    let one = &invited.invitation;
    let link = invited.link.as_ref();
    json!({
        "id": one.id.to_string(),
        "email": one.email.to_string(),
        "offer": membership(&one.offer.clone().to(UserId::from_number(0))),
        "status": invited.progress.word(),
        "sent": one.sent.to_string(),
        "expires": one.expires.to_string(),
        "by": invited.by.as_ref().map(crate::model::user::User::display_name),
        "link": link.map(|secret| format!("{}{BASE}/invite/{}", cx.portal().origin(), secret.expose())),
        "token": invited.token.as_ref().map(|token| token.text.clone()),
    })
}

/// A project, as JSON.
pub fn project(project: &Project) -> Value {
    json!({ "id": project.id.to_string(), "team": project.team.as_str(), "name": project.name.to_string() })
}

/// A letter, as JSON. What it says is shown to nobody.
pub fn letter(letter: &Message) -> Value {
    let why = match &letter.state {
        MessageState::Failed { why, .. } => Some(why.word()),
        MessageState::Waiting { .. } | MessageState::Sent { .. } => None,
    };
    json!({
        "id": letter.id.to_string(),
        "to": letter.to.to_string(),
        "title": letter.title,
        "kind": letter.kind.word(),
        "status": letter.standing().word(),
        "made": letter.made.to_string(),
        "tries": letter.tries,
        "said": letter.said(),
        "next_try": moment(letter.next_try()),
        "why": why,
    })
}

/// An entry of the audit trail, as JSON. Identifiers of people out of reach are left out.
pub fn entry(line: &AuditLine, by: &Acting) -> Value {
    let named = |named: &Named| match named {
        Named::Person(user, name) => json!({ "kind": "person", "id": user.to_string(), "name": name }),
        Named::Other(text) => json!({ "kind": "other", "id": text, "name": null }),
        Named::Hidden => json!({ "kind": "hidden", "id": null, "name": null }),
    };
    let event = &line.entry.event;
    let all = by.reach == Reach::All;
    let details = event.details.iter().filter(|(_, value)| all || value.parse::<UserId>().is_err());
    json!({
        "number": line.entry.number,
        "at": event.at.to_string(),
        "event": event.action.word(),
        "outcome": Went::of(event.action).word(),
        "actor": named(&line.actor),
        "target": line.target.as_ref().map(named),
        "address": line.address.map(|address| address.to_string()),
        "details": details.map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect::<Map<_, _>>(),
    })
}

/// A moment or null, as JSON.
pub fn moment(at: Option<Timestamp>) -> Value {
    at.map(|at| at.to_string()).into()
}

/// Items and where the next page begins, as JSON.
pub fn page(items: Vec<Value>, next: Option<String>) -> Value {
    let mut page = Map::new();
    page.insert("items".to_owned(), items.into());
    page.insert("next".to_owned(), next.into());
    page.into()
}

/// The teams within reach, in the order of the policy.
pub fn teams<'p>(cx: &Cx<'p>, by: &Acting) -> Vec<&'p crate::policy::definitions::Team> {
    let teams = cx.live.policies.definitions().teams.iter();
    teams.filter(|team| by.reaches(&team.name)).collect()
}
