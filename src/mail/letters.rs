//! What letters say: plain text and HTML from `templates/email/`, without pictures and without anything from elsewhere.
//!
//! Links begin with `server.public_url` and nothing else: a letter knows of no request, so no Host header gets into one. Names that people
//! typed are made one harmless line before they are written anywhere.

use std::net::IpAddr;
use std::time::Duration;

use askama::Template;

use crate::base::secret::Secret;
use crate::base::time::Timestamp;
use crate::model::message::{LetterText, MessageKind};
use crate::model::name::is_unprintable;

/// What every letter says of the house that sends it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Letterhead {
    /// `site.name`.
    pub site: String,
    /// Scheme, host and port of `server.public_url`: what links begin with.
    pub origin: String,
    /// Its host.
    pub host: String,
    /// `site.help_url`.
    pub help: Option<String>,
}

impl Letterhead {
    /// The address of one of our pages.
    #[must_use]
    pub fn link(&self, path: &str) -> String {
        format!("{}/.portcullis{path}", self.origin)
    }

    /// Where help is, as people read it.
    fn help_words(&self) -> &str {
        let help = self.help.as_deref().unwrap_or_default();
        help.strip_prefix("mailto:").unwrap_or(help)
    }
}

/// An invitation.
#[derive(Clone, Debug)]
pub struct InvitationLetter {
    /// Who invites, by the name that is shown; empty for somebody at the command line.
    pub inviter: String,
    /// Title of the team.
    pub team: String,
    /// Titles of the applications it comes with.
    pub applications: Vec<String>,
    /// The secret of the link.
    pub secret: Secret<String>,
    /// When the link ends.
    pub until: Timestamp,
    /// How long it lasts in all.
    pub lasts: Duration,
    /// Whether the address has an account already, which then joins the team.
    pub joins: bool,
}

/// A token to be typed.
#[derive(Clone, Debug)]
pub struct TokenLetter {
    /// As it is shown to people.
    pub token: Secret<String>,
    /// When it ends.
    pub until: Timestamp,
    /// How long it lasts in all.
    pub lasts: Duration,
    /// How many tries it takes.
    pub tries: u32,
    /// From where it was asked for, where that is known.
    pub address: Option<IpAddr>,
}

/// Where and how something happened to an account.
#[derive(Clone, Debug)]
pub struct Circumstances {
    /// When.
    pub at: Timestamp,
    /// From where, where that is known.
    pub address: Option<IpAddr>,
    /// The browser in words, such as `Firefox on Linux`; empty if there was none.
    pub device: String,
    /// How, such as `With a reset token`.
    pub how: String,
}

/// A letter.
#[derive(Clone, Debug)]
pub enum Letter {
    /// An invitation.
    Invitation(InvitationLetter),
    /// A token that confirms an address during an invitation.
    EmailToken(TokenLetter),
    /// A token that sets a new password.
    ResetToken(TokenLetter),
    /// The password was changed or set anew.
    PasswordChanged(Circumstances),
    /// A sign-in from a browser that was not seen before.
    NewBrowser(Circumstances),
    /// Roles were given.
    RoleGained {
        /// When.
        at: Timestamp,
        /// Their titles.
        roles: Vec<String>,
        /// Title of the team they are held in; none: everywhere.
        team: Option<String>,
        /// Who gave them, by the name that is shown; empty for somebody at the command line.
        by: String,
    },
    /// Shows that mail arrives.
    Test {
        /// When.
        at: Timestamp,
    },
}

/// The letter is longer than memory, which it never is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a letter could not be written")]
pub struct Unwritten;

impl Letter {
    /// What it is.
    #[must_use]
    pub const fn kind(&self) -> MessageKind {
        match self {
            Self::Invitation(_) => MessageKind::Invitation,
            Self::EmailToken(_) => MessageKind::EmailToken,
            Self::ResetToken(_) => MessageKind::ResetToken,
            Self::PasswordChanged(_) => MessageKind::PasswordChanged,
            Self::NewBrowser(_) => MessageKind::NewBrowser,
            Self::RoleGained { .. } => MessageKind::RoleGained,
            Self::Test { .. } => MessageKind::Test,
        }
    }

    /// What lists say of it; no secret is in it.
    #[must_use]
    pub fn title(&self) -> String {
        match self {
            Self::Invitation(letter) => one_line(&format!("Invitation to {}", letter.team)),
            Self::EmailToken(_) => "Your token".to_owned(),
            Self::ResetToken(_) => "Your reset token".to_owned(),
            Self::PasswordChanged(_) => "Your password was changed".to_owned(),
            Self::NewBrowser(_) => "Sign-in from a new browser".to_owned(),
            Self::RoleGained { .. } => "You have a new role".to_owned(),
            Self::Test { .. } => "Test message".to_owned(),
        }
    }

    /// From when on it is of no use: when the link or token in it ends.
    #[must_use]
    pub const fn good_until(&self) -> Option<Timestamp> {
        match self {
            Self::Invitation(letter) => Some(letter.until),
            Self::EmailToken(letter) | Self::ResetToken(letter) => Some(letter.until),
            Self::PasswordChanged(_) | Self::NewBrowser(_) | Self::RoleGained { .. } | Self::Test { .. } => None,
        }
    }

    /// Writes it.
    ///
    /// # Errors
    /// [`Unwritten`] if it does not fit into memory.
    pub fn write(&self, head: &Letterhead) -> Result<LetterText, Unwritten> {
        let head = &tidy(head);
        let site = &head.site;
        let (subject, written) = match self {
            Self::Invitation(letter) => {
                let letter = &InvitationLetter {
                    inviter: one_line(&letter.inviter),
                    team: one_line(&letter.team),
                    applications: letter.applications.iter().map(|title| one_line(title)).collect(),
                    ..letter.clone()
                };
                let subject = if letter.inviter.is_empty() {
                    format!("You are invited to {site}")
                } else {
                    format!("{} invited you to {site}", letter.inviter)
                };
                let link = &head.link(&format!("/invite/{}", letter.secret.expose()));
                let html = InvitationHtml {
                    subject: &subject,
                    head,
                    letter,
                    link,
                }
                .render();
                (subject, (InvitationText { head, letter, link }.render(), html))
            }
            Self::EmailToken(letter) => {
                let subject = format!("Your {site} token");
                let html = TokenHtml {
                    subject: &subject,
                    head,
                    letter,
                }
                .render();
                (subject, (TokenText { head, letter }.render(), html))
            }
            Self::ResetToken(letter) => {
                let subject = format!("Your {site} reset token");
                let link = &head.link("/account/reset/token");
                let html = ResetHtml {
                    subject: &subject,
                    head,
                    letter,
                    link,
                }
                .render();
                (subject, (ResetText { head, letter, link }.render(), html))
            }
            notice => {
                let (subject, letter) = notice.notice(site);
                let letter = &letter;
                let html = NoticeHtml {
                    subject: &subject,
                    head,
                    letter,
                }
                .render();
                (subject, (NoticeText { head, letter }.render(), html))
            }
        };
        let (Ok(text), Ok(html)) = written else { return Err(Unwritten) };
        Ok(LetterText {
            subject: one_line(&subject),
            text: folded(&text),
            html,
        })
    }

    /// The notices, which differ in words only.
    fn notice(&self, site: &str) -> (String, Notice) {
        match self {
            Self::PasswordChanged(what) => (
                format!("Your {site} password was changed"),
                Notice {
                    heading: "Your password was changed".to_owned(),
                    preview: "If this was not you, say so now.",
                    facts: what.facts(),
                    asks: true,
                    advice: "You were signed out everywhere else.",
                    foot: ALWAYS,
                },
            ),
            Self::NewBrowser(what) => (
                format!("New sign-in to {site}"),
                Notice {
                    heading: "You signed in from a new browser".to_owned(),
                    preview: "If this was not you, change your password now.",
                    facts: what.facts(),
                    asks: true,
                    advice: "Then change your password: that ends every other session.",
                    foot: ALWAYS,
                },
            ),
            Self::RoleGained { at, roles, team, by } => {
                let mut facts = vec![("Role", one_line(&roles.join(", ")))];
                facts.extend(team.iter().map(|team| ("Team", one_line(team))));
                facts.push(("When", full(*at)));
                if !by.is_empty() {
                    facts.push(("Given by", one_line(by)));
                }
                (
                    format!("You have a new role in {site}"),
                    Notice {
                        heading: "You have a new role".to_owned(),
                        preview: "It counts from your next page on.",
                        facts,
                        asks: false,
                        advice: "It counts from your next page on. There is nothing to do.",
                        foot: ALWAYS,
                    },
                )
            }
            _ => {
                let at = match self {
                    Self::Test { at } => *at,
                    _ => Timestamp::EPOCH,
                };
                (
                    format!("Test message from {site}"),
                    Notice {
                        heading: "Mail arrives".to_owned(),
                        preview: "Somebody asked for this message to see whether mail arrives.",
                        facts: vec![("When", full(at))],
                        asks: false,
                        advice: "You asked for this message in the console, to see whether mail arrives. It does.",
                        foot: "There is nothing to do.",
                    },
                )
            }
        }
    }
}

const ALWAYS: &str = "This notice cannot be turned off.";

impl InvitationLetter {
    fn ends(&self) -> String {
        full(self.until)
    }

    fn lasting(&self) -> String {
        length(self.lasts)
    }

    /// `Notebook`, `Notebook and Registry`, `Notebook, Registry and Archive`.
    fn access(&self) -> String {
        match self.applications.split_last() {
            Some((last, [])) => last.clone(),
            Some((last, others)) => format!("{} and {last}", others.join(", ")),
            None => String::new(),
        }
    }
}

impl TokenLetter {
    fn token(&self) -> &str {
        self.token.expose()
    }

    fn ends(&self) -> String {
        full(self.until)
    }

    fn lasting(&self) -> String {
        length(self.lasts)
    }

    fn tries_words(&self) -> String {
        match self.tries {
            1 => "one try".to_owned(),
            tries => format!("{tries} tries"),
        }
    }

    /// `Asked for from 203.0.113.7. `, or nothing.
    fn asked_from(&self) -> String {
        self.address
            .map(|address| format!("Asked for from {address}. "))
            .unwrap_or_default()
    }
}

impl Circumstances {
    fn facts(&self) -> Vec<(&'static str, String)> {
        let address = self.address.map(|address| address.to_string());
        let device = (!self.device.is_empty()).then(|| one_line(&self.device));
        let from: Vec<String> = address.into_iter().chain(device).collect();
        let mut facts = vec![("When", full(self.at))];
        if !from.is_empty() {
            facts.push(("From", from.join(", ")));
        }
        if !self.how.is_empty() {
            facts.push(("How", one_line(&self.how)));
        }
        facts
    }
}

/// A notice as the templates want it.
struct Notice {
    heading: String,
    preview: &'static str,
    facts: Vec<(&'static str, String)>,
    /// Whether it asks "Was it you?".
    asks: bool,
    advice: &'static str,
    foot: &'static str,
}

macro_rules! part {
    ($name:ident, $path:literal, $letter:ty $(, $field:ident)*) => {
        #[derive(Template)]
        #[template(path = $path)]
        struct $name<'a> {
            head: &'a Letterhead,
            letter: &'a $letter,
            $($field: &'a str,)*
        }
    };
}
part!(InvitationHtml, "email/invitation.html", InvitationLetter, subject, link);
part!(InvitationText, "email/invitation.txt", InvitationLetter, link);
part!(TokenHtml, "email/token.html", TokenLetter, subject);
part!(TokenText, "email/token.txt", TokenLetter);
part!(ResetHtml, "email/reset.html", TokenLetter, subject, link);
part!(ResetText, "email/reset.txt", TokenLetter, link);
part!(NoticeHtml, "email/notice.html", Notice, subject);
part!(NoticeText, "email/notice.txt", Notice);

fn tidy(head: &Letterhead) -> Letterhead {
    Letterhead {
        site: one_line(&head.site),
        ..head.clone()
    }
}

/// One line without control characters and marks that turn the direction of what follows: for subjects and for names that people typed.
fn one_line(text: &str) -> String {
    let words = text
        .split(|c: char| c.is_whitespace() || is_unprintable(c))
        .filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

/// `14 March 2026, 14:29 UTC`.
fn full(at: Timestamp) -> String {
    at.to_jiff().strftime("%-d %B %Y, %H:%M UTC").to_string()
}

/// A length of time in the largest unit that says it without a fraction; an hour and two are minutes, as people say of tokens.
fn length(span: Duration) -> String {
    let secs = span.as_secs();
    let (count, unit) = match secs {
        s if s >= 2 * 3600 && s % 3600 == 0 => (s / 3600, "hour"),
        s if s >= 60 && s % 60 == 0 => (s / 60, "minute"),
        s => (s, "second"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// Breaks lines at blanks, at 72 columns; a longer word, such as a link, stays whole. Lines that begin with a blank stay as they are.
fn folded(text: &str) -> String {
    const COLUMNS: usize = 72;
    let mut out = String::with_capacity(text.len() + 32);
    for line in text.trim_end().split('\n') {
        if line.starts_with(' ') || line.chars().count() <= COLUMNS {
            out.push_str(line);
            out.push('\n');
            continue;
        }
        let mut column = 0;
        for word in line.split(' ') {
            let length = word.chars().count();
            if column > 0 && column + 1 + length > COLUMNS {
                out.push('\n');
                column = 0;
            } else if column > 0 {
                out.push(' ');
                column += 1;
            }
            out.push_str(word);
            column += length;
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests;
