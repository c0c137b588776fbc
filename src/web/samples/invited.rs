//! The pages about invitations: for those who invite, and for those who were.

use super::super::console::invite_view::{
    ApplicationTick, InvitationRow, InvitationsPage, InviteFormPage, OfferView, ProjectRow, ReachRow, Tick,
};
use super::super::console::projects::{ProjectPage, ProjectsPage, TeamProjects};
use super::super::console::view::{Choice, Choices, FilterView, PagesView};
use super::super::console::{groups, teams};
use super::super::form::Form;
use super::super::pages::invitation::{
    About, InviteAgainPage, InviteEndedPage, InviteJoinPage, InvitePage, InviteProviderPage, InviteTokenPage,
};
use super::super::view::{Link, Tag};
use super::super::words::TokenHint;
use super::{Written, render};
use crate::model::token::TokenStyle;

const HERE: &str = "/admin/invitations";

impl Written {
    fn about(&self) -> About {
        About {
            secret: self.s("k3yk3yk3y"),
            team: self.s("Assay Development"),
            email: self.s("sam.osei@northgate.example"),
            by: Some(self.s("Ada Okafor")),
            ends: self.ahead(172_700),
            begun: self.s("n0nce"),
        }
    }

    pub(super) fn invitee_pages(&self) -> Vec<(&'static str, String)> {
        let frame = || self.frame.clone();
        let link = |name: &str| Link {
            path: self.s("/.portcullis/sign-in"),
            name: self.s(name),
        };
        let form = |form, mailed| InvitePage {
            frame: frame(),
            about: self.about(),
            form,
            onward: self.onward(),
            mailed,
            password_hint: "12 characters or more. A few unrelated words work well.".to_owned(),
        };
        let join = |other: Option<&str>, sign_in, waits| InviteJoinPage {
            frame: frame(),
            about: self.about(),
            form: Form::default(),
            onward: self.onward(),
            other: other.map(|other| self.s(other)),
            sign_in,
            waits,
        };
        let token = |form, mailed| InviteTokenPage {
            frame: frame(),
            about: self.about(),
            form,
            onward: self.onward(),
            mailed,
            token: TokenHint(TokenStyle::Code),
            ends: self.ahead(3250),
            ends_at: "15:24 UTC".to_owned(),
            left: "54:10".to_owned(),
        };
        let again = |title, words: &str| InviteAgainPage {
            frame: frame(),
            about: self.about(),
            onward: self.onward(),
            title,
            words: words.to_owned(),
        };
        vec![
            ("invite-accept", render(&form(Form::default(), true))),
            ("invite-accept-handed", render(&form(Form::default(), false))),
            (
                "invite-accept-error",
                render(&form(self.failed(&["given-name", "family-name", "username", "new-password"]), true)),
            ),
            (
                "invite-provider",
                render(&InviteProviderPage {
                    frame: frame(),
                    about: self.about(),
                    provider: link("Northgate SSO"),
                }),
            ),
            ("invite-join", render(&join(None, None, false))),
            ("invite-join-sign-in", render(&join(None, Some(link("Sign in to join")), false))),
            ("invite-join-other", render(&join(Some("lucia@uni.example"), None, false))),
            ("invite-join-waits", render(&join(None, None, true))),
            (
                "invite-expired",
                render(&InviteEndedPage {
                    frame: frame(),
                    lasts: "48 hours".to_owned(),
                    request: "01jp4z8k3v".to_owned(),
                }),
            ),
            ("check-email", render(&token(Form::default(), true))),
            ("check-email-error", render(&token(self.failed(&["token"]), true))),
            ("check-token", render(&token(Form::default(), false))),
            (
                "check-email-locked",
                render(&again(
                    "This token is locked",
                    "It was typed wrong too often, so it no longer works.",
                )),
            ),
            ("check-email-late", render(&again("This token has expired", "Its time is over."))),
        ]
    }

    fn choice(&self, words: &str, chosen: bool) -> Choice {
        Choice {
            value: self.s(words),
            words: self.s(words),
            chosen,
        }
    }

    fn tick(&self, field: &str, title: &str, hint: &str, ticked: bool) -> Tick {
        Tick {
            field: self.s(field),
            title: self.s(title),
            hint: self.s(hint),
            ticked,
        }
    }

    fn offer(&self, full: bool) -> OfferView {
        let application = |name: &str, title: &str, ticked| ApplicationTick {
            name: name.to_owned(),
            tick: Tick {
                field: format!("app-{name}"),
                ..self.tick("", title, "", ticked)
            },
            permissions: vec![
                self.tick(&format!("perm-{name}:reader"), "Reader", "May look", ticked),
                self.tick(&format!("perm-{name}:curator"), "Curator", "", false),
            ],
        };
        let project = |id: &str, name: &str, level| ProjectRow {
            field: format!("project-{id}"),
            name: self.s(name),
            level,
        };
        let reach = |name: &str, kind, access, words: &str| ReachRow {
            application: self.s(name),
            tag: Tag { kind, words: access },
            words: self.s(words),
        };
        OfferView {
            teams: vec![self.choice("Assay Development", true), self.choice("Structural Biology", false)],
            providers: vec![self.choice("None, use a password", false), self.choice("Northgate SSO", true)],
            patterns: vec![
                self.choice("None, any address", false),
                self.choice("Office (203.0.113.64/26, 2001:db8:10::/48)", true),
            ],
            copy: Some(vec![
                self.choice("Choose a user", true),
                self.choice("Lucía Campos (lucia@uni.example)", false),
            ]),
            copy_typed: false,
            applications: vec![
                application("notebook", "Notebook", true),
                application("registry", "Registry", false),
            ],
            projects: vec![project("p-1", "Kinase panel", "member"), project("p-2", "Solubility", "none")],
            roles: vec![
                self.tick(
                    "role-perm",
                    "Team Permission Administrator",
                    "In the console: users, groups, projects",
                    false,
                ),
                self.tick("role-data", "Team Data Administrator", "", true),
            ],
            differs: full.then(|| vec![self.s("Team Data Administrator: given"), self.s("IP pattern: none")]),
            copied: full.then(|| vec![self.s("Notebook: given"), self.s("Project Kinase panel: member")]),
            reach: full.then(|| {
                vec![
                    reach("Notebook", "ok", "Allowed", "From Office, signed in through Northgate SSO"),
                    reach("Registry", "", "No access", "Your account works, but Registry was not given to it."),
                ]
            }),
        }
    }

    pub(super) fn team_pages(&self) -> Vec<(&'static str, String)> {
        let (frame, me) = (|| self.frame.clone(), || self.me.clone());
        let row = |title: &str| teams::TeamRow {
            title: self.s(title),
            href: self.s("/.portcullis/admin/teams/assay"),
            members: 28,
            invited: 2,
            leaders: self.s("Ada Okafor, Jonas Weber"),
            applications: self.s("Notebook, Registry"),
            patterns: self.s("Office"),
        };
        let list = |some: bool| teams::TeamsPage {
            frame: frame(),
            me: me(),
            here: teams::HERE,
            rows: if some {
                vec![row("Assay Development"), row("Facilities")]
            } else {
                Vec::new()
            },
            roles: vec![teams::RoleRow {
                title: self.s("Team Permission Administrator"),
                projects: true,
                users: true,
                invitations: false,
                permissions: self.s("notebook:admin"),
            }],
        };
        let team = |form, some: bool| teams::TeamPage {
            frame: frame(),
            me: me(),
            here: teams::HERE,
            form,
            team: row("Assay Development"),
            name: self.s("assay"),
            groups: some
                .then(|| teams::GroupRow {
                    name: self.s("Crystallography"),
                    href: self.s("/.portcullis/admin/groups/g-1"),
                    members: "3 people".to_owned(),
                    levels: "A level in 2 projects".to_owned(),
                })
                .into_iter()
                .collect(),
            at: if some { self.s("policies/teams.toml:3") } else { String::new() },
            toml: if some {
                self.s("[team.assay]\ntitle = \"Assay Development\"")
            } else {
                String::new()
            },
            done: some.then_some("The group is deleted."),
        };
        let project = |name: &str, level| ProjectRow {
            field: format!("project-{level}"),
            name: self.s(name),
            level,
        };
        let group = |form, some: bool| groups::GroupPage {
            frame: frame(),
            me: me(),
            here: teams::HERE,
            form,
            name: self.s("Crystallography"),
            team: Link {
                path: self.s("/.portcullis/admin/teams/assay"),
                name: self.s("Assay Development"),
            },
            href: "/.portcullis/admin/groups/g-1".to_owned(),
            seen: "0a0b0c".to_owned(),
            members: some
                .then(|| Tick {
                    field: "member-u-1".to_owned(),
                    title: self.s("Sam Osei (sam.osei@northgate.example)"),
                    hint: String::new(),
                    ticked: true,
                })
                .into_iter()
                .collect(),
            projects: vec![project("Kinase panel", "member"), project("Solubility", "none")],
            done: some.then_some("The group is saved."),
        };
        vec![
            ("teams", render(&list(true))),
            ("teams-empty", render(&list(false))),
            ("team", render(&team(Form::default(), true))),
            ("team-error", render(&team(self.failed(&["name"]), false))),
            ("group", render(&group(Form::default(), true))),
            ("group-error", render(&group(self.failed(&["name", "add"]), false))),
        ]
    }

    fn projects(&self, some: bool) -> ProjectsPage {
        let project = |name: &str| (self.s("/.portcullis/admin/projects/p-1"), self.s(name));
        ProjectsPage {
            frame: self.frame.clone(),
            me: self.me.clone(),
            here: "/admin/projects",
            form: if some { Form::default() } else { self.failed(&["name"]) },
            teams: some
                .then(|| TeamProjects {
                    team: self.s("Assay Development"),
                    projects: vec![project("Kinase panel"), project("Solubility")],
                })
                .into_iter()
                .collect(),
            choices: vec![self.choice("Assay Development", true)],
            done: some.then_some("The project is made."),
        }
    }

    pub(super) fn invitation_pages(&self) -> Vec<(&'static str, String)> {
        let (frame, me) = (|| self.frame.clone(), || self.me.clone());
        let invite = |form, offer, open: Option<&str>| InviteFormPage {
            frame: frame(),
            me: me(),
            here: HERE,
            form,
            offer,
            action: "/.portcullis/admin/invitations/new".to_owned(),
            heading: self.s(open.unwrap_or("Invite User")),
            above: Link {
                path: self.s("/.portcullis/admin/invitations"),
                name: self.s("Invitations"),
            },
            fresh: open.is_none(),
            seen: self.s(""),
            open_now: String::new(),
            groups: Vec::new(),
            end: None,
            lasts: "48 hours".to_owned(),
            mailed: open.is_some(),
        };
        let member = InviteFormPage {
            here: "/admin/users",
            open_now: "2 sessions, 3 streams".to_owned(),
            groups: vec![Link {
                path: self.s("/.portcullis/admin/groups/g-1"),
                name: self.s("Crystallography"),
            }],
            end: Some(self.s("/.portcullis/admin/users/u-1/teams/assay/end")),
            ..invite(Form::default(), self.offer(false), Some("Sam Osei in Assay Development"))
        };
        let row = |email: &str, status: Tag, handed: bool, ended: bool| InvitationRow {
            id: "i-1".to_owned(),
            email: self.s(email),
            team: self.s("Assay Development"),
            sent: self.ago(70),
            ends: self.ahead(172_700),
            status,
            by: self.s("Ada Okafor"),
            link: handed.then(|| self.s("https://portal.example/.portcullis/invite/k3y")),
            token: handed.then(|| "K7QF-2MXR".to_owned()),
            ended,
        };
        let tag = |kind, words| Tag { kind, words };
        let rows = vec![
            row("sam.osei@northgate.example", tag("acc", "Sent"), false, false),
            row("noor.haddad@uni.example", tag("ok", "Token sent"), true, false),
            row("tom.baker@northgate.example", tag("warn", "Token locked"), false, false),
            row("ines.rocha@uni.example", tag("bad", "Email bounced"), false, false),
            row("karl.ek@northgate.example", tag("", "Ended"), false, true),
        ];
        let list = |rows, form, searched| InvitationsPage {
            frame: frame(),
            me: me(),
            here: HERE,
            form,
            lasts: "48 hours".to_owned(),
            download: "?q=ada".to_owned(),
            filter: FilterView {
                q: self.s(""),
                choices: vec![Choices {
                    name: "status",
                    label: "Status",
                    options: vec![self.choice("Any status", true), self.choice("Sent", false)],
                }],
            },
            rows,
            searched,
            pages: PagesView {
                words: "1–5 of 6 invitations".to_owned(),
                previous: None,
                next: Some(self.s("?after=x")),
            },
            done: (!searched).then(|| self.s("Invitation sent to sam.osei@northgate.example.")),
        };
        let mut typed = self.offer(true);
        typed.copy_typed = true;
        vec![
            ("admin-invite", render(&invite(Form::default(), self.offer(false), None))),
            (
                "admin-invite-error",
                render(&invite(self.failed(&["email", "team", "idp", "ip-pattern", "copy"]), typed, None)),
            ),
            ("admin-invite-preview", render(&invite(Form::default(), self.offer(true), None))),
            (
                "admin-invitation",
                render(&invite(
                    Form::default(),
                    self.offer(false),
                    Some("Invitation of sam.osei@northgate.example"),
                )),
            ),
            ("admin-membership", render(&member)),
            ("admin-projects", render(&self.projects(true))),
            ("admin-projects-empty", render(&self.projects(false))),
            (
                "admin-project",
                render(&ProjectPage {
                    frame: frame(),
                    me: me(),
                    here: "/admin/projects",
                    form: Form::default(),
                    name: self.s("Kinase panel"),
                    team: self.s("Assay Development"),
                    href: self.s("/.portcullis/admin/projects/p-1"),
                }),
            ),
            ("admin-invitations", render(&list(rows, Form::default(), false))),
            ("admin-invitations-empty", render(&list(Vec::new(), Form::default(), false))),
            ("admin-invitations-none", render(&list(Vec::new(), self.failed(&["do"]), true))),
        ]
    }
}
