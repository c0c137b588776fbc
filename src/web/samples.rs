//! Every page once with made-up people, to look at and to check what holds for all of them. For tests only.

mod console;
mod inside;
mod invited;

use std::time::Duration;

use askama::Template;

use crate::base::time::Timestamp;
use crate::model::token::TokenStyle;

use super::console::view::{Choice, Choices, FilterView, RoleChange, TokenChip, UserRow};
use super::form::Form;
use super::pages::account::{NewAccountPage, RegistrationClosedPage, ResetPage, ResetSentPage, ResetTokenPage};
use super::pages::first_admin::{FirstAdminEndedPage, FirstAdminPage};
use super::pages::hand_over::{HopPage, UnfinishedPage};
use super::pages::refused::{DeniedIpPage, DeniedPage, ErrorPage, ExpiredPage, UpstreamPage};
use super::pages::sign_in::{MfaMissingPage, ProviderButton, RealmChoice, SignInPage, StepUpPage};
use super::pages::sign_out::{PrivacyPage, SignOutPage, SignedOutPage};
use super::relative::{self, Moment};
use super::step_up::ConfirmItIsYouPage;
use super::view::{BASE, CONSOLE, Denial, Frame, Link, Me, MenuPart, Onward, SessionRow, Tag};
use super::words::TokenHint;

/// What people and policies may have written, in each place where they can.
pub(super) struct Written {
    frame: Frame,
    me: Me,
    now: Timestamp,
    spoil: fn(&str) -> String,
}

impl Written {
    /// Ordinary names.
    pub(super) fn plainly() -> Self {
        Self::with(str::to_owned)
    }

    /// Every value made hostile.
    pub(super) fn with_markup() -> Self {
        Self::with(|text| format!("{text}<b>\"'&"))
    }

    fn with(spoil: fn(&str) -> String) -> Self {
        let now = Timestamp::parse_rfc3339("2026-03-12T14:30:00Z").unwrap();
        Self {
            frame: Frame {
                site: spoil("Northgate Lab"),
                logo: None,
                style: None,
                help: Some(spoil("mailto:it-help@northgate.example")),
                privacy: spoil("/.portcullis/privacy"),
                base: BASE.to_owned(),
                now: relative::iso(now),
                csrf: spoil("example"),
                stale: None,
            },
            me: Me {
                name: spoil("Ada Okafor"),
                initials: "AO".to_owned(),
                menu: whole_menu(),
            },
            now,
            spoil,
        }
    }

    fn s(&self, text: &str) -> String {
        (self.spoil)(text)
    }

    fn ago(&self, secs: u64) -> Moment {
        Moment::of(self.now.before(Duration::from_secs(secs)), self.now)
    }

    fn ahead(&self, secs: u64) -> Moment {
        Moment::of(self.now.after(Duration::from_secs(secs)), self.now)
    }

    fn onward(&self) -> Onward {
        Onward {
            to: self.s("https://notebook.example/"),
            login: self.s("digest"),
        }
    }

    fn failed(&self, fields: &[&'static str]) -> Form {
        let mut form = Form::default();
        for field in fields {
            form.set(field, self.s("maya@northgate.example"));
            form.fail(field, "code", self.s("Invalid characters found"));
        }
        form
    }

    fn denial(&self, application: bool) -> Denial {
        Denial {
            application: application.then(|| self.s("Notebook")),
            words: self.s("Your account works, but it has no role in Notebook."),
            missing: Some(self.s("Administrator")),
            address: "203.0.113.7".to_owned(),
            pattern: Some(self.s("Office")),
            of_account: true,
            again: self.s("https://notebook.example/a?b=c"),
            request: "01jp4zc2w8q7h5".to_owned(),
            decision: Some("d-01jp4zc2w8".to_owned()),
            login: Some(self.s("sam.osei@northgate.example")),
            at: self.ago(19),
        }
    }

    fn sessions(&self) -> Vec<SessionRow> {
        let row = |device: &str, icon, this, seen| SessionRow {
            id: self.s("s_1"),
            icon,
            device: self.s(device),
            address: "203.0.113.80".to_owned(),
            way: self.s("Password"),
            seen: self.ago(seen),
            ends: self.ahead(25_200),
            this,
        };
        vec![
            row("Firefox on Linux", "device", true, 20),
            row("Safari on iPhone", "phone", false, 3_900),
        ]
    }

    fn row(&self, name: &str, email: &str, kind: usize) -> UserRow {
        let statuses = [("ok", "Active"), ("acc", "Registration pending"), ("", "Disabled")];
        let (tag, words) = statuses[kind % 3];
        UserRow {
            id: "u_5ty".to_owned(),
            href: format!("{BASE}/admin/users/u_5ty"),
            name: self.s(name),
            initials: super::view::initials(name),
            email: self.s(email),
            username: self.s("sosei"),
            role: if kind == 0 { "Admin" } else { "User" },
            change: (kind != 0).then(|| RoleChange::from(false)),
            own: kind == 0,
            changeable: true,
            status: Tag { kind: tag, words },
            tokens: if kind == 1 {
                vec![TokenChip {
                    text: "K7QF-2MXR".to_owned(),
                    what: self.s("registration token of Sam Osei"),
                    kind: "Registration",
                    ends: self.ahead(171_600),
                    locked: false,
                    tries: "5 tries left".to_owned(),
                }]
            } else {
                Vec::new()
            },
            seen: (kind != 1).then(|| self.ago(7_200)),
        }
    }

    fn filter(&self, q: &str) -> FilterView {
        let choices = |name, label, words: &[&str]| Choices {
            name,
            label,
            options: words
                .iter()
                .map(|words| Choice {
                    value: self.s(words),
                    words: self.s(words),
                    chosen: false,
                })
                .collect(),
        };
        FilterView {
            q: if q.is_empty() { String::new() } else { self.s(q) },
            choices: vec![
                choices("team", "Team", &["All teams", "Assay Development"]),
                choices("role", "Role", &["Any role", "Admin", "User"]),
                choices("status", "Status", &["Any status", "Active", "Registration pending", "Disabled"]),
            ],
        }
    }

    fn door_pages(&self) -> Vec<(&'static str, String)> {
        let frame = || self.frame.clone();
        let sign_in = |form: Form, several: bool| SignInPage {
            frame: frame(),
            form,
            onward: self.onward(),
            going_to: Some(self.s("Notebook")),
            providers: if several {
                vec![ProviderButton {
                    name: self.s("northgate"),
                    title: self.s("Northgate SSO"),
                }]
            } else {
                Vec::new()
            },
            passwords: true,
            realms: if several {
                [("local", "Lab account", true), ("corp", "Company directory", false)]
                    .map(|(name, title, chosen)| RealmChoice {
                        name: self.s(name),
                        title: self.s(title),
                        chosen,
                    })
                    .to_vec()
            } else {
                Vec::new()
            },
            remembered_for: "12 hours".to_owned(),
            registration: true,
        };
        let token = TokenHint(TokenStyle::Code);
        let hint = || "12 characters or more.".to_owned();
        let new_account = |form| NewAccountPage {
            frame: frame(),
            form,
            onward: self.onward(),
            token,
            password_hint: hint(),
        };
        let wrong = || self.failed(&["email", "token", "new-password"]);
        let reset = |form| ResetPage {
            frame: frame(),
            form,
            others: true,
        };
        let email = || self.s("sam.osei@northgate.example");
        vec![
            ("sign-in", render(&sign_in(Form::default(), false))),
            ("sign-in-several", render(&sign_in(Form::default(), true))),
            ("sign-in-error", render(&sign_in(self.failed(&["username"]), false))),
            (
                "step-up",
                render(&StepUpPage {
                    frame: frame(),
                    form: Form::default(),
                    onward: self.onward(),
                    going_to: Some(self.s("Notebook")),
                    login: email(),
                }),
            ),
            (
                "confirm-it-is-you",
                render(&ConfirmItIsYouPage {
                    frame: frame(),
                    form: self.failed(&["confirm-password"]),
                    action: "/.portcullis/admin/users/role".to_owned(),
                    kept: vec![("role".to_owned(), self.s("admin"))],
                    within: "10 minutes".to_owned(),
                    login: email(),
                    back: "/.portcullis/admin/users".to_owned(),
                }),
            ),
            (
                "mfa-missing",
                render(&MfaMissingPage {
                    frame: frame(),
                    going_to: Some(self.s("Notebook")),
                    login: email(),
                }),
            ),
            ("new-account", render(&new_account(Form::default()))),
            ("new-account-error", render(&new_account(wrong()))),
            ("registration-closed", render(&RegistrationClosedPage { frame: frame() })),
            ("reset", render(&reset(Form::default()))),
            ("reset-error", render(&reset(self.failed(&["email"])))),
            (
                "reset-sent",
                render(&ResetSentPage {
                    frame: frame(),
                    email: email(),
                    mailed: true,
                }),
            ),
            (
                "reset-sent-no-mail",
                render(&ResetSentPage {
                    frame: frame(),
                    email: String::new(),
                    mailed: false,
                }),
            ),
            (
                "reset-token",
                render(&ResetTokenPage {
                    frame: frame(),
                    form: wrong(),
                    token,
                    password_hint: hint(),
                }),
            ),
            (
                "first-admin",
                render(&FirstAdminPage {
                    frame: frame(),
                    form: self.failed(&["email", "username", "given-name", "family-name", "new-password"]),
                    secret: self.s("secret"),
                    password_hint: hint(),
                }),
            ),
            ("first-admin-ended", render(&FirstAdminEndedPage { frame: frame() })),
            ("signed-out", render(&SignedOutPage { frame: frame() })),
            (
                "sign-out",
                render(&SignOutPage {
                    frame: frame(),
                    login: email(),
                }),
            ),
            (
                "privacy",
                render(&PrivacyPage {
                    frame: frame(),
                    kept_for: "30 days".to_owned(),
                }),
            ),
            (
                "hop",
                render(&HopPage {
                    frame: frame(),
                    to: self.s("https://notebook.example/.portcullis/callback?ticket=x"),
                    place: self.s("Notebook"),
                }),
            ),
            (
                "no-cookie",
                render(&UnfinishedPage {
                    frame: frame(),
                    words: self.s("Your browser did not send the cookie that this sign-in began with."),
                    host: self.s("notebook.example"),
                    again: self.s("https://notebook.example/"),
                    request: "01jp4zc2w8q7h5".to_owned(),
                }),
            ),
        ]
    }

    fn refusals(&self) -> Vec<(&'static str, String)> {
        let frame = || self.frame.clone();
        let request = || "01jp4zc2w8q7h5".to_owned();
        vec![
            (
                "denied-ip",
                render(&DeniedIpPage {
                    frame: frame(),
                    denial: self.denial(true),
                }),
            ),
            (
                "denied-ip-house",
                render(&DeniedIpPage {
                    frame: frame(),
                    denial: self.denial(false),
                }),
            ),
            (
                "denied-role",
                render(&DeniedPage {
                    frame: frame(),
                    denial: self.denial(true),
                }),
            ),
            (
                "expired",
                render(&ExpiredPage {
                    frame: frame(),
                    title: "Your session has ended",
                    ended: true,
                    unsent: true,
                    application: Some(self.s("Notebook")),
                    login_url: self.s("/.portcullis/sign-in?rd=/"),
                }),
            ),
            (
                "error-upstream",
                render(&UpstreamPage {
                    frame: frame(),
                    application: self.s("Notebook"),
                    words: self.s("The application behind the gate did not reply in 30 seconds."),
                    again: Some(self.s("/a")),
                    request: request(),
                }),
            ),
            (
                "error",
                render(&ErrorPage {
                    frame: frame(),
                    title: self.s("Nothing is here"),
                    words: self.s("Check the address."),
                    link: Some(Link {
                        path: self.s("/"),
                        name: self.s("My applications"),
                    }),
                    request: request(),
                }),
            ),
        ]
    }

    /// Every page, by name.
    pub(super) fn pages(&self) -> Vec<(&'static str, String)> {
        [
            self.door_pages(),
            self.invitee_pages(),
            self.refusals(),
            self.own_pages(),
            self.console_pages(),
            self.invitation_pages(),
            self.reading_pages(),
        ]
        .concat()
    }
}

/// The menu of somebody with every power.
fn whole_menu() -> Vec<MenuPart> {
    let part = |group: &super::view::MenuGroup| MenuPart {
        name: group.name,
        links: group.links.iter().map(|one| one.link).collect(),
    };
    CONSOLE.iter().map(part).collect()
}

fn render(page: &impl Template) -> String {
    page.render().unwrap()
}

#[test]
fn no_page_lets_markup_through() {
    for (name, page) in Written::with_markup().pages() {
        assert!(!page.contains("<b>"), "{name}: {page}");
        assert!(!page.contains("<b&"), "{name}");
    }
}

#[test]
fn every_page_keeps_to_the_content_policy() {
    for (name, page) in Written::plainly().pages() {
        for inline in ["<style", "style=\"", "javascript:", "data:", " onclick", " onload", "<iframe"] {
            assert!(!page.contains(inline), "{name} has {inline}");
        }
        assert_eq!(page.matches("<script").count(), 1, "{name}: the one script, by its address");
        assert!(
            page.contains("</script>") && page.contains("defer></script>"),
            "{name}: nothing inside it"
        );
    }
}

#[test]
fn every_form_that_changes_something_carries_the_csrf_value() {
    for (name, page) in Written::plainly().pages() {
        for form in page.split("<form").skip(1).map(|rest| rest.split("</form>").next().unwrap_or("")) {
            if form.contains("method=\"post\"") {
                assert!(form.contains("name=\"csrf\" value=\"example\""), "{name}: {form}");
            } else {
                assert!(!form.contains("csrf"), "{name}: a search never carries it: {form}");
            }
        }
    }
}

#[test]
fn a_page_with_problems_says_so_in_its_title_and_others_do_not() {
    for (name, page) in Written::plainly().pages() {
        let title = page.split("<title>").nth(1).unwrap().split("</title>").next().unwrap();
        assert_eq!(title.starts_with("Error: "), page.contains("problem-title\">"), "{name}: {title}");
        assert!(title.ends_with(" – Northgate Lab"), "{name}: {title}");
        assert_eq!(page.matches("<h1").count(), 1, "{name}");
        assert!(
            page.matches("btn primary").count() <= 2,
            "{name}: one primary button, and one in a dialog"
        );
    }
}

/// To look at the pages: `PORTCULLIS_PAGES=folder cargo test samples`, then open them in a browser; the assets are copied beside them.
#[test]
fn the_pages_can_be_written_out_to_look_at() {
    let Some(folder) = std::env::var_os("PORTCULLIS_PAGES") else {
        return;
    };
    let folder = std::path::PathBuf::from(folder);
    let assets = folder.join(super::assets::FOLDER.trim_start_matches('/'));
    std::fs::create_dir_all(&assets).unwrap();
    for name in ["portcullis.css", "portcullis.js", "mark.svg", "icons.svg", "chevron.svg"] {
        let (_, body) = super::assets::find(super::assets::folder_name(), name).unwrap();
        std::fs::write(assets.join(name), body).unwrap();
    }
    for (name, page) in Written::plainly().pages() {
        std::fs::write(folder.join(name).with_extension("html"), page).unwrap();
    }
}
