//! The pages behind sign-in: what is one's own, and the console.

use super::super::console::import::{ImportPage, ImportRow};
use super::super::console::several::{Picked, SeveralPage};
use super::super::console::view::{
    ConfirmPage, ConfirmRolePage, DELETE, DISABLE, Made, MembershipRow, PagesView, RoleChange, UserPage, UserRow, UsersPage,
};
use super::super::form::Form;
use super::super::pages::me::{HomePage, SecurityPage, SessionsPage, Tile};
use super::super::view::{BASE, Frame, Link};
use super::{Written, render};

impl Written {
    pub(super) fn own_pages(&self) -> Vec<(&'static str, String)> {
        let (frame, me) = (|| self.frame.clone(), || self.me.clone());
        let tile = |title: &str, closed: Option<&str>| Tile {
            title: self.s(title),
            icon: "book".to_owned(),
            href: self.s("https://notebook.example/"),
            place: self.s("notebook.example"),
            closed: closed.map(|why| self.s(why)),
        };
        let home = |tiles| HomePage {
            frame: frame(),
            me: me(),
            here: "/",
            tiles,
        };
        let security = |form, changed| SecurityPage {
            frame: frame(),
            me: me(),
            here: "/me/security",
            form,
            login: self.s("ada.okafor@northgate.example"),
            has_password: true,
            password_hint: "12 characters or more.".to_owned(),
            changed,
        };
        vec![
            (
                "home",
                render(&home(vec![
                    tile("Notebook", None),
                    tile("Dashboards", None),
                    tile("Registry", Some("Needs a second factor.")),
                ])),
            ),
            ("home-empty", render(&home(Vec::new()))),
            ("security", render(&security(Form::default(), true))),
            (
                "security-error",
                render(&security(self.failed(&["current-password", "new-password"]), false)),
            ),
            (
                "my-sessions",
                render(&SessionsPage {
                    frame: frame(),
                    me: me(),
                    here: "/me/sessions",
                    sessions: self.sessions(),
                    others: true,
                    done: Some(self.s("The session is ended.")),
                }),
            ),
        ]
    }

    pub(super) fn several_pages(&self) -> Vec<(&'static str, String)> {
        let line = |name: &str, words: &str, touched| Picked {
            field: "pick-u-1".to_owned(),
            name: self.s(name),
            words: words.to_owned(),
            touched,
        };
        let page = |some: bool| SeveralPage {
            frame: self.frame.clone(),
            me: self.me.clone(),
            here: "/admin/users",
            list: Link {
                path: self.s("/.portcullis/admin/users"),
                name: "Users".to_owned(),
            },
            question: if some {
                "Disable 1 person?".to_owned()
            } else {
                "Disable 0 people?".to_owned()
            },
            words: "Their sessions and tokens end at once.",
            act: "disable",
            verb: "Disable",
            touched: some,
            picked: vec![
                line("Sam Osei (sam.osei@northgate.example)", "2 sessions end", some),
                line("Ada Okafor", "You yourself: left as it is", false),
            ],
        };
        let import = |form, fine: bool| ImportPage {
            frame: self.frame.clone(),
            me: self.me.clone(),
            here: "/admin/users",
            form,
            list: Link {
                path: self.s("/.portcullis/admin/users"),
                name: "Users".to_owned(),
            },
            heading: "Import users",
            makes: "an account with a registration token for you to pass on",
            columns: &[("email", "has to be there"), ("username", "made of the email where it is empty")],
            rows: vec![
                ImportRow {
                    number: 2,
                    name: self.s("sam.osei@northgate.example"),
                    words: "Gets an account and a registration token".to_owned(),
                    fine: true,
                },
                ImportRow {
                    number: 3,
                    name: self.s("sam.osei"),
                    words: "Enter an email address in the correct format, like name@example.com".to_owned(),
                    fine,
                },
            ],
            verb: fine.then(|| "Make 2 accounts".to_owned()),
        };
        vec![
            ("several", render(&page(true))),
            ("several-none", render(&page(false))),
            ("import", render(&import(Form::default(), true))),
            ("import-error", render(&import(self.failed(&["csv"]), false))),
        ]
    }

    pub(super) fn console_pages(&self) -> Vec<(&'static str, String)> {
        let (frame, me) = (|| self.frame.clone(), || self.me.clone());
        let here = "/admin/users";
        let people = [
            ("Ada Okafor", "ada.okafor@northgate.example", 0),
            ("Sam Osei", "sam.osei@northgate.example", 1),
            ("Priya Nair", "priya.nair@northgate.example", 2),
        ];
        let users = |rows: Vec<UserRow>, form: Form, q: &str| UsersPage {
            frame: frame(),
            me: me(),
            here,
            form,
            summary: "48 people.".to_owned(),
            filter: self.filter(q),
            download: "?q=ada".to_owned(),
            rows,
            pages: PagesView {
                words: "1–3 of 48 users".to_owned(),
                previous: None,
                next: Some(self.s("?after=x")),
            },
            made: q.is_empty().then(|| Made {
                name: self.s("Sam Osei"),
                email: self.s("sam.osei@northgate.example"),
                token: "K7QF-2MXR".to_owned(),
                ends: self.ahead(172_800),
            }),
            done: None,
        };
        let rows = || people.map(|(name, email, kind)| self.row(name, email, kind)).to_vec();
        let user = |kind, sessions| UserPage {
            frame: Frame {
                stale: Some([self.s("policies/lab.toml:3:1: unknown key")].into()),
                ..frame()
            },
            me: me(),
            here,
            form: Form::default(),
            row: self.row("Sam Osei", "sam.osei@northgate.example", kind),
            disabled: kind == 2,
            memberships: vec![MembershipRow {
                team: self.s("Assay Development"),
                href: Some(self.s("/.portcullis/admin/users/u_5ty/teams/assay")),
                roles: self.s("Team Data Administrator"),
                applications: self.s("Notebook (Member)"),
                ip_pattern: self.s("Office"),
                provider: String::new(),
            }],
            sessions,
            open: "2 sessions, 3 streams".to_owned(),
            new_token: "Make a new token",
            other_roles: self.s("Operator"),
            ways: self.s("Password"),
            created: self.ago(50_000_000),
            done: Some(self.s("Done.")),
        };
        vec![
            ("admin-users", render(&users(rows(), Form::default(), ""))),
            (
                "admin-users-error",
                render(&users(
                    rows(),
                    self.failed(&["email", "username", "given-name", "family-name"]),
                    "osei",
                )),
            ),
            ("admin-users-empty", render(&users(Vec::new(), Form::default(), "okonkwo"))),
            ("admin-user", render(&user(1, Vec::new()))),
            ("admin-user-sessions", render(&user(1, self.sessions()))),
            ("admin-user-disabled", render(&user(2, Vec::new()))),
            (
                "confirm-role",
                render(&ConfirmRolePage {
                    frame: frame(),
                    me: me(),
                    here,
                    form: Form::default(),
                    user: "u_5ty".to_owned(),
                    name: self.s("Sam Osei"),
                    change: RoleChange::from(false),
                }),
            ),
            (
                "confirm-disable",
                render(&ConfirmPage {
                    frame: frame(),
                    me: me(),
                    here,
                    form: Form::default(),
                    href: format!("{BASE}/admin/users/u_5ty"),
                    name: self.s("Sam Osei"),
                    open: "2 sessions, 3 streams".to_owned(),
                    deed: DISABLE,
                }),
            ),
            (
                "confirm-delete",
                render(&ConfirmPage {
                    frame: frame(),
                    me: me(),
                    here,
                    form: self.failed(&["csrf"]),
                    href: format!("{BASE}/admin/users/u_5ty"),
                    name: self.s("Sam Osei"),
                    open: "2 sessions, 3 streams".to_owned(),
                    deed: DELETE,
                }),
            ),
        ]
    }
}
