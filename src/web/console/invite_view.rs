//! What the pages about invitations show.

use askama::Template;

use super::super::form::Form;
use super::super::relative::Moment;
use super::super::view::{Frame, Link, Me, Tag};
use super::view::{Choice, FilterView, PagesView};

/// A box to tick.
#[derive(Clone, Debug)]
pub struct Tick {
    /// The field.
    pub field: String,
    /// What it says.
    pub title: String,
    /// What it means.
    pub hint: String,
    /// Whether it is ticked.
    pub ticked: bool,
}

/// An application with the tab of its permissions.
#[derive(Clone, Debug)]
pub struct ApplicationTick {
    /// Its name.
    pub name: String,
    /// Its box.
    pub tick: Tick,
    /// A box for each of its permissions.
    pub permissions: Vec<Tick>,
}

/// A project with the level in it.
#[derive(Clone, Debug)]
pub struct ProjectRow {
    /// The field.
    pub field: String,
    /// Its name.
    pub name: String,
    /// `none`, `guest` or `member`.
    pub level: &'static str,
}

/// What the person will reach, by the rules themselves.
#[derive(Clone, Debug)]
pub struct ReachRow {
    /// The application's title.
    pub application: String,
    /// Whether it opens.
    pub tag: Tag,
    /// From where, signed in how, or why not.
    pub words: String,
}

/// The boxes and choices of a membership: of an invitation, new or changed.
#[derive(Clone, Debug, Default)]
pub struct OfferView {
    /// The teams.
    pub teams: Vec<Choice>,
    /// SAML ID providers of the team, and none.
    pub providers: Vec<Choice>,
    /// IP patterns, and none.
    pub patterns: Vec<Choice>,
    /// Members to copy from; `None` where the team has it turned off.
    pub copy: Option<Vec<Choice>>,
    /// Whether the team has too many members for a list, so that one is typed.
    pub copy_typed: bool,
    /// Applications, each with a tab.
    pub applications: Vec<ApplicationTick>,
    /// Projects.
    pub projects: Vec<ProjectRow>,
    /// Team administrator roles, and other team roles.
    pub roles: Vec<Tick>,
    /// What copying changed, if it was just done.
    pub copied: Option<Vec<String>>,
    /// What saving would change of what somebody else has changed meanwhile.
    pub differs: Option<Vec<String>>,
    /// What the person will reach, if it was asked for.
    pub reach: Option<Vec<ReachRow>>,
}

/// "Invite User", and the same form for an invitation that is open and for what a member has.
#[derive(Template)]
#[template(path = "console/invite.html")]
pub struct InviteFormPage {
    /// The outside of the page.
    pub frame: Frame,
    /// Who looks.
    pub me: Me,
    /// Which page of the console this is.
    pub here: &'static str,
    /// What was typed, and what is wrong with it.
    pub form: Form,
    /// The boxes and choices.
    pub offer: OfferView,
    /// Where the form goes.
    pub action: String,
    /// What the page is called: `Invite User`, or whose invitation or membership it is.
    pub heading: String,
    /// The page above it.
    pub above: Link,
    /// Whether it is a new invitation.
    pub fresh: bool,
    /// What whoever changes it was shown, so that nobody's change is overwritten unseen; empty where that does not matter.
    pub seen: String,
    /// What would end, such as `2 sessions, 3 streams`; empty for who is not there yet.
    pub open_now: String,
    /// The groups that a member is in; a level that one gives counts where it is the higher.
    pub groups: Vec<Link>,
    /// Where the person is taken out of the team; none where there is nobody to take out.
    pub end: Option<String>,
    /// How long a link lasts, in words.
    pub lasts: String,
    /// Whether the link is mailed.
    pub mailed: bool,
}

/// An invitation in the list.
#[derive(Clone, Debug)]
pub struct InvitationRow {
    /// Its identifier.
    pub id: String,
    /// Whom it is for.
    pub email: String,
    /// The team's title.
    pub team: String,
    /// When it was sent.
    pub sent: Moment,
    /// When it ends.
    pub ends: Moment,
    /// How far it has come.
    pub status: Tag,
    /// Who invited; empty if nobody in particular.
    pub by: String,
    /// The link, to be handed over.
    pub link: Option<String>,
    /// The token, to be handed over.
    pub token: Option<String>,
    /// Whether it has ended.
    pub ended: bool,
}

/// The list of invitations.
#[derive(Template)]
#[template(path = "console/invitations.html")]
pub struct InvitationsPage {
    /// The outside of the page.
    pub frame: Frame,
    /// Who looks.
    pub me: Me,
    /// Which page of the console this is.
    pub here: &'static str,
    /// What went wrong.
    pub form: Form,
    /// How long a link lasts, in words.
    pub lasts: String,
    /// Search and filters.
    pub filter: FilterView,
    /// The search as the query of a download, with its question mark; empty if there is none.
    pub download: String,
    /// The invitations.
    pub rows: Vec<InvitationRow>,
    /// Whether a search or filter is set.
    pub searched: bool,
    /// Previous and next.
    pub pages: PagesView,
    /// What was done just now.
    pub done: Option<String>,
}
