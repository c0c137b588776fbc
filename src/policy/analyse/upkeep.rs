//! Providers, services, tokens, applications and tests: what is likely to hurt one day.

use std::collections::BTreeMap;

use crate::base::diagnostic::Diagnostic;
use crate::model::name::ApplicationName;

use super::super::application::{Application, HostPattern, Target};
use super::super::decision::Verdict;
use super::super::definitions::{Definitions, Jit, ProviderKind, TokenStyle};
use super::super::facts::Host;
use super::super::headers::Variable;
use super::super::load::Context;
use super::super::selftest::TestOutcome;
use super::finding;

pub(super) fn analyse(definitions: &Definitions, context: &Context, found: &mut Vec<Diagnostic>) {
    providers(definitions, found);
    services(definitions, context, found);
    if definitions.signin.token_style == TokenStyle::Digits && definitions.signin.token_digits < 6 {
        found.push(
            finding(
                "W254",
                format!(
                    "tokens of {} digits: {} guesses are right once in {}",
                    definitions.signin.token_digits,
                    definitions.signin.token_attempts,
                    chance(definitions)
                ),
            )
            .at(definitions.signin.at.span())
            .help("use 6 digits or more, or token_style = \"code\""),
        );
    }
    for app in &definitions.applications {
        clear_text(app, found);
        portal(app, context, found);
        budget(app, definitions, found);
    }
}

fn chance(definitions: &Definitions) -> u64 {
    10_u64.pow(u32::from(definitions.signin.token_digits)) / u64::from(definitions.signin.token_attempts.max(1))
}

fn providers(definitions: &Definitions, found: &mut Vec<Diagnostic>) {
    for provider in &definitions.providers {
        let what = match provider.kind {
            ProviderKind::Saml => "identity provider",
            ProviderKind::Ldap => "directory",
        };
        let any = provider.email_domains.iter().any(|domain| domain == "*");
        let none_but_makes = provider.email_domains.is_empty() && provider.jit != Jit::Off;
        if any {
            found.push(
                finding(
                    "W252",
                    format!("{what} `{}` may say that anybody's mail address is its user's", provider.name),
                )
                .at(provider.at.span())
                .help("list the domains it speaks for in `email_domains`"),
            );
        } else if none_but_makes {
            found.push(
                finding(
                    "W252",
                    format!("{what} `{}` may make users, but no mail address of it is believed", provider.name),
                )
                .at(provider.at.span())
                .help("list the domains it speaks for in `email_domains`, or write jit = \"off\""),
            );
        }
    }
}

fn services(definitions: &Definitions, context: &Context, found: &mut Vec<Diagnostic>) {
    for service in &definitions.services {
        if service.expires.is_some_and(|expires| expires <= context.now) {
            found.push(
                finding("W253", format!("service `{}` has expired", service.name))
                    .at(service.at.span())
                    .help("give it a new `expires`, or take it away"),
            );
        }
    }
}

/// Identity in plain headers over a network that others share.
fn clear_text(app: &Application, found: &mut Vec<Diagnostic>) {
    let tells = app.headers.identity
        || !app.headers.set.is_empty()
        || !app.headers.choose.is_empty()
        || app.headers.preset.header_names().next().is_some();
    if !tells || app.headers.assertion {
        return;
    }
    for server in &app.upstreams {
        let Target::Tcp { tls: false, host, .. } = &server.target else {
            continue;
        };
        let local = &**host == "localhost"
            || host.ends_with(".localhost")
            || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        if !local {
            let at = app.keys.get("upstream").unwrap_or(&app.at).span();
            found.push(
                finding(
                    "W260",
                    format!(
                        "`{}` believes plain headers that anybody between here and {host} could forge",
                        app.name
                    ),
                )
                .at(at)
                .help("use https, or send the signed assertion and let the application check it"),
            );
            return;
        }
    }
}

fn portal(app: &Application, context: &Context, found: &mut Vec<Diagnostic>) {
    let portal = Host::of(&context.portal_host);
    let shares = app.hosts.iter().any(|host| match host {
        HostPattern::Exact(host) => **host == *portal.as_str(),
        HostPattern::Under(parent) => portal.parent() == Some(parent),
    });
    if shares {
        found.push(
            finding(
                "W261",
                format!(
                    "`{}` shares the portal's host: its scripts can act in the console as whoever visits it",
                    app.name
                ),
            )
            .at(app.keys.get("host").unwrap_or(&app.at).span())
            .help("give the application a host of its own"),
        );
    }
}

/// Names of roles and permissions alone, as long as they can become.
fn budget(app: &Application, definitions: &Definitions, found: &mut Vec<Diagnostic>) {
    let separator = app
        .headers
        .separator
        .as_deref()
        .unwrap_or_else(|| app.headers.preset.separator())
        .len();
    let list = |names: &mut dyn Iterator<Item = usize>| {
        let (count, bytes) = names.fold((0, 0), |(count, bytes), name| (count + 1, bytes + name));
        bytes + separator * usize::saturating_sub(count, 1)
    };
    let roles = list(&mut definitions.roles.iter().map(|role| role.name.as_str().len()));
    let permissions = list(&mut app.permissions.iter().map(|permission| permission.name.as_str().len()));
    let mut bytes = 0;
    if app.headers.identity {
        bytes += "x-portcullis-roles".len() + roles + 4 + "x-portcullis-permissions".len() + permissions + 4;
    }
    for (name, template) in &app.headers.set {
        let filled: usize = template
            .variables()
            .map(|variable| match variable {
                Variable::Roles => roles,
                Variable::Permissions => permissions,
                _ => 0,
            })
            .sum();
        if filled > 0 {
            bytes += name.as_str().len() + filled + 4;
        }
    }
    if bytes > app.headers.max_bytes {
        found.push(
            finding(
                "W268",
                format!(
                    "the names of roles and permissions alone can take {bytes} bytes of the headers of `{}`; {} are allowed",
                    app.name, app.headers.max_bytes
                ),
            )
            .at(app.keys.get("headers").unwrap_or(&app.at).span())
            .help("who holds them all would be denied (header-overflow): raise `headers.max`, or send less"),
        );
    }
}

/// `W266` and `W267`.
pub(super) fn tests(definitions: &Definitions, tests: &[TestOutcome], found: &mut Vec<Diagnostic>) {
    let mut tested: BTreeMap<&ApplicationName, (bool, bool)> = BTreeMap::new();
    for test in tests {
        if test.depends_on_clock {
            found.push(
                finding("W266", format!("test {:?} depends on when it is run", test.name))
                    .at(test.at.span())
                    .help("say when it happens: at = 2026-03-01T12:00:00Z"),
            );
        }
        if let Some(application) = &test.application {
            let (allowed, refused) = tested.entry(application).or_default();
            match test.expected {
                Verdict::Allow => *allowed = true,
                _ => *refused = true,
            }
        }
    }
    for app in &definitions.applications {
        let missing = match tested.get(&app.name).copied().unwrap_or_default() {
            (true, true) => continue,
            (true, false) => "no test in which somebody is refused",
            (false, true) => "no test in which somebody is allowed",
            (false, false) => "no test",
        };
        found.push(
            finding("W267", format!("`{}` has {missing}", app.name))
                .at(app.at.span())
                .help("write one [[test]] that expects `allow` and one that expects `deny` or the like"),
        );
    }
}
