//! What comes back from a gateway: the shapes that `--json` prints.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::server::doctor::Fault;

/// The answer to one [`Request`](super::Request).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "answer", content = "with", rename_all = "kebab-case")]
pub enum Answer {
    /// How the gateway is.
    Health(Health),
    /// What the doctor found.
    Examined(Vec<Fault>),
    /// It is done; the words say what.
    Done(String),
    /// The policies in the files are in force.
    Reloaded(InForce),
    /// Findings about the policies, and what they would end.
    Checked(StoreCheck),
    /// Who gains and who loses access.
    Differs(Diff),
    /// An explanation: as text, and as a record.
    Explained {
        /// For people.
        text: String,
        /// For scripts.
        record: serde_json::Value,
    },
    /// Whom a request is open to.
    WhoCan(Vec<WhoLine>),
    /// What is open to somebody.
    Can(Vec<Opening>),
    /// A person was added.
    Added(Added),
    /// People, and where the next page begins.
    People {
        /// This page.
        people: Vec<Person>,
        /// What to ask for next; nothing at the end.
        next: Option<String>,
    },
    /// One person.
    Person(Person),
    /// A token to hand over.
    Token(Handed),
    /// One invitation, with the link to hand over where no mail is set up.
    Invitation(InvitationLine),
    /// Invitations, the newest first, and where the next page begins.
    Invitations {
        /// This page.
        invitations: Vec<InvitationLine>,
        /// What to ask for next; nothing at the end.
        next: Option<String>,
    },
    /// Live sessions.
    Sessions(Vec<SessionLine>),
    /// Teams.
    Teams(Vec<TeamLine>),
    /// Projects.
    Projects(Vec<ProjectLine>),
    /// Letters, the newest first, and where the next page begins.
    Letters {
        /// This page.
        letters: Vec<LetterLine>,
        /// What to ask for next; nothing at the end.
        next: Option<String>,
    },
    /// Locks in force.
    Bans(Vec<Ban>),
    /// The audit trail was followed.
    Verified(Verified),
    /// A page of the audit trail.
    Audit(AuditPage),
    /// No.
    Refused(Refused),
}

/// An invitation.
#[derive(Clone, Serialize, Deserialize)]
pub struct InvitationLine {
    /// Its id.
    pub id: String,
    /// Whom it is for.
    pub email: String,
    /// To which team.
    pub team: String,
    /// `sent`, `opened`, `token-sent`, `locked`, `bounced` or `ended`.
    pub status: String,
    /// When it was sent, the last time, RFC 3339.
    pub sent: String,
    /// When it ends, RFC 3339.
    pub expires: String,
    /// Username of who invited; nothing for the command line.
    pub by: Option<String>,
    /// The link to hand over; nothing where it was mailed, or has ended.
    pub link: Option<String>,
    /// The token to hand over; nothing where it was mailed, or there is none.
    pub token: Option<String>,
}

impl std::fmt::Debug for InvitationLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InvitationLine")
            .field("id", &self.id)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// A team, with what may be given in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TeamLine {
    /// Its name.
    pub name: String,
    /// What people call it.
    pub title: String,
    /// Team roles.
    pub roles: Vec<String>,
    /// Applications, with all their permissions.
    pub permissions: BTreeMap<String, BTreeSet<String>>,
    /// SAML identity providers.
    pub idps: Vec<String>,
    /// How many members it may have; nothing is any number.
    pub seats: Option<u32>,
}

/// A project.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProjectLine {
    /// Its id.
    pub id: String,
    /// Its team.
    pub team: String,
    /// What it is called.
    pub name: String,
}

/// A letter. What it says is shown to nobody.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LetterLine {
    /// Its id.
    pub id: String,
    /// To whom.
    pub to: String,
    /// What it is.
    pub title: String,
    /// `waiting`, `sent` or `failed`.
    pub status: String,
    /// When it was written, RFC 3339.
    pub made: String,
    /// How often it was tried.
    pub tries: u32,
    /// What the mail server said the last time.
    pub said: String,
}

/// The policies in the files are in force.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InForce {
    /// Their generation.
    pub generation: String,
    /// Warnings, as people read them.
    pub warnings: Vec<String>,
    /// What was ended by them.
    pub ended: Ended,
}

/// What a store and a running server have to say about policies.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StoreCheck {
    /// Findings.
    pub findings: Vec<Finding>,
    /// What these policies would end, were they in force now; nothing where no server runs, or where they cannot be put in force.
    pub will_end: Option<Ended>,
}

/// What policies would mean for people, were they in force.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Diff {
    /// The generation in force.
    pub before: String,
    /// The generation that the policies make.
    pub after: String,
    /// How many people were looked at.
    pub people: usize,
    /// Who may go where they could not.
    pub gain: Vec<Concerned>,
    /// Who no longer may go where they could.
    pub lose: Vec<Concerned>,
    /// The places.
    pub places: Vec<MovedPlace>,
}

/// A person whom a change concerns.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Concerned {
    /// Id.
    pub id: String,
    /// Username.
    pub username: String,
    /// Applications, by title.
    pub applications: Vec<String>,
}

/// A place that means something else to somebody.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MovedPlace {
    /// The application's title.
    pub application: String,
    /// Methods and path, as the rule names them.
    pub place: String,
    /// How many may go there and could not.
    pub gain: usize,
    /// How many could and no longer may.
    pub lose: usize,
}

/// What a change of the policies ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Sessions in use whose person is no longer let in from where they signed in, or that were idle for too long.
    pub sessions: usize,
    /// WebSockets, answers and requests that were open.
    pub streams: usize,
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let plural = |count| if count == 1 { "" } else { "s" };
        let Self { sessions, streams } = *self;
        write!(f, "{sessions} session{}, {streams} stream{}", plural(sessions), plural(streams))
    }
}

/// A refusal: a stable code for scripts and words for people.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Refused {
    /// Stable: `no-such-user`, `last-admin`, `email-taken`, …
    pub code: String,
    /// What is wrong and how to mend it.
    pub message: String,
    /// More lines, such as the diagnostics of a reload.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
}

impl Answer {
    /// A refusal.
    pub fn refused(code: &str, message: impl Into<String>) -> Self {
        Self::Refused(Refused {
            code: code.to_owned(),
            message: message.into(),
            details: Vec::new(),
        })
    }
}

/// How a gateway is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Health {
    /// Requests are answered as the files say.
    pub ready: bool,
    /// Generation of the policies in force.
    pub generation: String,
    /// Why a policy that is not the one in the files is in force.
    pub stale: Option<String>,
    /// What else is wrong.
    pub problems: Vec<String>,
    /// Version of the running server.
    pub version: String,
}

/// A finding about policies.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Finding {
    /// `E111`, `W250`, …
    pub code: String,
    /// `error`, `warning` or `info`.
    pub level: String,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub help: Option<String>,
}

/// A person a request is open to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WhoLine {
    /// Stable id.
    pub id: String,
    /// Username.
    pub username: String,
    /// E-mail.
    pub email: Option<String>,
    /// `allow`, `step-up` or `sign-in` (by another method).
    pub outcome: String,
    /// What lets them in.
    pub because: String,
}

/// A path of an application that is open to somebody.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Opening {
    /// The application's name.
    pub application: String,
    /// Its title.
    pub title: String,
    /// The path pattern of the rule, or what stands for unlisted paths.
    pub path: String,
    /// Methods, empty for all.
    pub methods: Vec<String>,
    /// `allow`, `step-up`, `deny`, …
    pub outcome: String,
    /// The reason's stable code.
    pub because: String,
    /// File and line of the rule.
    pub at: Option<String>,
}

/// A change of instance-wide roles.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// `admin` or `user`.
    Set(String),
    /// Besides those held.
    Add(String),
    /// Of those held.
    Remove(String),
}

/// A person that was added: the person's fields, and the token's beside them if no password was given.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Added {
    /// Who.
    #[serde(flatten)]
    pub user: Person,
    /// What to hand over.
    #[serde(flatten)]
    pub token: Option<Handed>,
}

/// A person.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Person {
    /// Stable id.
    pub id: String,
    /// E-mail; missing only if a directory gives none.
    pub email: Option<String>,
    /// The name to sign in with.
    pub username: String,
    /// First name.
    pub given_name: String,
    /// Last name.
    pub family_name: String,
    /// `pending`, `active` or `disabled`.
    pub status: String,
    /// Instance-wide roles.
    pub roles: BTreeSet<String>,
    /// One for each team.
    pub memberships: Vec<Member>,
}

/// A person in a team.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Member {
    /// The team's name.
    pub team: String,
    /// Team roles.
    pub roles: BTreeSet<String>,
    /// Applications and the permissions ticked in each.
    pub permissions: BTreeMap<String, BTreeSet<String>>,
    /// Levels by project.
    pub projects: BTreeMap<String, String>,
    /// IP pattern, if one was given.
    pub ip_pattern: Option<String>,
    /// Identity provider, if one was given.
    pub idp: Option<String>,
}

/// A token to hand over.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Handed {
    /// `registration` or `reset`.
    pub kind: String,
    /// As shown.
    pub token: String,
    /// Until when, RFC 3339.
    pub expires: String,
    /// The page it is typed into.
    pub url: String,
}

/// A live session.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SessionLine {
    /// Id, for `session end`.
    pub id: String,
    /// Whose, by username.
    pub user: String,
    /// How they signed in.
    pub method: String,
    /// When, RFC 3339.
    pub since: String,
    /// Last request, RFC 3339; a minute coarse.
    pub last_seen: String,
    /// Ends at the latest, RFC 3339.
    pub ends: String,
    /// From where.
    pub address: Option<String>,
    /// The browser's words about itself.
    pub agent: String,
}

/// A lock after too many tries.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ban {
    /// Id, for `ban clear`.
    pub id: String,
    /// What is locked.
    pub scope: String,
    /// Tries counted.
    pub tries: u32,
    /// Until when, RFC 3339.
    pub until: String,
}

/// The audit trail was followed from one end to the other.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Verified {
    /// Whether every link holds.
    pub sound: bool,
    /// How many entries were read.
    pub entries: u64,
    /// Where it breaks.
    pub broken: Vec<String>,
}

/// A page of the audit trail.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AuditPage {
    /// Entries in their order.
    pub entries: Vec<serde_json::Value>,
    /// What to ask for next; nothing at the end.
    pub next: Option<String>,
}
