//! What somebody may give in a team: the limits that console, API and commands go by.
//!
//! Source: `POLICY.md` section 4, `role.N.grantable_by` and `team.N.apps roles idps copy_from`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::model::membership::Offer;
use crate::model::name::{ApplicationName, IpPatternName, PermissionName, ProviderName, RoleName, TeamName};
use crate::model::role::Permission;

use super::application::Application;
use super::definitions::{Provider, ProviderKind, Role, Scope, Team};
use super::held::Held;
use super::set::PolicySet;

/// The roles of somebody who gives, by which `grantable_by` is judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Giver {
    everywhere: BTreeSet<RoleName>,
    in_team: BTreeMap<TeamName, BTreeSet<RoleName>>,
    /// Roles of each team that they may not give, present and former names: whoever holds one has more power than they have.
    above: BTreeMap<TeamName, BTreeSet<RoleName>>,
}

impl Giver {
    /// One with the role `admin` and no other, as the command line of the machine is.
    #[must_use]
    pub fn admin() -> Self {
        Self {
            everywhere: BTreeSet::from([RoleName::admin()]),
            ..Self::default()
        }
    }

    /// Somebody with what they hold now.
    #[must_use]
    pub fn of(policies: &PolicySet, held: &Held) -> Self {
        let in_team: BTreeMap<TeamName, BTreeSet<RoleName>> = held
            .teams()
            .iter()
            .map(|team| (team.clone(), held.roles_in(team).iter().cloned().collect()))
            .collect();
        let mut giver = Self {
            everywhere: held.roles_everywhere().iter().cloned().collect(),
            in_team,
            above: BTreeMap::new(),
        };
        for team in held.teams() {
            let roles = policies.definitions().roles.iter();
            let above = roles
                .filter(|role| role.scope == Scope::Team)
                .filter(|role| !giver.holds_one_of(&present_roles(policies, &role.grantable_by), team))
                .flat_map(|role| role.formerly.iter().chain([&role.name]))
                .cloned()
                .collect();
            giver.above.insert(team.clone(), above);
        }
        giver
    }

    /// Whether they hold the role `admin`: then nothing is beyond them.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.everywhere.contains(&RoleName::admin())
    }

    /// Whether whoever holds these roles of a team has no more power there than they have.
    #[must_use]
    pub fn is_over(&self, team: &TeamName, roles: &BTreeSet<RoleName>) -> bool {
        let above = self.above.get(team);
        self.is_admin() || above.is_none_or(|above| above.is_disjoint(roles))
    }

    fn holds_one_of(&self, roles: &[RoleName], team: &TeamName) -> bool {
        let here = self.in_team.get(team);
        roles
            .iter()
            .any(|role| self.everywhere.contains(role) || here.is_some_and(|here| here.contains(role)))
    }
}

/// Something that may not be given, by this person or at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotGiven {
    /// There is no such team, or none within reach.
    Team(TeamName),
    /// That role.
    Role(RoleName),
    /// That application.
    Application(ApplicationName),
    /// That permission, which the application does not have.
    Permission(Permission),
    /// That provider is none of the team's.
    Provider(ProviderName),
    /// There is no such IP pattern.
    IpPattern(IpPatternName),
    /// A project that the team does not have.
    Project,
    /// The team takes only addresses of its domains.
    Domain(Vec<String>),
    /// Nobody invites themselves.
    Oneself,
    /// Who has more power than the giver keeps what binds them.
    Bounds,
}

impl fmt::Display for NotGiven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Team(name) => write!(f, "There is no team \"{name}\" that you may put people into"),
            Self::Role(name) => write!(f, "You may not give the role \"{name}\" in this team"),
            Self::Application(name) => write!(f, "You may not give the application \"{name}\" in this team"),
            Self::Permission(permission) => write!(f, "There is no permission \"{permission}\""),
            Self::Provider(name) => write!(f, "\"{name}\" is no SAML ID provider of this team"),
            Self::IpPattern(name) => write!(f, "There is no IP pattern \"{name}\""),
            Self::Project => f.write_str("The team has no such project"),
            Self::Domain(domains) => write!(f, "This team takes only addresses of {}", domains.join(", ")),
            Self::Oneself => f.write_str("You cannot invite yourself"),
            Self::Bounds => f.write_str("This person has more than you may give: provider and IP pattern stay as they are"),
        }
    }
}

/// What one person may give in one team.
#[derive(Clone, Debug)]
pub struct Delegation<'p> {
    policies: &'p PolicySet,
    /// Whether the giver holds the role `admin`: what the team may not give any more is theirs to take.
    takes_all: bool,
    /// The team.
    pub team: &'p Team,
    /// Team roles, in the order of the policy.
    pub roles: Vec<&'p Role>,
    /// Applications, with every permission of theirs.
    pub applications: Vec<&'p Application>,
    /// SAML identity providers.
    pub providers: Vec<&'p Provider>,
}

impl<'p> Delegation<'p> {
    /// What `giver` may give in a team; `None` if policy has no such team.
    #[must_use]
    pub fn of(policies: &'p PolicySet, giver: &Giver, team: &TeamName) -> Option<Self> {
        let team = policies.team(team)?;
        let roles = policies
            .definitions()
            .roles
            .iter()
            .filter(|role| role.scope == Scope::Team && team.roles.iter().any(|name| is_role(policies, name, role)))
            .filter(|role| giver.holds_one_of(&present_roles(policies, &role.grantable_by), &team.name))
            .collect();
        let applications = team.apps.iter().filter_map(|name| policies.application(name)).collect();
        let providers = team
            .idps
            .iter()
            .filter_map(|name| policies.provider(name))
            .filter(|provider| provider.kind == ProviderKind::Saml)
            .collect();
        Some(Self {
            policies,
            takes_all: giver.is_admin(),
            team,
            roles,
            applications,
            providers,
        })
    }

    /// What of an offer may not be given. Only what differs from `before` counts: what somebody has already is not given anew, and what
    /// they have beyond this giver's limits cannot be taken by them either.
    #[must_use]
    pub fn refuses(&self, offer: &Offer, before: Option<&Offer>) -> Vec<NotGiven> {
        let nothing = Offer::nothing(offer.team.clone());
        let before = before.unwrap_or(&nothing);
        let mut refused = Vec::new();
        for role in offer.roles.symmetric_difference(&before.roles) {
            // A role that policy no longer has gives nothing, and may be taken off.
            let taken = before.roles.contains(role);
            let lost = taken && (self.takes_all || self.policies.role(role).is_none());
            if !lost && !self.roles.iter().any(|known| is_role(self.policies, role, known)) {
                refused.push(NotGiven::Role(role.clone()));
            }
        }
        let applications: BTreeSet<&ApplicationName> = offer.permissions.keys().chain(before.permissions.keys()).collect();
        for name in applications {
            let (new, old) = (offer.permissions.get(name), before.permissions.get(name));
            if new != old {
                self.refuses_application(name, new, old, &mut refused);
            }
        }
        let bounds_moved = (&offer.provider, &offer.ip_pattern) != (&before.provider, &before.ip_pattern);
        if bounds_moved && !self.takes_all && self.is_beyond(before) {
            refused.push(NotGiven::Bounds);
        }
        if offer.provider != before.provider
            && let Some(name) = &offer.provider
            && !self.providers.iter().any(|provider| provider.name == *name)
        {
            refused.push(NotGiven::Provider(name.clone()));
        }
        if offer.ip_pattern != before.ip_pattern
            && let Some(name) = &offer.ip_pattern
            && self.policies.ip_pattern(name).is_none()
        {
            refused.push(NotGiven::IpPattern(name.clone()));
        }
        refused
    }

    /// What of an offer this giver may give: what "Copy from…" leaves of somebody else's. Projects are the store's to judge.
    #[must_use]
    pub fn within(&self, offer: Offer) -> Offer {
        let Offer {
            team,
            roles,
            permissions,
            projects,
            ip_pattern,
            provider,
        } = offer;
        let permissions = permissions
            .into_iter()
            .filter_map(|(name, ticked)| {
                let application = self.application(&name)?;
                let known = ticked.into_iter().filter(|permission| has(application, permission)).collect();
                Some((name, known))
            })
            .collect();
        Offer {
            roles: roles
                .into_iter()
                .filter(|name| self.roles.iter().any(|known| is_role(self.policies, name, known)))
                .collect(),
            permissions,
            projects,
            ip_pattern: ip_pattern.filter(|name| self.policies.ip_pattern(name).is_some()),
            provider: provider.filter(|name| self.providers.iter().any(|provider| provider.name == *name)),
            team,
        }
    }

    /// What is left of an offer that was made before: what the team gives no longer is dropped, what binds stays and denies.
    #[must_use]
    pub fn still(policies: &'p PolicySet, offer: &Offer) -> Option<Offer> {
        let team = policies.team(&offer.team)?;
        let given = |name: &RoleName| {
            team.roles
                .iter()
                .any(|one| policies.role(one).map(|role| &role.name) == policies.role(name).map(|role| &role.name))
        };
        let apps = |name: &ApplicationName| {
            let wanted = policies.application(name).map(|application| &application.name);
            wanted.is_some()
                && team
                    .apps
                    .iter()
                    .any(|one| policies.application(one).map(|application| &application.name) == wanted)
        };
        let mut left = offer.clone();
        left.roles.retain(|name| policies.role(name).is_some() && given(name));
        left.permissions.retain(|name, _| apps(name));
        Some(left)
    }

    /// Whether an offer holds a role or an application that this giver may not give.
    fn is_beyond(&self, offer: &Offer) -> bool {
        let role =
            |name: &RoleName| self.policies.role(name).is_some() && !self.roles.iter().any(|known| is_role(self.policies, name, known));
        let application = |name: &ApplicationName| self.policies.application(name).is_some() && self.application(name).is_none();
        offer.roles.iter().any(role) || offer.permissions.keys().any(application)
    }

    fn refuses_application(
        &self,
        name: &ApplicationName,
        new: Option<&BTreeSet<PermissionName>>,
        old: Option<&BTreeSet<PermissionName>>,
        refused: &mut Vec<NotGiven>,
    ) {
        let Some(application) = self.application(name) else {
            // One that the team does not give any more may be taken off.
            if new.is_some() {
                refused.push(NotGiven::Application(name.clone()));
            }
            return;
        };
        let had = |permission: &PermissionName| old.is_some_and(|old| old.contains(permission));
        for permission in new.into_iter().flatten() {
            if !had(permission) && !has(application, permission) {
                refused.push(NotGiven::Permission(Permission {
                    application: name.clone(),
                    name: permission.clone(),
                }));
            }
        }
    }

    fn application(&self, name: &ApplicationName) -> Option<&'p Application> {
        let application = self.policies.application(name)?;
        self.applications.iter().copied().find(|known| known.name == application.name)
    }
}

fn has(application: &Application, permission: &PermissionName) -> bool {
    application.permissions.iter().any(|known| known.name == *permission)
}

/// Whether a name, present or former, is that role's.
fn is_role(policies: &PolicySet, name: &RoleName, role: &Role) -> bool {
    policies.role(name).is_some_and(|known| known.name == role.name)
}

fn present_roles(policies: &PolicySet, names: &[RoleName]) -> Vec<RoleName> {
    names
        .iter()
        .filter_map(|name| policies.role(name))
        .map(|role| role.name.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixture::{company, compiled, n, permission};

    fn giver(everywhere: &[&str], team: &str, roles: &[&str]) -> Giver {
        Giver {
            everywhere: everywhere.iter().map(|name| n(name)).collect(),
            in_team: BTreeMap::from([(n(team), roles.iter().map(|name| n(name)).collect())]),
            above: BTreeMap::new(),
        }
    }

    fn policies() -> PolicySet {
        let mut definitions = company();
        let acme = definitions.teams.iter_mut().find(|team| team.name == n("acme")).unwrap();
        acme.apps = vec![n("eln")];
        acme.roles = vec![n("team-user"), n("team-permission-admin")];
        for role in definitions.roles.iter_mut().filter(|role| role.scope == Scope::Team) {
            role.grantable_by = vec![n("team-permission-admin"), RoleName::admin()];
        }
        compiled(definitions)
    }

    fn offer(roles: &[&str], permissions: &[(&str, &[&str])]) -> Offer {
        Offer {
            roles: roles.iter().map(|name| n(name)).collect(),
            permissions: permissions
                .iter()
                .map(|(app, ticked)| (n(app), ticked.iter().map(|name| n(name)).collect()))
                .collect(),
            ..Offer::nothing(n("acme"))
        }
    }

    #[test]
    fn roles_are_given_by_who_may_give_them_and_in_their_team_only() {
        let policies = policies();
        for (name, giver, role, given) in [
            ("an admin", Giver::admin(), "team-user", true),
            (
                "a team's own administrator",
                giver(&[], "acme", &["team-permission-admin"]),
                "team-user",
                true,
            ),
            (
                "their own role",
                giver(&[], "acme", &["team-permission-admin"]),
                "team-permission-admin",
                true,
            ),
            (
                "another team's administrator",
                giver(&[], "beta", &["team-permission-admin"]),
                "team-user",
                false,
            ),
            ("a member", giver(&[], "acme", &["team-user"]), "team-user", false),
            ("nobody", Giver::default(), "team-user", false),
            ("a role that the team has not", Giver::admin(), "team-data-quality", false),
            ("a role of the instance", Giver::admin(), "operator", false),
            ("admin", Giver::admin(), "admin", false),
            ("a role that there is not", Giver::admin(), "gone", false),
        ] {
            let delegation = Delegation::of(&policies, &giver, &n("acme")).unwrap();
            let refused = delegation.refuses(&offer(&[role], &[]), None);
            let expected = if given { vec![] } else { vec![NotGiven::Role(n(role))] };
            assert_eq!(refused, expected, "{name}");
        }
        assert!(Delegation::of(&policies, &Giver::admin(), &n("gone")).is_none());
    }

    #[test]
    fn applications_are_the_teams_and_permissions_the_applications() {
        let policies = policies();
        let delegation = Delegation::of(&policies, &Giver::admin(), &n("acme")).unwrap();
        let refused = |permissions: &[(&str, &[&str])]| delegation.refuses(&offer(&[], permissions), None);
        assert_eq!(refused(&[("eln", &["dq"])]), []);
        assert_eq!(refused(&[("eln", &["gone"])]), [NotGiven::Permission(permission("eln:gone"))]);
        assert_eq!(refused(&[("gone", &[])]), [NotGiven::Application(n("gone"))]);
    }

    #[test]
    fn what_is_beyond_a_givers_limits_stays_as_it_was() {
        let policies = policies();
        let helper = giver(&[], "acme", &["team-user"]);
        let delegation = Delegation::of(&policies, &helper, &n("acme")).unwrap();
        let had = offer(&["team-permission-admin", "gone"], &[("gone", &["x"])]);
        assert_eq!(delegation.refuses(&had, Some(&had)), [], "nothing is changed");
        let taken = offer(&["gone"], &[("gone", &["x"])]);
        assert_eq!(
            delegation.refuses(&taken, Some(&had)),
            [NotGiven::Role(n("team-permission-admin"))],
            "nor taken"
        );
        let cleaned = offer(&["team-permission-admin"], &[]);
        assert_eq!(delegation.refuses(&cleaned, Some(&had)), [], "what is lost may be taken off");
        let unbound = Offer {
            ip_pattern: Some(n("acme-sites")),
            ..had.clone()
        };
        assert_eq!(delegation.refuses(&had, Some(&unbound)), [NotGiven::Bounds], "nor loosened");
        let admin = Delegation::of(&policies, &Giver::admin(), &n("acme")).unwrap();
        assert_eq!(admin.refuses(&offer(&[], &[]), Some(&unbound)), [], "an admin takes all");
        let had = offer(&["team-data-quality"], &[("eln", &[])]);
        assert_eq!(
            admin.refuses(&offer(&[], &[]), Some(&had)),
            [],
            "also what the team gives no longer"
        );
        assert_eq!(Delegation::still(&policies, &had).unwrap(), offer(&[], &[("eln", &[])]));
    }

    #[test]
    fn patterns_and_providers_are_those_that_there_are() {
        let policies = policies();
        let delegation = Delegation::of(&policies, &Giver::admin(), &n("acme")).unwrap();
        let bound = Offer {
            ip_pattern: Some(n("gone")),
            provider: Some(n("gone")),
            ..offer(&[], &[])
        };
        assert_eq!(
            delegation.refuses(&bound, None),
            [NotGiven::Provider(n("gone")), NotGiven::IpPattern(n("gone"))]
        );
        assert_eq!(delegation.refuses(&bound, Some(&bound)), []);
        assert_eq!(delegation.within(bound), offer(&[], &[]));
    }

    #[test]
    fn what_is_copied_stays_within_the_limits() {
        let policies = policies();
        let delegation = Delegation::of(&policies, &giver(&[], "acme", &["team-user"]), &n("acme")).unwrap();
        let copied = delegation.within(offer(&["team-permission-admin"], &[("eln", &["dq", "gone"]), ("gone", &[])]));
        assert_eq!(copied, offer(&[], &[("eln", &["dq"])]));
        assert_eq!(delegation.refuses(&copied, None), []);
    }
}
