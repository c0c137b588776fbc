//! Laws of invitations, over random ones: nobody gives what the policy does not let them give, and what a preview said is what is decided once the
//! person is there.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::base::sources::{NamedFile, PolicyTexts, SourceText};
use crate::model::event::{Actor, Event};
use crate::model::id::{ProjectId, SessionId};
use crate::model::membership::{Membership, Offer};
use crate::model::name::TeamName;
use crate::model::principal::{Principal, SignedIn};
use crate::model::role::SignInMethod;
use crate::model::session::{Session, SessionValueRecord};
use crate::model::team::Level;
use crate::policy::application::HostPattern;
use crate::policy::delegation::Giver;
use crate::policy::foresee::{foresee, person_to_be};
use crate::policy::{Context, decide, house, load, wanted};
use crate::store::Commit;

const POLICY: &str = r#"
ip_pattern.office = { title = "Office", include = ["192.0.2.0/24"] }
ip_pattern.labs = { title = "Labs", include = ["192.0.2.128/25", "2001:db8::/32"] }
ip_pattern.away = { title = "Away", include = ["198.51.100.0/24"] }

[role]
helper = { title = "Helper", scope = "team", admin = ["users", "invitations"], grantable_by = ["admin", "helper"], permissions = ["notebook:read"] }
keeper = { title = "Keeper", scope = "team", includes = ["helper"], admin = ["projects"], grantable_by = ["admin", "keeper"], permissions = ["notebook:write"] }
reader = { title = "Reader", scope = "team", grantable_by = ["helper"] }
fixed = { title = "Fixed", scope = "team", grantable_by = ["admin"], permissions = ["stock:count"] }
foreign = { title = "Foreign", scope = "team", grantable_by = ["admin", "helper", "keeper"] }

[idp]
acme = { kind = "saml", title = "ACME", metadata = "idp/acme.xml" }
elsewhere = { kind = "saml", title = "Elsewhere", metadata = "idp/elsewhere.xml" }

[team]
acme = { title = "ACME", roles = ["helper", "keeper", "reader", "fixed"], apps = ["notebook", "stock"], idps = ["acme"] }
bound = { title = "Bound", roles = ["helper", "reader"], apps = ["notebook", "board"], ip_pattern = ["office"] }

[app.notebook]
title = "Notebook"
host = "notebook.example"
upstream = "http://127.0.0.1:9"
require = { assigned = true }
permission.read = { title = "Read" }
permission.write = { title = "Write" }
rule = [{ path = "/", require = { permissions = ["read"] } }]

[app.stock]
title = "Stock"
host = "stock.example"
upstream = "http://127.0.0.1:9"
ip_pattern = ["office"]
require = { any_of = [{ permissions = ["count"] }, { roles = ["keeper"] }] }
permission.count = { title = "Count" }
permission.order = { title = "Order" }

[app.board]
title = "Board"
host = "board.example"
upstream = "http://127.0.0.1:9"
signin = { methods = ["password"] }
require = { teams = ["bound", "acme"] }

[app.far]
title = "Far"
host = "far.example"
upstream = "http://127.0.0.1:9"
require = { roles = ["reader", "foreign"], ip_pattern = ["labs"] }
"#;

fn rules() -> PolicySet {
    let mut texts = PolicyTexts {
        files: vec![SourceText {
            name: "policies/laws.toml".into(),
            text: POLICY.into(),
        }],
        ..PolicyTexts::default()
    };
    let metadata = |name: &str| {
        format!(
            r#"<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="https://{name}"><IDPSSODescriptor/></EntityDescriptor>"#
        )
    };
    for wanted in wanted(&texts) {
        let text = metadata(&wanted.written);
        texts.named.insert(wanted.written, NamedFile::Plain(text.as_bytes().into()));
    }
    let now = Timestamp::from_secs(1_900_000_000);
    match load(&texts, &Context::plain(PORTAL, now)) {
        Ok((policies, _)) => policies,
        Err(findings) => panic!("{}", findings.iter().map(|one| one.render(&texts.texts())).collect::<String>()),
    }
}

/// Makes choices from a seed (splitmix64), so that what fails can be had again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % sides as u64) as usize
    }

    /// Each with the chance of one in so many.
    fn some<T: std::str::FromStr<Err: std::fmt::Debug>>(&mut self, from: &[&str], one_in: usize) -> Vec<T> {
        let mut taken = Vec::new();
        for text in from {
            if self.roll(one_in) == 0 {
                taken.push(text.parse().unwrap());
            }
        }
        taken
    }

    /// One of them, or none as often as not.
    fn perhaps<T: std::str::FromStr<Err: std::fmt::Debug>>(&mut self, from: &[&str]) -> Option<T> {
        (self.roll(2) == 0).then(|| from[self.roll(from.len())].parse().unwrap())
    }

    /// Mostly what could be given, at times what could not.
    fn offer(&mut self, projects: &[(ProjectId, TeamName)]) -> Offer {
        let team: TeamName = ["acme", "bound", "gone"][[0, 0, 0, 1, 1, 1, 2][self.roll(7)]].parse().unwrap();
        let mut permissions = BTreeMap::new();
        for (name, of_it) in [
            ("notebook", &["read", "write"][..]),
            ("stock", &["count", "order"]),
            ("board", &[]),
            ("far", &[]),
        ] {
            if self.roll(3) == 0 {
                let mut ticked: BTreeSet<_> = self.some(of_it, 2).into_iter().collect();
                if self.roll(20) == 0 {
                    ticked.insert("unheard-of".parse().unwrap());
                }
                permissions.insert(name.parse().unwrap(), ticked);
            }
        }
        let mut levels = BTreeMap::new();
        for (project, of) in projects {
            if self.roll(3) == 0 && (*of == team || self.roll(10) == 0) {
                levels.insert(*project, [Level::Guest, Level::Member][self.roll(2)]);
            }
        }
        Offer {
            roles: self
                .some(&["helper", "keeper", "reader", "fixed", "foreign"], 4)
                .into_iter()
                .collect(),
            permissions,
            projects: levels,
            ip_pattern: self.perhaps(&["office", "labs", "away", "office", "labs", "gone"]),
            provider: self.perhaps(&["acme", "acme", "acme", "elsewhere"]),
            team,
        }
    }
}

/// What the policy says of giving, read off its text once more, in the plainest way.
fn may_be_given(policies: &PolicySet, offer: &Offer, roles_of_giver: &[&str], projects: &[(ProjectId, TeamName)]) -> bool {
    let Some(team) = policies.team(&offer.team) else { return false };
    let roles = offer.roles.iter().all(|name| {
        let role = policies.role(name).unwrap();
        team.roles.contains(name) && role.grantable_by.iter().any(|by| roles_of_giver.contains(&by.as_str()))
    });
    let applications = offer.permissions.iter().all(|(name, ticked)| {
        let known = &policies.application(name).unwrap().permissions;
        team.apps.contains(name) && ticked.iter().all(|one| known.iter().any(|permission| permission.name == *one))
    });
    let pattern = offer.ip_pattern.as_ref().is_none_or(|name| policies.ip_pattern(name).is_some());
    let provider = offer.provider.as_ref().is_none_or(|name| team.idps.contains(name));
    let projects = offer
        .projects
        .keys()
        .all(|id| projects.iter().any(|(known, of)| known == id && *of == offer.team));
    roles && applications && pattern && provider && projects
}

struct World {
    house: House,
    policies: PolicySet,
    projects: Vec<(ProjectId, TeamName)>,
}

impl World {
    async fn new() -> Self {
        let (house, policies) = (House::new(), rules());
        let mut projects = Vec::new();
        for (team, name) in [("acme", "Alpha"), ("acme", "Beta"), ("bound", "Gamma")] {
            let team: TeamName = team.parse().unwrap();
            let by = Acting::command_line();
            let added = house
                .accounts
                .add_project(&team, &name.parse().unwrap(), &policies, &by, house.now())
                .await
                .unwrap();
            let ProjectOutcome::Done(project) = added else {
                panic!("{added:?}")
            };
            projects.push((project.id, team));
        }
        Self { house, policies, projects }
    }

    /// Somebody active who has these roles in a team, or is in none.
    async fn person(&self, email: &str, in_team: Option<(&str, &[&str])>) -> User {
        let user = User {
            id: UserId::generate(&Random::System),
            email: Some(email.parse().unwrap()),
            username: email.split('@').next().unwrap().parse().unwrap(),
            given_name: "Given".parse().unwrap(),
            family_name: "Family".parse().unwrap(),
            status: UserStatus::Active,
            roles: BTreeSet::new(),
            password: None,
            external: BTreeSet::new(),
            epoch: 0,
            gains: 0,
            created: self.house.now(),
            last_sign_in: None,
        };
        let event = Event::new(Action::UserCreated, Actor::CommandLine, self.house.now());
        let mut commit = Commit::because(event).create(&user);
        if let Some((team, roles)) = in_team {
            commit = commit.create(&Membership {
                roles: roles.iter().map(|name| name.parse().unwrap()).collect(),
                ..Membership::plain(user.id, team.parse().unwrap())
            });
        }
        self.house.accounts.store.commit(commit).await.unwrap();
        user
    }

    /// A live session of somebody who signed in like this.
    async fn session(&self, user: &User, signed_in: SignedIn) -> SessionValue {
        let (now, value) = (self.house.now(), SessionValue::generate(&Random::System));
        let session = Session {
            id: SessionId::generate(&Random::System),
            user: user.id,
            epoch: 0,
            created: now,
            expires: now.after(HOUR),
            last_seen: now,
            rested: Duration::ZERO,
            signed_in,
            remember: false,
            address: None,
            agent: String::new(),
        };
        let shown = SessionValueRecord {
            digest: value.digest(),
            session: session.id,
            host: PORTAL.to_owned(),
            gains: 0,
            good_until: None,
        };
        let commit = Commit::because(Event::new(Action::SignedIn, Actor::User(user.id), now))
            .create(&session)
            .create(&shown);
        self.house.accounts.store.commit(commit).await.unwrap();
        value
    }

    /// Somebody who acts with what they hold.
    async fn acting(&self, user: &User) -> Acting {
        let identity = self
            .house
            .accounts
            .imagined(user, SignedIn::by_password(self.house.now()))
            .await
            .unwrap();
        let facts = self.house.facts(HOME);
        let standing = house::judge(&self.policies, &Principal::User(Arc::new(identity)), &facts);
        let held = standing.held.unwrap();
        Acting {
            actor: Actor::User(user.id),
            address: None,
            reach: Reach::Teams(held.powers().teams_with(crate::model::role::Power::Invitations).cloned().collect()),
            admin: false,
            giver: Giver::of(&self.policies, &held),
        }
    }
}

fn came_by(offer: &Offer, now: Timestamp) -> SignedIn {
    let by_password = SignedIn::by_password(now);
    match &offer.provider {
        Some(name) => SignedIn {
            method: SignInMethod::Saml,
            provider: Some(name.clone()),
            ..by_password
        },
        None => by_password,
    }
}

#[tokio::test]
async fn who_leaves_a_team_leaves_its_groups() {
    let world = World::new().await;
    let (accounts, now, by) = (&world.house.accounts, world.house.now(), Acting::command_line());
    let team: TeamName = "acme".parse().unwrap();
    let kim = world.person("kim@acme.example", Some(("acme", &[]))).await;
    let made = accounts.add_group(&team, &"Night shift".parse().unwrap(), &by, now).await.unwrap();
    let GroupOutcome::Done(group) = made else { panic!("{made:?}") };
    let change = GroupChange {
        name: group.name.clone(),
        members: [kim.id].into(),
        projects: [(world.projects[0].0, Level::Member)].into(),
    };
    let filled = accounts.change_group(&group, &change, &by, now).await.unwrap();
    assert!(matches!(filled, GroupOutcome::Done(_)), "{filled:?}");
    let levels = async || accounts.imagined(&kim, SignedIn::by_password(now)).await.unwrap().projects.len();
    assert_eq!(levels().await, 1);
    accounts.end_membership(kim.id, &team, &world.policies, &by, now).await.unwrap();
    let back = Membership::plain(kim.id, team);
    let event = Event::new(Action::MembershipChanged, Actor::CommandLine, now);
    accounts.store.commit(Commit::because(event).create(&back)).await.unwrap();
    assert_eq!(levels().await, 0, "who comes back begins without what the group gave");
}

#[tokio::test]
async fn a_teams_administrator_adds_nobody_to_the_team_past_an_invitation() {
    let world = World::new().await;
    let helper = world.person("helper@acme.example", Some(("acme", &["helper"]))).await;
    let new = NewUser {
        email: "boss@corp.example".parse().unwrap(),
        username: None,
        given_name: "B".parse().unwrap(),
        family_name: "O".parse().unwrap(),
        role: None,
        team_role: None,
        team: Some("acme".parse().unwrap()),
        ip_pattern: None,
        provider: None,
        password: None,
    };
    let by = world.acting(&helper).await;
    let accounts = &world.house.accounts;
    assert!(matches!(
        accounts.foresee_user(&new, &by).await.unwrap(),
        Some(AddOutcome::NotAllowed)
    ));
    let outcome = accounts.add_user(new, &by, world.house.now()).await.unwrap();
    assert!(matches!(outcome, AddOutcome::NotAllowed), "{outcome:?}");
}

#[tokio::test]
async fn what_is_given_may_be_given_and_what_a_preview_said_is_decided() {
    let world = World::new().await;
    let (accounts, policies, now) = (&world.house.accounts, &world.policies, world.house.now());
    let helper = world.person("helper@acme.example", Some(("acme", &["helper"]))).await;
    let keeper = world.person("keeper@acme.example", Some(("acme", &["keeper"]))).await;
    let other = world.person("other@bound.example", Some(("bound", &["helper"]))).await;
    let givers = [
        (Acting::command_line(), "", vec!["admin"]),
        (world.acting(&helper).await, "acme", vec!["helper"]),
        (world.acting(&keeper).await, "acme", vec!["keeper", "helper"]),
        (world.acting(&other).await, "bound", vec!["helper"]),
    ];
    let sam = world.person("sam@elsewhere.example", None).await;
    let names: BTreeMap<ProjectId, String> = world.projects.iter().map(|(id, _)| (*id, id.to_string())).collect();
    let mut dice = Dice(4);
    let (mut made, mut refused, mut allowed) = (0, 0, 0);
    while made < 1000 {
        let offer = dice.offer(&world.projects);
        let (by, reaches, roles) = &givers[dice.roll(givers.len())];
        let new = NewInvitation {
            email: sam.email.clone().unwrap(),
            offer: offer.clone(),
        };
        let may = (reaches.is_empty() || offer.team.as_str() == *reaches) && may_be_given(policies, &offer, roles, &world.projects);
        let outcome = accounts.invite(&new, policies, by, now).await.unwrap();
        let InviteOutcome::Invited(invited) = outcome else {
            assert!(!may, "{roles:?} may give {offer:#?}, and was told {outcome:?}");
            refused += 1;
            continue;
        };
        assert!(may, "{roles:?} may not give {offer:#?}");
        made += 1;
        // What whoever invites was shown.
        let imagined = person_to_be(&offer, &names, sam.email.clone(), now).unwrap();
        let seen = foresee(policies, &imagined, now);
        // The person joins, and asks each application.
        let value = world.session(&sam, came_by(&offer, now)).await;
        let caller = world.house.caller(&value).await.unwrap();
        let facts = world.house.facts(HOME);
        let at_the_door = Visit { policies, ..visit(&facts) };
        let link = invited.link.unwrap();
        let joined = accounts.join(link.expose(), &caller, &at_the_door).await.unwrap();
        assert_eq!(joined, JoinOutcome::Joined, "{offer:?}");
        let person = world.house.caller(&value).await.unwrap().principal;
        for one in seen {
            let HostPattern::Exact(host) = &one.application.hosts[0] else {
                panic!()
            };
            let asks = RequestFacts::new(Method::GET, host, "/", one.from, now);
            let decided = decide(policies, &person, &asks);
            assert_eq!(
                (decided.verdict, decided.reason.code()),
                (one.verdict, one.reason.code()),
                "{} for {offer:#?}",
                one.application.name
            );
            allowed += usize::from(decided.verdict == crate::policy::Verdict::Allow);
        }
        // And leaves again, so that the next invitation finds nobody.
        let membership = accounts.membership_of(sam.id, &offer.team).await.unwrap().unwrap();
        let event = Event::new(Action::MembershipChanged, Actor::CommandLine, now);
        accounts.store.commit(Commit::because(event).remove(&membership)).await.unwrap();
    }
    assert!(
        refused > 500 && allowed > 500,
        "the dice are dull: {refused} refused, {allowed} allowed"
    );
}
