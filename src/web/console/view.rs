//! What the pages about people show.

use askama::Template;

use super::super::form::Form;
use super::super::relative::Moment;
use super::super::view::{Frame, Me, SessionRow, Tag};

/// A token that waits to be used.
#[derive(Clone, Debug)]
pub struct TokenChip {
    /// As it is shown to people.
    pub text: String,
    /// What it is, for a screen reader: `reset token of Sam Osei`.
    pub what: String,
    /// `Registration` or `Reset`.
    pub kind: &'static str,
    /// When it ends.
    pub ends: Moment,
    /// Whether too many wrong guesses locked it.
    pub locked: bool,
    /// How many guesses are left, in words.
    pub tries: String,
}

/// A change of the instance-wide role that a click offers.
#[derive(Clone, Debug)]
pub struct RoleChange {
    /// The role that it gives.
    pub role: &'static str,
    /// `an admin`, `a normal user`.
    pub to: &'static str,
    /// What the button says.
    pub verb: &'static str,
}

impl RoleChange {
    /// What a click on somebody's role offers: the other one of the two.
    #[must_use]
    pub const fn from(is_admin: bool) -> Self {
        if is_admin {
            Self {
                role: "user",
                to: "a normal user",
                verb: "Make a normal user",
            }
        } else {
            Self {
                role: "admin",
                to: "an admin",
                verb: "Make an admin",
            }
        }
    }
}

/// A person in the list.
#[derive(Clone, Debug)]
pub struct UserRow {
    /// Identifier.
    pub id: String,
    /// The address of the person's page.
    pub href: String,
    /// The name to show.
    pub name: String,
    /// Its initials.
    pub initials: String,
    /// E-mail address; empty if there is none.
    pub email: String,
    /// Username.
    pub username: String,
    /// `Admin` or `User`.
    pub role: &'static str,
    /// What a click on the role offers; none where it may not be changed.
    pub change: Option<RoleChange>,
    /// Whether it is the one who looks.
    pub own: bool,
    /// Whether whoever looks may change it.
    pub changeable: bool,
    /// Where the account stands.
    pub status: Tag,
    /// Tokens that wait to be used.
    pub tokens: Vec<TokenChip>,
    /// The last sign-in.
    pub seen: Option<Moment>,
}

/// One choice of a list of choices.
#[derive(Clone, Debug)]
pub struct Choice {
    /// What is sent.
    pub value: String,
    /// What it says.
    pub words: String,
    /// Whether it is chosen now.
    pub chosen: bool,
}

/// A list of choices of the filter.
#[derive(Clone, Debug)]
pub struct Choices {
    /// Its field.
    pub name: &'static str,
    /// What it says.
    pub label: &'static str,
    /// The choices.
    pub options: Vec<Choice>,
}

/// The search and the filters as they are set.
#[derive(Clone, Debug, Default)]
pub struct FilterView {
    /// What is searched for.
    pub q: String,
    /// Team, role, status.
    pub choices: Vec<Choices>,
}

/// Previous and next.
#[derive(Clone, Debug, Default)]
pub struct PagesView {
    /// What is shown of how much.
    pub words: String,
    /// The page before.
    pub previous: Option<String>,
    /// The page after.
    pub next: Option<String>,
}

/// A person who was added just now.
#[derive(Clone, Debug)]
pub struct Made {
    /// The name to show.
    pub name: String,
    /// The address the token goes with.
    pub email: String,
    /// The registration token.
    pub token: String,
    /// When it ends.
    pub ends: Moment,
}

/// The list.
#[derive(Template)]
#[template(path = "console/users.html")]
pub struct UsersPage {
    /// The outside of the page.
    pub frame: Frame,
    /// Who looks.
    pub me: Me,
    /// Which page of the console this is.
    pub here: &'static str,
    /// "Add a new user": what was typed, and what is wrong with it.
    pub form: Form,
    /// How many there are, in a sentence.
    pub summary: String,
    /// Search and filters.
    pub filter: FilterView,
    /// The search as the query of a download, with its question mark; empty if there is none.
    pub download: String,
    /// The people.
    pub rows: Vec<UserRow>,
    /// Previous and next.
    pub pages: PagesView,
    /// The person who was added just now.
    pub made: Option<Made>,
    /// What was done just now.
    pub done: Option<String>,
}

/// A membership on a person's page.
#[derive(Clone, Debug)]
pub struct MembershipRow {
    /// The team's title.
    pub team: String,
    /// Where it is changed; none where it may not be.
    pub href: Option<String>,
    /// Titles of its roles.
    pub roles: String,
    /// Applications, with permissions in brackets.
    pub applications: String,
    /// Title of the IP pattern; empty if it was never given.
    pub ip_pattern: String,
    /// Title of the provider; empty if it was never given.
    pub provider: String,
}

/// One person.
#[derive(Template)]
#[template(path = "console/user.html")]
pub struct UserPage {
    /// The outside of the page.
    pub frame: Frame,
    /// Who looks.
    pub me: Me,
    /// Which page of the console this is.
    pub here: &'static str,
    /// What went wrong with what was asked for.
    pub form: Form,
    /// The person.
    pub row: UserRow,
    /// Whether the account is shut.
    pub disabled: bool,
    /// What they have in each team.
    pub memberships: Vec<MembershipRow>,
    /// Where they are signed in.
    pub sessions: Vec<SessionRow>,
    /// What would end with them, such as `2 sessions, 3 streams`.
    pub open: String,
    /// What the button that makes a token says.
    pub new_token: &'static str,
    /// Instance-wide roles besides the two built in.
    pub other_roles: String,
    /// How they sign in.
    pub ways: String,
    /// When the account was made.
    pub created: Moment,
    /// What was done just now.
    pub done: Option<String>,
}

/// The page that asks before a role is changed.
#[derive(Template)]
#[template(path = "console/confirm-role.html")]
pub struct ConfirmRolePage {
    /// The outside of the page.
    pub frame: Frame,
    /// Who looks.
    pub me: Me,
    /// Which page of the console this is.
    pub here: &'static str,
    /// What went wrong.
    pub form: Form,
    /// The person's identifier.
    pub user: String,
    /// The person's name.
    pub name: String,
    /// The change.
    pub change: RoleChange,
}

/// Something that ends or removes an account.
#[derive(Clone, Copy, Debug)]
pub struct Deed {
    /// The last part of its address.
    pub path: &'static str,
    /// What the button says.
    pub verb: &'static str,
    /// What it does.
    pub words: &'static str,
}

/// Shutting an account.
pub const DISABLE: Deed = Deed {
    path: "disable",
    verb: "Disable",
    words: "Ends every session now and refuses sign-in by any method. Nothing is deleted; you can enable the account again.",
};

/// Removing an account.
pub const DELETE: Deed = Deed {
    path: "delete",
    verb: "Delete",
    words: "Ends every session and removes the account with its memberships and tokens. This cannot be undone.",
};

/// The page that asks before a deed.
#[derive(Template)]
#[template(path = "console/confirm.html")]
pub struct ConfirmPage {
    /// The outside of the page.
    pub frame: Frame,
    /// Who looks.
    pub me: Me,
    /// Which page of the console this is.
    pub here: &'static str,
    /// What went wrong.
    pub form: Form,
    /// The person's page.
    pub href: String,
    /// The person's name.
    pub name: String,
    /// What would end with them, such as `2 sessions, 3 streams`.
    pub open: String,
    /// What is to be done.
    pub deed: Deed,
}
