//! What the commands ask of a gateway, whether over its control socket or with the store opened for one command.
//!
//! One JSON line asks, one JSON line answers. [`Request`] and [`Answer`] are also what `--json` prints, so their names are promises to scripts.

mod answer;
mod deeds;
mod invitations;
mod keeping;
mod looks;
mod mail;

mod socket;
mod teams;

pub use self::answer::{
    Added, Answer, AuditPage, Ban, Change, Concerned, Diff, Ended, Finding, Handed, Health, InForce, InvitationLine, Member, MovedPlace,
    Opening, Person, Refused, SessionLine, StoreCheck, Verified, WhoLine,
};

pub use self::deeds::execute;
pub use self::keeping::chain;
pub use self::socket::{AskError, ask, listen};
pub use answer::{LetterLine, ProjectLine, TeamLine};

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One thing a command wants.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Request {
    /// Whether requests are answered, and by which rules.
    Health,
    /// What the doctor cannot see from outside.
    Doctor,
    /// Read settings and policies again.
    Reload,
    /// Findings about policies that only the store can tell, and what they would end that is open.
    CheckStore {
        /// Their folder; that of the settings if not given.
        policies: Option<PathBuf>,
    },
    /// Who gains and who loses access by policies, were they in force.
    Diff {
        /// Their folder; that of the settings if not given.
        policies: Option<PathBuf>,
    },
    /// How a request is decided, step by step.
    Explain {
        /// Who asks.
        who: Subject,
        /// From where.
        from: Option<IpAddr>,
        /// When, RFC 3339; now if not given.
        at: Option<String>,
        /// `METHOD URL`; empty with [`Subject::Decision`], which knows its own.
        request: String,
    },
    /// Whom a request is open to.
    WhoCan {
        /// `METHOD URL`.
        request: String,
        /// From where.
        from: Option<IpAddr>,
    },
    /// What is open to a person.
    Can {
        /// Id, e-mail or username.
        user: String,
        /// From where.
        from: Option<IpAddr>,
    },
    /// Add a person.
    UserAdd(NewPerson),
    /// A page of people.
    UserList {
        /// Part of a name, username or e-mail.
        search: Option<String>,
        /// The `next` of the page before.
        after: Option<String>,
    },
    /// One person.
    UserShow {
        /// Id, e-mail or username.
        who: String,
    },
    /// Change instance-wide roles.
    UserRole {
        /// Id, e-mail or username.
        who: String,
        /// What to change.
        change: Change,
    },
    /// Shut out, ending all sessions.
    UserDisable {
        /// Id, e-mail or username.
        who: String,
    },
    /// Let in again.
    UserEnable {
        /// Id, e-mail or username.
        who: String,
    },
    /// Delete.
    UserDelete {
        /// Id, e-mail or username.
        who: String,
    },
    /// The live registration or reset token, made where there is none.
    UserToken {
        /// Id, e-mail or username.
        who: String,
        /// Replace a live one.
        new: bool,
    },
    /// Invite somebody.
    InviteCreate(NewInvitee),
    /// A page of invitations, the newest first.
    InviteList {
        /// Part of an address.
        search: Option<String>,
        /// To this team.
        team: Option<String>,
        /// That have come so far.
        status: Option<String>,
        /// The `next` of the page before.
        after: Option<String>,
    },
    /// Send an invitation again, under another link.
    InviteResend {
        /// Its id, or the address if it has one invitation only.
        which: String,
    },
    /// Give an open invitation more time.
    InviteExtend {
        /// Its id, or the address if it has one invitation only.
        which: String,
    },
    /// Change what an invitation promises, all of it; its link stays.
    InviteChange {
        /// Its id, or the address if it has one invitation only.
        which: String,
        /// What they will have.
        gifts: Gifts,
    },
    /// Withdraw an invitation.
    InviteWithdraw {
        /// Its id, or the address if it has one invitation only.
        which: String,
    },
    /// Live sessions.
    SessionList {
        /// Of this person only.
        user: Option<String>,
    },
    /// End a session.
    SessionEnd {
        /// Which.
        id: String,
    },
    /// End all sessions of a person.
    SessionEndAll {
        /// Id, e-mail or username.
        user: String,
    },
    /// End all sessions that were made from an address.
    SessionEndFrom {
        /// Which.
        address: IpAddr,
    },
    /// Every team, with what may be given in it.
    TeamList,
    /// Change what somebody has in a team, all of it.
    TeamSet {
        /// Id, e-mail or username.
        who: String,
        /// In which team.
        team: String,
        /// What they have then.
        gifts: Gifts,
    },
    /// Take somebody out of a team.
    TeamRemove {
        /// Id, e-mail or username.
        who: String,
        /// Out of which team.
        team: String,
    },
    /// The projects of a team, or of all.
    ProjectList {
        /// Of this team only.
        team: Option<String>,
    },
    /// Make a project.
    ProjectAdd {
        /// In which team.
        team: String,
        /// What it is called.
        name: String,
    },
    /// Give a project another name.
    ProjectRename {
        /// Its id.
        id: String,
        /// What it is called then.
        name: String,
    },
    /// Remove a project.
    ProjectDelete {
        /// Its id.
        id: String,
    },
    /// A page of letters, the newest first.
    MailList {
        /// That stand so: `waiting` or `failed`.
        status: Option<String>,
        /// The `next` of the page before.
        after: Option<String>,
    },
    /// Have a letter tried now.
    MailAgain {
        /// Its id.
        id: String,
    },
    /// Have a letter not tried any more.
    MailGiveUp {
        /// Its id.
        id: String,
    },
    /// Have a letter sent that only shows that mail arrives.
    MailTest {
        /// To whom: id, e-mail or username.
        who: String,
    },
    /// Locks in force.
    BanList,
    /// Lift one lock.
    BanClear {
        /// Which.
        id: String,
    },
    /// Lift every lock and forget every failed try.
    BanClearAll,
    /// Seal secrets anew under the current key.
    Rewrap,
    /// Write the store to a file.
    Backup {
        /// Absolute; must not exist.
        file: PathBuf,
    },
    /// Follow the chain of the audit trail.
    AuditVerify,
    /// A page of the audit trail.
    AuditExport {
        /// The `next` of the page before.
        after: Option<String>,
    },
}

/// Who asks, in an explanation.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// A person by id, e-mail or username, as after a fresh sign-in by password.
    User(String),
    /// A service by its name in the policies.
    Service(String),
    /// Nobody.
    Anonymous,
    /// Whoever holds this live session.
    Session(String),
    /// Whoever a logged decision was about; its id or the request's.
    Decision(String),
}

/// A person to add.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct NewPerson {
    /// The e-mail address.
    pub email: String,
    /// The name to sign in with.
    pub username: Option<String>,
    /// First name.
    pub given_name: Option<String>,
    /// Last name.
    pub family_name: Option<String>,
    /// Instance-wide or of the team, as the policies say.
    pub role: Option<String>,
    /// The team of the membership.
    pub team: Option<String>,
    /// The membership's IP pattern.
    pub ip_pattern: Option<String>,
    /// The membership's identity provider.
    pub idp: Option<String>,
    /// The password; without one a registration token is made.
    pub password: Option<String>,
}

/// Somebody to invite.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct NewInvitee {
    /// The e-mail address.
    pub email: String,
    /// The team; `main` if not given.
    pub team: Option<String>,
    /// Team roles.
    pub roles: Vec<String>,
    /// Applications.
    pub apps: Vec<String>,
    /// Permissions, as `app:permission`; the application comes with them.
    pub permissions: Vec<String>,
    /// Levels in projects, as `NAME=guest` or `NAME=member`.
    pub projects: Vec<String>,
    /// The membership's IP pattern.
    pub ip_pattern: Option<String>,
    /// The membership's identity provider.
    pub idp: Option<String>,
}

/// What somebody has in a team, or will have.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Gifts {
    /// Team roles.
    pub roles: Vec<String>,
    /// Applications.
    pub apps: Vec<String>,
    /// Permissions, as `app:permission`; the application comes with them.
    pub permissions: Vec<String>,
    /// Levels in projects, as `NAME=guest` or `NAME=member`.
    pub projects: Vec<String>,
    /// The membership's IP pattern.
    pub ip_pattern: Option<String>,
    /// The membership's identity provider.
    pub idp: Option<String>,
}

impl std::fmt::Debug for NewPerson {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewPerson")
            .field("email", &self.email)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}
