//! `W250` and `W251`: who could still administer, from anywhere, at any time, by any way in. Asked with the people of the store.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use http::Method;

use crate::base::diagnostic::{Diagnostic, Level};
use crate::base::time::Timestamp;
use crate::model::id::UserId;
use crate::model::ip_pattern::AddressRange;
use crate::model::name::ProviderName;
use crate::model::principal::{Identity, Principal, SignedIn};
use crate::model::role::{Power, SignInMethod};

use super::super::PolicySet;
use super::super::definitions::ProviderKind;
use super::super::facts::RequestFacts;
use super::super::house::judge;
use super::super::selftest::telling_moments;
use super::finding;

/// How a person could reach the users' page of the console.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// In no way.
    Never,
    /// Only through an identity provider or directory.
    ThroughProvider,
    /// With a local password.
    Locally,
}

/// How this person could administer users: judged for one address of each kind that IP patterns tell apart, whenever windows open or close, freshly
/// signed in with a second factor.
#[must_use]
pub fn could_administer(policies: &PolicySet, person: &Identity, now: Timestamp) -> Reach {
    let addresses = telling_addresses(policies);
    let mut moments = telling_moments(policies, now);
    moments.insert(now);
    let reaches = |method: SignInMethod, provider: Option<ProviderName>| {
        moments.iter().any(|moment| {
            let session = Identity {
                signed_in: SignedIn {
                    method,
                    provider: provider.clone(),
                    mfa: true,
                    groups: person.signed_in.groups.clone(),
                    attributes: person.signed_in.attributes.clone(),
                    ..SignedIn::by_password(moment.before(Duration::from_secs(1)))
                },
                ..person.clone()
            };
            let principal = Principal::User(Arc::new(session));
            addresses.iter().any(|address| {
                let facts = RequestFacts::new(Method::GET, "portal", "/", Some(*address), *moment);
                judge(policies, &principal, &facts).may(Power::Users)
            })
        })
    };
    if reaches(SignInMethod::Password, None) {
        return Reach::Locally;
    }
    let through = policies.definitions().providers.iter().any(|provider| {
        let method = match provider.kind {
            ProviderKind::Saml => SignInMethod::Saml,
            ProviderKind::Ldap => SignInMethod::Ldap,
        };
        reaches(method, Some(provider.name.clone()))
    });
    if through { Reach::ThroughProvider } else { Reach::Never }
}

/// `W250` (locked out) and `W251` (nearly so). `applying` is the person who wants these rules in force.
#[must_use]
pub fn administrators(policies: &PolicySet, people: &[Identity], applying: Option<UserId>, now: Timestamp) -> Vec<Diagnostic> {
    let reaches: Vec<(&Identity, Reach)> = people
        .iter()
        .filter(|person| person.is_active())
        .map(|person| (person, could_administer(policies, person, now)))
        .filter(|(_, reach)| *reach != Reach::Never)
        .collect();
    if people.is_empty() {
        let mut nobody = finding("W250", "nobody administers yet: there is no user");
        nobody.level = Level::Warning;
        return vec![nobody.help("make the first: portcullis user add --email E --role admin")];
    }
    let mut found = Vec::new();
    if reaches.is_empty() {
        found.push(
            finding("W250", "no active user could reach the admin console from any address")
                .help("give somebody the role admin, and a membership that counts from somewhere"),
        );
        return found;
    }
    if let Some(applying) = applying
        && !reaches.iter().any(|(person, _)| person.user == applying)
    {
        found.push(
            finding("W250", "whoever applies these rules could not reach the admin console any more")
                .help("let somebody else apply them, or keep a role"),
        );
    }
    if let [(only, _)] = reaches.as_slice() {
        found.push(finding("W251", format!("only {} could still administer", only.username)).help("make a second administrator"));
    }
    if !reaches.iter().any(|(_, reach)| *reach == Reach::Locally) {
        found.push(
            finding(
                "W251",
                "nobody could administer with a local password: a provider that fails would lock everybody out",
            )
            .help("keep one administrator with a password of ours"),
        );
    }
    found
}

/// One address of each stretch within which no pattern begins or ends, so that every kind of address there is gets asked about.
fn telling_addresses(policies: &PolicySet) -> BTreeSet<IpAddr> {
    let mut addresses: BTreeSet<IpAddr> = BTreeSet::from([Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()]);
    for range in policies
        .definitions()
        .ip_patterns
        .iter()
        .flat_map(|pattern| pattern.addresses.ranges())
    {
        match range {
            AddressRange::V4(range) => {
                addresses.insert(Ipv4Addr::from(*range.start()).into());
                addresses.extend(range.end().checked_add(1).map(|next| IpAddr::from(Ipv4Addr::from(next))));
            }
            AddressRange::V6(range) => {
                addresses.insert(Ipv6Addr::from(*range.start()).into());
                addresses.extend(range.end().checked_add(1).map(|next| IpAddr::from(Ipv6Addr::from(next))));
            }
        }
    }
    addresses
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::base::sources::{PolicyTexts, SourceText};
    use crate::model::id::SessionId;
    use crate::model::membership::Membership;
    use crate::model::name::{PersonName, TeamName};
    use crate::model::user::UserStatus;
    use crate::policy::{Context, load};

    fn now() -> Timestamp {
        Timestamp::parse_rfc3339("2026-11-24T12:00:00Z").unwrap()
    }

    fn policies(text: &str) -> PolicySet {
        let texts = PolicyTexts {
            files: vec![SourceText {
                name: "t.toml".into(),
                text: text.into(),
            }],
            ..PolicyTexts::default()
        };
        load(&texts, &Context::plain("portal.example", now()))
            .unwrap_or_else(|found| panic!("{found:?}"))
            .0
    }

    fn person(number: u128, role: &str, ip_pattern: Option<&str>, provider: Option<&str>) -> Identity {
        let user = UserId::from_number(number);
        Identity {
            user,
            username: format!("p{number}").parse().unwrap(),
            email: format!("p{number}@lab.example").parse().ok(),
            given_name: PersonName::default(),
            family_name: PersonName::default(),
            status: UserStatus::Active,
            roles: [role.parse().unwrap()].into(),
            memberships: vec![Membership {
                ip_pattern: ip_pattern.map(|name| name.parse().unwrap()),
                provider: provider.map(|name| name.parse().unwrap()),
                ..Membership::plain(user, TeamName::main())
            }],
            projects: Vec::new(),
            session: SessionId::from_number(1),
            signed_in: SignedIn {
                attributes: BTreeMap::new(),
                ..SignedIn::by_password(now())
            },
            revision: 1,
        }
    }

    const RULES: &str = r#"
        signin.methods = ["password", "saml"]
        idp.okta = { kind = "saml", metadata = "https://idp.example/m", email_domains = ["lab.example"] }
        ip_pattern.office.include = ["10.1.2.3"]
        window.mornings = { from = "06:00", to = "07:00" }
        role.warden = { admin = ["users"], grantable_by = ["admin"], require = { ip_pattern = ["office"], window = ["mornings"], mfa = true } }
        role.keeper = { admin = ["audit"], grantable_by = ["admin"] }
        role.boss = { includes = ["warden"], grantable_by = ["admin"] }
    "#;

    #[test]
    fn who_could_administer_is_judged_from_every_kind_of_address_at_every_time() {
        let policies = policies(RULES);
        for (name, person, expected) in [
            ("admin", person(1, "admin", None, None), Reach::Locally),
            ("plain user", person(1, "user", None, None), Reach::Never),
            ("another power", person(1, "keeper", None, None), Reach::Never),
            ("one address, one hour a day", person(1, "warden", None, None), Reach::Locally),
            ("through another role", person(1, "boss", None, None), Reach::Locally),
            ("bound to a place", person(1, "admin", Some("office"), None), Reach::Locally),
            (
                "bound to a place that is gone",
                person(1, "admin", Some("gone"), None),
                Reach::Never,
            ),
            (
                "bound to a provider",
                person(1, "admin", None, Some("okta")),
                Reach::ThroughProvider,
            ),
            (
                "bound to a provider that is gone",
                person(1, "admin", None, Some("gone")),
                Reach::Never,
            ),
        ] {
            assert_eq!(could_administer(&policies, &person, now()), expected, "{name}");
        }
    }

    #[test]
    fn w250_and_w251() {
        let policies = policies(RULES);
        let local = || person(1, "admin", None, None);
        let other = || person(2, "admin", None, None);
        let mut disabled = other();
        disabled.status = UserStatus::Disabled;
        let one = Some(UserId::from_number(1));
        let user = || person(1, "user", None, None);
        let bound = |number| person(number, "admin", None, Some("okta"));
        type Row<'r> = (&'r str, Vec<Identity>, Option<UserId>, &'r [(&'r str, Level)]);
        let rows: Vec<Row<'_>> = vec![
            ("no user yet", vec![], None, &[("W250", Level::Warning)]),
            ("nobody can", vec![user()], None, &[("W250", Level::Error)]),
            ("one is disabled", vec![local(), disabled], None, &[("W251", Level::Warning)]),
            ("two can", vec![local(), other()], one, &[]),
            (
                "not the one who applies",
                vec![user(), other(), person(3, "admin", None, None)],
                one,
                &[("W250", Level::Error)],
            ),
            (
                "all through a provider",
                vec![bound(1), bound(2)],
                None,
                &[("W251", Level::Warning)],
            ),
        ];
        for (name, people, applying, expected) in rows {
            let found: Vec<(&str, Level)> = administrators(&policies, &people, applying, now())
                .into_iter()
                .map(|finding| (finding.code, finding.level))
                .collect();
            assert_eq!(found, expected, "{name}");
        }
    }
}
