//! The table of the API.

use std::future::Future;
use std::pin::Pin;

use http::Method;
use serde_json::Value;

use crate::accounts::Went;
use crate::model::event::Action;
use crate::model::invitation::Progress;
use crate::model::message::MessageStanding;
use crate::model::role::Power;

use super::super::routes::Access;
use super::call::Call;
use super::problem::Not;
use super::shape::{ADDRESS, Field, LINE, MOMENT, NAME, Object, Shape, may};
use super::shapes::words_of;
use super::{deeds, looks, offers, people, shapes};

/// Lines of a page that nobody asked to be longer or shorter.
pub const LINES: usize = 50;

/// What a handler gives back, in time: the JSON of the answer.
pub type Answering<'a> = Pin<Box<dyn Future<Output = Result<Value, Not>> + Send + 'a>>;

/// What answers for a row. It finds access, origin, csrf value, query and body checked.
pub type Handler = for<'a, 'b> fn(&'a mut Call<'b>) -> Answering<'a>;

/// What a row answers when it is done.
#[derive(Clone, Copy, Debug)]
pub struct Gives {
    /// The status.
    pub status: u16,
    /// What is in it; nothing for 204.
    pub shape: Option<&'static Object>,
}

/// A refusal that a row may answer besides what every row may.
#[derive(Clone, Copy, Debug)]
pub struct Fails {
    /// The status.
    pub status: u16,
    /// The codes.
    pub codes: &'static [&'static str],
}

/// A row of the table.
#[derive(Debug)]
pub struct Row {
    /// The method; HEAD goes with GET.
    pub method: Method,
    /// The address below `/.portcullis/api/v1`.
    pub path: &'static str,
    /// Its name in the document.
    pub id: &'static str,
    /// What it does, in a sentence.
    pub says: &'static str,
    /// Who may ask.
    pub access: Access,
    /// What may stand in the query.
    pub asks: &'static [Field],
    /// Whether it gives a page: `after` and `limit` may stand in the query too.
    pub paged: bool,
    /// What is sent.
    pub takes: Option<&'static Object>,
    /// What is answered.
    pub gives: Gives,
    /// How else it may be refused.
    pub fails: &'static [Fails],
    /// Whether an `Idempotency-Key` makes it safe to send twice.
    pub repeatable: bool,
    /// Whether it gives, takes or hands over no right: else a person must have signed in lately, as for the same act of the console.
    pub harmless: bool,
    /// Whether `If-Match` has to hold what it was read with.
    pub matched: bool,
    /// What answers.
    pub handler: Handler,
}

const PAGE: &[Field] = &[
    may(
        "after",
        Shape::Text {
            least: 1,
            most: 1024,
            format: "",
        },
        "The `next` of the page before",
    ),
    may(
        "limit",
        Shape::Whole { least: 1, most: 200 },
        "Lines of the page; 50 if it is not said",
    ),
];

impl Row {
    const fn new(
        method: Method,
        path: &'static str,
        id: &'static str,
        access: Access,
        says: &'static str,
        gives: Gives,
        handler: Handler,
    ) -> Self {
        Self {
            method,
            path,
            id,
            says,
            access,
            asks: &[],
            paged: false,
            takes: None,
            gives,
            fails: &[],
            repeatable: false,
            harmless: false,
            matched: false,
            handler,
        }
    }

    const fn asking(mut self, asks: &'static [Field]) -> Self {
        self.asks = asks;
        self
    }

    const fn paged(mut self) -> Self {
        self.paged = true;
        self
    }

    const fn taking(mut self, takes: &'static Object) -> Self {
        self.takes = Some(takes);
        self
    }

    const fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    const fn harmless(mut self) -> Self {
        self.harmless = true;
        self
    }

    const fn matched(mut self) -> Self {
        self.matched = true;
        self
    }

    const fn failing(mut self, fails: &'static [Fails]) -> Self {
        self.fails = fails;
        self
    }

    /// Everything that may stand in its query.
    pub fn query(&self) -> impl Iterator<Item = &'static Field> {
        let page = if self.paged { PAGE } else { &[] };
        self.asks.iter().chain(page)
    }

    /// The names in braces of its address.
    pub fn params(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }
}

const fn ok(shape: &'static Object) -> Gives {
    Gives {
        status: 200,
        shape: Some(shape),
    }
}

const fn made(shape: &'static Object) -> Gives {
    Gives {
        status: 201,
        shape: Some(shape),
    }
}

const NOTHING: Gives = Gives { status: 204, shape: None };

/// A conflict with one of these codes.
macro_rules! conflicts {
    ($($code:literal),+) => {
        Fails {
            status: 409,
            codes: &[$($code),+],
        }
    };
}

const NOT_GIVEN: Fails = Fails {
    status: 403,
    codes: &["not_given", "not_allowed"],
};
const LETTERS_GONE: Fails = Fails {
    status: 429,
    codes: &["too_many_letters", "mail_limit"],
};
const ABOUT_ACCOUNT: &[Fails] = &[conflicts!("own_role", "last_admin", "pending", "disabled"), NOT_GIVEN];
const ABOUT_MEMBERSHIP: &[Fails] = &[conflicts!("own_membership"), NOT_GIVEN];
const ABOUT_INVITATION: &[Fails] = &[
    conflicts!("email_in_team", "email_invited", "team_full", "invite_ended"),
    NOT_GIVEN,
    LETTERS_GONE,
];
const ABOUT_PROJECT: &[Fails] = &[conflicts!("project_taken"), NOT_GIVEN];
const ABOUT_LETTER: &[Fails] = &[conflicts!("letter_gone", "no_mail"), LETTERS_GONE];

macro_rules! to {
    ($handler:path) => {
        |call| Box::pin($handler(call))
    };
}

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const PUT: Method = Method::PUT;
const PATCH: Method = Method::PATCH;
const DELETE: Method = Method::DELETE;
const USERS: Access = Access::Can(Power::Users);
const PROJECTS: Access = Access::Can(Power::Projects);
const INVITATIONS: Access = Access::Can(Power::Invitations);
const APPS: Access = Access::Can(Power::Apps);
const AUDIT: Access = Access::Can(Power::Audit);
const POLICIES: Access = Access::CanEverywhere(Power::Policies);
const WHOLE_AUDIT: Access = Access::CanEverywhere(Power::Audit);

const IN_TEAM: Field = may("team", NAME, "Only of this team");

/// Everything that may be asked.
pub const API: &[Row] = &[
    Row::new(
        GET,
        "/me",
        "me",
        Access::SignedIn,
        "Who you are here, and what you may",
        ok(&shapes::ME),
        to!(people::me),
    ),
    Row::new(
        GET,
        "/users",
        "listUsers",
        USERS,
        "People within your reach, by name",
        ok(&shapes::USERS),
        to!(people::list),
    )
    .paged()
    .asking(&[
        may("q", LINE, "Part of a name, username or e-mail address"),
        IN_TEAM,
        may("role", NAME, "With this instance-wide role; `user` is those with no other"),
        may(
            "status",
            Shape::Word(|| vec!["pending", "active", "disabled", "reset"]),
            "`reset` is who has a reset token to be handed over",
        ),
    ]),
    Row::new(
        GET,
        "/users/{user}",
        "showUser",
        USERS,
        "One person",
        ok(&shapes::USER),
        to!(people::show),
    ),
    Row::new(
        GET,
        "/users/{user}/sessions",
        "listSessionsOfUser",
        USERS,
        "The live sessions of one person",
        ok(&shapes::SESSIONS),
        to!(people::sessions_of),
    ),
    Row::new(
        GET,
        "/users/{user}/memberships/{team}",
        "showMembership",
        USERS,
        "What somebody has in a team. Its ETag is what a change of it sends back",
        ok(&shapes::MEMBERSHIP),
        to!(people::show_membership),
    ),
    Row::new(
        GET,
        "/sessions",
        "listSessions",
        USERS,
        "Live sessions of people within your reach, the latest sign-in first",
        ok(&shapes::SESSIONS),
        to!(people::sessions),
    )
    .paged()
    .asking(&[may("q", LINE, "A name, username, e-mail address or IP address")]),
    Row::new(
        GET,
        "/invitations",
        "listInvitations",
        INVITATIONS,
        "Invitations to your teams, the newest first",
        ok(&shapes::INVITATIONS),
        to!(people::invitations),
    )
    .paged()
    .asking(&[
        may("q", LINE, "Part of an address"),
        IN_TEAM,
        may("status", words_of!(Progress), "That have come so far"),
    ]),
    Row::new(
        GET,
        "/invitations/{invitation}",
        "showInvitation",
        INVITATIONS,
        "One invitation. Its ETag is what a change of it sends back",
        ok(&shapes::INVITATION),
        to!(people::show_invitation),
    ),
    Row::new(
        GET,
        "/teams",
        "listTeams",
        Access::Console,
        "The teams that you administer, with what you may give in each",
        ok(&shapes::TEAMS),
        to!(people::teams),
    ),
    Row::new(
        GET,
        "/projects",
        "listProjects",
        PROJECTS,
        "The projects of your teams, by name",
        ok(&shapes::PROJECTS),
        to!(people::projects),
    )
    .asking(&[IN_TEAM]),
    Row::new(
        GET,
        "/projects/{project}",
        "showProject",
        PROJECTS,
        "One project",
        ok(&shapes::PROJECT),
        to!(people::show_project),
    ),
    Row::new(
        GET,
        "/applications",
        "listApplications",
        APPS,
        "Applications that your teams may give",
        ok(&shapes::APPLICATIONS),
        to!(looks::applications),
    ),
    Row::new(
        GET,
        "/applications/{application}",
        "showApplication",
        APPS,
        "One application",
        ok(&shapes::APPLICATION),
        to!(looks::application),
    ),
    Row::new(
        GET,
        "/ip-patterns",
        "listIpPatterns",
        USERS,
        "IP patterns; with an address, whether each contains it",
        ok(&shapes::IP_PATTERNS),
        to!(looks::ip_patterns),
    )
    .asking(&[may("address", ADDRESS, "An address to try")]),
    Row::new(
        GET,
        "/identity-providers",
        "listIdentityProviders",
        POLICIES,
        "Identity providers and directories",
        ok(&shapes::PROVIDERS),
        to!(looks::providers),
    ),
    Row::new(
        GET,
        "/policy",
        "showPolicy",
        POLICIES,
        "The policy in force",
        ok(&shapes::POLICY),
        to!(looks::policy),
    ),
    Row::new(
        GET,
        "/explain",
        "explain",
        AUDIT,
        "Why a request is let in or not: one that was decided, or any that could be sent",
        ok(&shapes::EXPLANATION),
        to!(looks::explain),
    )
    .asking(&[
        may(
            "decision",
            NAME,
            "The id of a decision or of its request; nothing else is looked at then",
        ),
        may(
            "user",
            LINE,
            "Who asks: an id, e-mail address or username, as after a fresh sign-in by password; nobody if it is not said",
        ),
        may("method", NAME, "GET if it is not said"),
        may(
            "url",
            Shape::Text {
                least: 1,
                most: 2048,
                format: "",
            },
            "The whole address",
        ),
        may("address", ADDRESS, "From where"),
    ])
    .failing(&[Fails {
        status: 409,
        codes: &["incomplete", "unreadable"],
    }]),
    Row::new(
        GET,
        "/audit",
        "listAudit",
        AUDIT,
        "The audit trail, as far as it concerns your people, the newest entries first",
        ok(&shapes::ENTRIES),
        to!(looks::audit),
    )
    .paged()
    .asking(&[
        may("q", LINE, "A person, an address, an identifier, or part of what an entry says"),
        may("event", words_of!(Action), "What happened"),
        may("outcome", words_of!(Went), "How it went"),
        may("from", MOMENT, "Not before this"),
        may("until", MOMENT, "Before this"),
    ]),
    Row::new(
        GET,
        "/audit/check",
        "showAuditCheck",
        WHOLE_AUDIT,
        "What the last check of the chain found",
        ok(&shapes::CHAIN),
        to!(looks::audit_check),
    ),
    Row::new(
        GET,
        "/health",
        "showHealth",
        POLICIES,
        "How the server does, and what ends",
        ok(&shapes::HEALTH),
        to!(looks::health),
    ),
    Row::new(
        GET,
        "/mail",
        "listLetters",
        USERS,
        "Letters that were written, the newest first",
        ok(&shapes::LETTERS),
        to!(looks::letters),
    )
    .paged()
    .asking(&[may(
        "status",
        words_of!(MessageStanding),
        "That stand so; only with the power over the whole instance",
    )])
    .failing(&[Fails {
        status: 409,
        codes: &["not_told"],
    }]),
    Row::new(
        POST,
        "/users",
        "addUser",
        USERS,
        "Adds a person; the answer holds their registration token",
        made(&shapes::USER),
        to!(deeds::add),
    )
    .taking(&shapes::NEW_USER)
    .repeatable()
    .failing(&[conflicts!("email_taken", "username_taken"), NOT_GIVEN]),
    Row::new(
        POST,
        "/users/{user}/role",
        "changeRole",
        USERS,
        "Makes somebody an admin, or a normal user again",
        ok(&shapes::USER),
        to!(deeds::change_role),
    )
    .taking(&shapes::NEW_ROLE)
    .failing(ABOUT_ACCOUNT),
    Row::new(
        POST,
        "/users/{user}/disable",
        "disableUser",
        USERS,
        "Shuts an account: every session and token ends",
        ok(&shapes::USER),
        to!(deeds::disable),
    )
    .failing(ABOUT_ACCOUNT),
    Row::new(
        POST,
        "/users/{user}/enable",
        "enableUser",
        USERS,
        "Opens an account again",
        ok(&shapes::USER),
        to!(deeds::enable),
    )
    .failing(ABOUT_ACCOUNT),
    Row::new(
        DELETE,
        "/users/{user}",
        "deleteUser",
        USERS,
        "Removes an account with its memberships, tokens and sessions",
        NOTHING,
        to!(deeds::delete),
    )
    .failing(ABOUT_ACCOUNT),
    Row::new(
        POST,
        "/users/{user}/token",
        "makeToken",
        USERS,
        "Makes a registration or reset token to hand over; the one before ends",
        ok(&shapes::TOKEN),
        to!(deeds::new_token),
    )
    .failing(ABOUT_ACCOUNT),
    Row::new(
        DELETE,
        "/users/{user}/sessions",
        "endSessionsOfUser",
        USERS,
        "Ends all sessions of a person, yours of this request excepted",
        ok(&shapes::ENDED),
        to!(deeds::end_sessions_of),
    )
    .harmless(),
    Row::new(
        PUT,
        "/users/{user}/memberships/{team}",
        "setMembership",
        USERS,
        "Changes what somebody has in a team, all of it; it counts from the next request",
        ok(&shapes::MEMBERSHIP),
        to!(deeds::set_membership),
    )
    .taking(&shapes::OFFER)
    .matched()
    .failing(ABOUT_MEMBERSHIP),
    Row::new(
        DELETE,
        "/users/{user}/memberships/{team}",
        "endMembership",
        USERS,
        "Takes somebody out of a team; the account stays",
        NOTHING,
        to!(deeds::end_membership),
    )
    .failing(ABOUT_MEMBERSHIP),
    Row::new(
        GET,
        "/users/{user}/memberships/{team}/copy",
        "copyMembership",
        INVITATIONS,
        "What you may give to others of what somebody has in a team",
        ok(&shapes::COPY),
        to!(offers::copy),
    ),
    Row::new(
        DELETE,
        "/sessions/{session}",
        "endSession",
        USERS,
        "Ends a session",
        NOTHING,
        to!(deeds::end_session),
    )
    .harmless(),
    Row::new(
        POST,
        "/sessions/end",
        "endSessionsFrom",
        USERS,
        "Ends all sessions that were made from an address, yours of this request excepted",
        ok(&shapes::ENDED),
        to!(deeds::end_sessions_from),
    )
    .harmless()
    .taking(&shapes::FROM_ADDRESS),
    Row::new(
        POST,
        "/invitations",
        "invite",
        INVITATIONS,
        "Invites somebody into a team",
        made(&shapes::INVITATION),
        to!(offers::invite),
    )
    .taking(&shapes::NEW_INVITATION)
    .repeatable()
    .failing(ABOUT_INVITATION),
    Row::new(
        POST,
        "/invitations/preview",
        "previewInvitation",
        INVITATIONS,
        "What somebody invited like this will reach; nothing is sent",
        ok(&shapes::REACH),
        to!(offers::preview),
    )
    .harmless()
    .taking(&shapes::TO_PREVIEW)
    .failing(&[NOT_GIVEN]),
    Row::new(
        PUT,
        "/invitations/{invitation}",
        "changeInvitation",
        INVITATIONS,
        "Changes what an invitation promises, all of it; its link stays",
        ok(&shapes::INVITATION),
        to!(offers::change),
    )
    .taking(&shapes::OFFER)
    .matched()
    .failing(ABOUT_INVITATION),
    Row::new(
        DELETE,
        "/invitations/{invitation}",
        "withdrawInvitation",
        INVITATIONS,
        "Withdraws an invitation: its link and its token end",
        NOTHING,
        to!(offers::withdraw),
    ),
    Row::new(
        POST,
        "/invitations/{invitation}/resend",
        "resendInvitation",
        INVITATIONS,
        "Sends an invitation again, under another link",
        ok(&shapes::INVITATION),
        to!(offers::resend),
    )
    .failing(ABOUT_INVITATION),
    Row::new(
        POST,
        "/invitations/{invitation}/extend",
        "extendInvitation",
        INVITATIONS,
        "Gives an open invitation as much time as a new one has",
        ok(&shapes::INVITATION),
        to!(offers::extend),
    )
    .failing(ABOUT_INVITATION),
    Row::new(
        POST,
        "/projects",
        "addProject",
        PROJECTS,
        "Makes a project",
        made(&shapes::PROJECT),
        to!(offers::add_project),
    )
    .harmless()
    .taking(&shapes::NEW_PROJECT)
    .repeatable()
    .failing(ABOUT_PROJECT),
    Row::new(
        PATCH,
        "/projects/{project}",
        "renameProject",
        PROJECTS,
        "Gives a project another name",
        ok(&shapes::PROJECT),
        to!(offers::rename_project),
    )
    .taking(&shapes::PROJECT_NAME)
    .failing(ABOUT_PROJECT),
    Row::new(
        DELETE,
        "/projects/{project}",
        "deleteProject",
        PROJECTS,
        "Removes a project; levels in it give nothing any more",
        NOTHING,
        to!(offers::remove_project),
    ),
    Row::new(
        POST,
        "/ip-patterns/check",
        "checkIpPattern",
        USERS,
        "Checks an IP pattern before it is written into a file; nothing is saved",
        ok(&shapes::TOML),
        to!(looks::check_ip_pattern),
    )
    .harmless()
    .taking(&shapes::NEW_IP_PATTERN),
    Row::new(
        POST,
        "/audit/check",
        "checkAudit",
        WHOLE_AUDIT,
        "Begins to check the chain of the audit trail",
        Gives {
            status: 202,
            shape: Some(&shapes::CHAIN),
        },
        to!(deeds::check_audit),
    )
    .harmless(),
    Row::new(
        POST,
        "/mail/test",
        "sendTestLetter",
        USERS,
        "Has a letter sent to yourself that only shows that mail arrives",
        NOTHING,
        to!(deeds::send_test),
    )
    .harmless()
    .failing(ABOUT_LETTER),
    Row::new(
        POST,
        "/mail/{letter}/again",
        "sendLetterAgain",
        USERS,
        "Has a letter that waits or failed tried now",
        NOTHING,
        to!(deeds::send_again),
    )
    .harmless()
    .failing(ABOUT_LETTER),
    Row::new(
        POST,
        "/mail/{letter}/give-up",
        "giveLetterUp",
        USERS,
        "Has a letter that waits not tried any more; what it says is wiped",
        NOTHING,
        to!(deeds::give_up),
    )
    .harmless(),
];
