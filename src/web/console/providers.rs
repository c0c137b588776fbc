//! Identity providers and directories that policy names. None can be signed in through yet, and the page says so.

use askama::Template;

use crate::model::role::{Power, SignInMethod};
use crate::policy::definitions::{Provider, ProviderKind};

use super::super::cx::{Cx, Outcome};
use super::super::view::{Frame, Me, Tag};
use super::written::quoted;

const HERE: &str = "/admin/identity-providers";

/// A provider.
#[derive(Clone, Debug)]
pub struct Row {
    /// What its button says.
    pub title: String,
    /// As the files name it.
    pub name: String,
    /// `SAML 2.0`, `LDAP` or `Local`.
    pub kind: &'static str,
    /// Its picture.
    pub icon: &'static str,
    /// What else is known, in words.
    pub details: Vec<String>,
    /// Whether one can sign in through it.
    pub state: Tag,
    /// File and line; empty for what no file says.
    pub at: String,
    /// Its table as it is written.
    pub toml: String,
}

/// The page.
#[derive(Template)]
#[template(path = "console/identity-providers.html")]
pub struct ProvidersPage {
    /// The outside of the page.
    pub frame: Frame,
    /// Who looks.
    pub me: Me,
    /// Which page of the console this is.
    pub here: &'static str,
    /// The providers, in the order of the sign-in page, and accounts kept here.
    pub rows: Vec<Row>,
    /// Whether some are named that are not available yet.
    pub some_to_come: bool,
}

/// GET `/admin/identity-providers`.
pub async fn show(cx: &mut Cx<'_>) -> Outcome {
    let by = cx.acting_by(Power::Policies)?;
    let held = cx.app.accounts.held(cx.facts.now).await;
    let definitions = cx.live.policies.definitions();
    let mut providers: Vec<&Provider> = definitions.providers.iter().collect();
    providers.sort_by(|one, two| (one.rank, &one.title).cmp(&(two.rank, &two.title)));
    let mut rows: Vec<Row> = providers
        .into_iter()
        .map(|provider| {
            let mut details = Vec::new();
            if !provider.email_domains.is_empty() {
                details.push(format!("domains {}", provider.email_domains.join(", ")));
            }
            if let Some(team) = &provider.team {
                details.push(format!("team {team}"));
            }
            match held.with_provider(&provider.name, &by) {
                Some(1) => details.push("1 membership bound to it".to_owned()),
                Some(count) => details.push(format!("{count} memberships bound to it")),
                None => {}
            }
            let (kind, icon, table) = match provider.kind {
                ProviderKind::Saml => ("SAML 2.0", "key", "idp"),
                ProviderKind::Ldap => ("LDAP", "team", "directory"),
            };
            Row {
                title: provider.title.clone(),
                name: provider.name.to_string(),
                kind,
                icon,
                details,
                state: Tag {
                    kind: "warn",
                    words: "Not available yet",
                },
                at: provider.at.line(),
                toml: quoted(&cx.live.texts, &provider.at, &format!("{table}.{}", provider.name)),
            }
        })
        .collect();
    let some_to_come = !rows.is_empty();
    let passwords = cx.live.policies.signin().accepted.methods.contains(&SignInMethod::Password);
    rows.push(Row {
        title: "Local accounts".to_owned(),
        name: "local".to_owned(),
        kind: "Local",
        icon: "lock",
        details: vec!["passwords kept here".to_owned()],
        state: if passwords {
            Tag {
                kind: "ok",
                words: "Working",
            }
        } else {
            Tag {
                kind: "",
                words: "Switched off",
            }
        },
        at: String::new(),
        toml: String::new(),
    });
    Ok(cx.page(&ProvidersPage {
        frame: cx.frame(),
        me: cx.me(),
        here: HERE,
        rows,
        some_to_come,
    }))
}
