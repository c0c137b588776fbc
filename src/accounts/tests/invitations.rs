use std::collections::BTreeSet;

use super::*;
use crate::accounts::invitee::AccountForm;
use crate::model::event::Actor;
use crate::model::invitation::Progress;
use crate::model::membership::Offer;
use crate::model::message::MessageStanding;
use crate::model::name::TeamName;
use crate::policy::definitions::{Role, Scope, Team};
use crate::policy::delegation::{Giver, NotGiven};

const SAM: &str = "sam@northgate.example";

/// A team of three seats, a role that may be given there and one that may not.
fn rules() -> &'static PolicySet {
    static POLICIES: std::sync::OnceLock<PolicySet> = std::sync::OnceLock::new();
    POLICIES.get_or_init(|| {
        let mut definitions = Definitions::default();
        for (name, grantable_by) in [("helper", vec![RoleName::admin()]), ("secret", vec![])] {
            definitions.roles.push(Role {
                scope: Scope::Team,
                grantable_by,
                ..Role::plain(name.parse().unwrap())
            });
        }
        definitions.teams.push(Team {
            roles: vec!["helper".parse().unwrap(), "secret".parse().unwrap()],
            max_users: Some(2),
            ..Team::plain(acme())
        });
        PolicySet::compile(definitions.with_built_ins()).unwrap()
    })
}

thread_local! {
    /// What browsers were given, by link.
    static BEGUN: std::cell::RefCell<Vec<(String, String)>> = const { std::cell::RefCell::new(Vec::new()) };
}

fn acme() -> TeamName {
    "acme".parse().unwrap()
}

fn offer(roles: &[&str]) -> Offer {
    Offer {
        roles: roles.iter().map(|name| name.parse().unwrap()).collect(),
        ..Offer::nothing(acme())
    }
}

fn account_form(username: &str) -> AccountForm {
    AccountForm {
        given_name: "Sam".parse().unwrap(),
        family_name: "Osei".parse().unwrap(),
        username: username.parse().unwrap(),
        password: password_of(GOOD),
    }
}

impl House {
    async fn try_invite(&self, email: &str, offer: Offer, by: &Acting) -> InviteOutcome {
        let new = NewInvitation {
            email: email.parse().unwrap(),
            offer,
        };
        self.accounts.invite(&new, rules(), by, self.now()).await.unwrap()
    }

    async fn invite(&self, email: &str) -> Invited {
        let outcome = self.try_invite(email, offer(&["helper"]), &Acting::command_line()).await;
        let InviteOutcome::Invited(invited) = outcome else {
            panic!("{outcome:?}")
        };
        *invited
    }

    fn door<'a>(&self, facts: &'a RequestFacts) -> Visit<'a> {
        Visit {
            policies: rules(),
            ..visit(facts)
        }
    }

    /// Fills the account form in; what the browser is given stays with whoever asked last.
    async fn begin(&self, link: &str, username: &str) -> BeginOutcome {
        let facts = self.facts(HOME);
        let outcome = self.accounts.begin(link, account_form(username), &self.door(&facts)).await.unwrap();
        if let BeginOutcome::TokenSent { begun } = &outcome {
            BEGUN.with_borrow_mut(|kept| kept.push((link.to_owned(), begun.expose().clone())));
        }
        outcome
    }

    fn begun_of(&self, link: &str) -> String {
        BEGUN.with_borrow(|kept| {
            kept.iter()
                .rfind(|(of, _)| of == link)
                .map(|(_, begun)| begun.clone())
                .unwrap_or_default()
        })
    }

    async fn confirm(&self, link: &str, token: &str) -> ConfirmOutcome {
        let facts = self.facts(HOME);
        self.accounts
            .confirm((link, &self.begun_of(link)), token, None, &self.door(&facts))
            .await
            .unwrap()
    }

    async fn token_of(&self, invited: &Invited) -> String {
        let by = Acting::command_line();
        let now = self.now();
        let invited = self
            .accounts
            .invitation(invited.invitation.id, rules(), &by, now)
            .await
            .unwrap()
            .unwrap();
        invited.token.unwrap().text
    }
}

fn link(invited: &Invited) -> String {
    invited.link.as_ref().unwrap().expose().clone()
}

#[tokio::test]
async fn an_invitation_makes_an_account_with_what_was_promised() {
    let house = House::new();
    house.add("ada@lab.example", Some(GOOD)).await;
    let invited = house.invite(SAM).await;
    assert_eq!(invited.progress, Progress::Sent);
    let link = link(&invited);
    let welcome = house
        .accounts
        .welcome(&link, &house.begun_of(&link), house.now())
        .await
        .unwrap()
        .unwrap();
    assert!(!welcome.has_account && welcome.token.is_none());
    assert!(matches!(house.begin(&link, "sam").await, BeginOutcome::TokenSent { .. }));
    let token = house.token_of(&invited).await;
    let ConfirmOutcome::SignedIn(session) = house.confirm(&link, &token).await else {
        panic!("not signed in")
    };
    let caller = house.caller(&session.value).await.unwrap();
    let identity = caller.identity();
    assert_eq!(identity.email.as_ref().unwrap().as_str(), SAM);
    assert_eq!(identity.username.as_str(), "sam");
    let membership = &identity.memberships[0];
    assert_eq!(membership.offer(), offer(&["helper"]));
    assert!(
        house
            .accounts
            .welcome(&link, &house.begun_of(&link), house.now())
            .await
            .unwrap()
            .is_none(),
        "it ends with the registration"
    );
    assert!(
        matches!(house.confirm(&link, &token).await, ConfirmOutcome::Ended),
        "nothing works twice"
    );
    assert!(matches!(house.sign_in_from("sam", GOOD, HOME).await, SignInOutcome::SignedIn(_)));
    let left = house
        .accounts
        .list_invitations(
            &InvitationFilter::default(),
            InvitationsFrom::First,
            10,
            (rules(), &Acting::command_line()),
            house.now(),
        )
        .await
        .unwrap();
    assert_eq!(left.total, 0);
}

#[tokio::test]
async fn a_wrong_token_counts_and_the_link_starts_again() {
    let house = House::new();
    house.add("ada@lab.example", Some(GOOD)).await;
    let invited = house.invite(SAM).await;
    let link = link(&invited);
    house.begin(&link, "sam").await;
    let right = house.token_of(&invited).await;
    let mut other = TokenText::generate(TokenStyle::Code, &Random::System).to_shown();
    while other == right {
        other = TokenText::generate(TokenStyle::Code, &Random::System).to_shown();
    }
    assert!(matches!(
        house.confirm(&link, "K7QF!2MX").await,
        ConfirmOutcome::Flawed(InvalidToken::Characters)
    ));
    for left in (1..5).rev() {
        let outcome = house.confirm(&link, &other).await;
        assert!(
            matches!(outcome, ConfirmOutcome::Wrong { left: told } if told == left),
            "{outcome:?}"
        );
    }
    assert!(matches!(house.confirm(&link, &other).await, ConfirmOutcome::Locked));
    assert!(
        matches!(house.confirm(&link, &right).await, ConfirmOutcome::Locked),
        "even the right one"
    );
    let welcome = house
        .accounts
        .welcome(&link, &house.begun_of(&link), house.now())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(welcome.progress, Progress::Locked);
    house.begin(&link, "sam").await;
    assert!(
        matches!(house.confirm(&link, &right).await, ConfirmOutcome::Wrong { .. }),
        "a new token replaced it"
    );
    let token = house.token_of(&invited).await;
    house.clock.advance(HOUR);
    assert!(matches!(house.confirm(&link, &token).await, ConfirmOutcome::Expired));
    house.begin(&link, "sam").await;
    let token = house.token_of(&invited).await;
    assert!(matches!(house.confirm(&link, &token).await, ConfirmOutcome::SignedIn(_)));
}

#[tokio::test]
async fn links_end_after_48_hours_and_are_replaced_by_sending_again() {
    let house = House::new();
    house.add("ada@lab.example", Some(GOOD)).await;
    let by = Acting::command_line();
    let first = house.invite(SAM).await;
    let id = first.invitation.id;
    assert!(matches!(
        house.try_invite(SAM, offer(&[]), &by).await,
        InviteOutcome::EmailInvited(open) if open == id
    ));
    let again = house.accounts.invite_again(id, rules(), &by, house.now()).await.unwrap();
    let InviteOutcome::Invited(again) = again else {
        panic!("{again:?}")
    };
    assert!(
        house.accounts.welcome(&link(&first), "", house.now()).await.unwrap().is_none(),
        "the first link ended"
    );
    assert!(house.accounts.welcome(&link(&again), "", house.now()).await.unwrap().is_some());
    house.clock.advance(47 * HOUR);
    house.accounts.extend_invitation(id, rules(), &by, house.now()).await.unwrap();
    house.clock.advance(47 * HOUR);
    assert!(
        house.accounts.welcome(&link(&again), "", house.now()).await.unwrap().is_some(),
        "it was extended"
    );
    house.clock.advance(HOUR);
    assert!(house.accounts.welcome(&link(&again), "", house.now()).await.unwrap().is_none());
    let listed = house.accounts.invitation(id, rules(), &by, house.now()).await.unwrap().unwrap();
    assert_eq!((listed.progress, listed.link.is_none()), (Progress::Ended, true));
    assert!(matches!(
        house.accounts.extend_invitation(id, rules(), &by, house.now()).await.unwrap(),
        InviteOutcome::Ended
    ));
    let anew = house.invite(SAM).await;
    assert_ne!(anew.invitation.id, id, "the ended one is replaced");
    assert!(
        house
            .accounts
            .withdraw_invitation(anew.invitation.id, &by, house.now())
            .await
            .unwrap()
    );
    assert!(house.accounts.welcome(&link(&anew), "", house.now()).await.unwrap().is_none());
    assert!(
        !house
            .accounts
            .withdraw_invitation(anew.invitation.id, &by, house.now())
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn an_address_with_an_account_joins_with_it_once_its_person_agreed() {
    let house = House::new();
    house.add("ada@lab.example", Some(GOOD)).await;
    house.add(SAM, Some(GOOD)).await;
    let invited = house.invite(SAM).await;
    let link = link(&invited);
    assert!(
        house
            .accounts
            .welcome(&link, &house.begun_of(&link), house.now())
            .await
            .unwrap()
            .unwrap()
            .has_account
    );
    assert!(
        matches!(house.begin(&link, "sam-2").await, BeginOutcome::HasAccount),
        "no second account"
    );
    let facts = house.facts(HOME);
    let ada = house.caller(&house.sign_in("ada@lab.example", GOOD).await.value).await.unwrap();
    assert_eq!(
        house.accounts.join(&link, &ada, &house.door(&facts)).await.unwrap(),
        JoinOutcome::SomebodyElse
    );
    let value = house.sign_in(SAM, GOOD).await.value;
    let sam = house.caller(&value).await.unwrap();
    assert_eq!(
        house.accounts.join(&link, &sam, &house.door(&facts)).await.unwrap(),
        JoinOutcome::Joined
    );
    let teams: BTreeSet<TeamName> = house
        .caller(&value)
        .await
        .unwrap()
        .identity()
        .memberships
        .iter()
        .map(|one| one.team.clone())
        .collect();
    assert_eq!(teams, BTreeSet::from([TeamName::main(), acme()]));
    assert_eq!(
        house.accounts.join(&link, &sam, &house.door(&facts)).await.unwrap(),
        JoinOutcome::Ended
    );
    assert!(matches!(
        house.try_invite(SAM, offer(&[]), &Acting::command_line()).await,
        InviteOutcome::EmailInTeam
    ));
}

#[tokio::test]
async fn nobody_gives_what_they_may_not_give() {
    let house = House::new();
    house.add("ada@lab.example", Some(GOOD)).await;
    let admin = Acting::command_line();
    let outsider = Acting {
        actor: Actor::Anonymous,
        address: None,
        reach: Reach::Teams(BTreeSet::from([TeamName::main()])),
        admin: false,
        giver: Giver::default(),
    };
    let helper = Acting {
        reach: Reach::Teams(BTreeSet::from([acme()])),
        ..outsider.clone()
    };
    for (name, by, roles, expected) in [
        ("a role of policy only", &admin, "secret", NotGiven::Role("secret".parse().unwrap())),
        ("by who may not", &helper, "helper", NotGiven::Role("helper".parse().unwrap())),
        ("into another team", &outsider, "helper", NotGiven::Team(acme())),
    ] {
        let outcome = house.try_invite(SAM, offer(&[roles]), by).await;
        assert!(
            matches!(&outcome, InviteOutcome::NotGiven(refused) if *refused == [expected]),
            "{name}: {outcome:?}"
        );
    }
    let invited = house.invite(SAM).await;
    let id = invited.invitation.id;
    let now = house.now();
    assert!(
        house.accounts.invitation(id, rules(), &outsider, now).await.unwrap().is_none(),
        "another team's is not found"
    );
    assert!(!house.accounts.withdraw_invitation(id, &outsider, now).await.unwrap());
    assert!(matches!(
        house.accounts.invite_again(id, rules(), &helper, now).await.unwrap(),
        InviteOutcome::NotGiven(_)
    ));
    assert!(matches!(
        house
            .accounts
            .change_invitation(id, (&offer(&["helper"]), &offer(&["helper", "secret"])), rules(), &admin, now)
            .await
            .unwrap(),
        InviteOutcome::NotGiven(_)
    ));
    let changed = house
        .accounts
        .change_invitation(id, (&offer(&["helper"]), &offer(&[])), rules(), &admin, now)
        .await
        .unwrap();
    assert!(matches!(changed, InviteOutcome::Invited(one) if one.invitation.offer.roles.is_empty()));
    let late = (offer(&["helper"]), offer(&["secret"]));
    let outcome = house
        .accounts
        .change_invitation(id, (&late.0, &late.1), rules(), &admin, now)
        .await
        .unwrap();
    assert!(
        matches!(outcome, InviteOutcome::Moved),
        "what somebody else changed is not overwritten: {outcome:?}"
    );
}

#[tokio::test]
async fn letters_of_a_withdrawn_invitation_are_not_sent_any_more() {
    let house = House::with(HouseRules {
        mail: true,
        ..HouseRules::default()
    });
    house.add("ada@lab.example", Some(GOOD)).await;
    let (id, by) = (house.invite(SAM).await.invitation.id, Acting::command_line());
    let letters = async || {
        let all = house.accounts.letters_about_invitation(&id.to_string()).await.unwrap();
        let waiting = all.iter().filter(|one| one.standing() == MessageStanding::Waiting).count();
        (all.len(), waiting)
    };
    assert_eq!(letters().await, (1, 1));
    house.accounts.invite_again(id, rules(), &by, house.now()).await.unwrap();
    assert_eq!(letters().await, (2, 1), "the link of the first has ended, and so has its letter");
    assert!(house.accounts.withdraw_invitation(id, &by, house.now()).await.unwrap());
    assert_eq!(letters().await, (2, 0));
}

#[tokio::test]
async fn an_invitation_that_has_ended_is_sent_again_only_while_there_is_a_seat() {
    let house = House::new();
    house.add("ada@lab.example", Some(GOOD)).await;
    let (sam, by) = (house.invite(SAM).await.invitation.id, Acting::command_line());
    house.clock.advance(49 * HOUR);
    house.invite("kim@northgate.example").await;
    house.invite("lee@northgate.example").await;
    let again = async || house.accounts.invite_again(sam, rules(), &by, house.now()).await.unwrap();
    assert!(matches!(again().await, InviteOutcome::Full { seats: 2 }));
}

#[tokio::test]
async fn seats_are_promised_once_and_taken_once() {
    let house = House::new();
    house.add("ada@lab.example", Some(GOOD)).await;
    let sam = house.invite(SAM).await;
    let kim = house.invite("kim@northgate.example").await;
    assert!(matches!(
        house.try_invite("lee@northgate.example", offer(&[]), &Acting::command_line()).await,
        InviteOutcome::Full { seats: 2 }
    ));
    house.begin(&link(&sam), "sam").await;
    house.begin(&link(&kim), "kim").await;
    let (sam_token, kim_token) = (house.token_of(&sam).await, house.token_of(&kim).await);
    let (sam_link, kim_link) = (link(&sam), link(&kim));
    let (one, other) = tokio::join!(house.confirm(&sam_link, &sam_token), house.confirm(&kim_link, &kim_token));
    assert!(
        matches!((&one, &other), (ConfirmOutcome::SignedIn(_), ConfirmOutcome::SignedIn(_))),
        "{one:?} {other:?}"
    );
    assert!(matches!(
        house.try_invite("lee@northgate.example", offer(&[]), &Acting::command_line()).await,
        InviteOutcome::Full { seats: 2 }
    ));
}

#[tokio::test]
async fn two_who_confirm_at_once_make_one_account() {
    let house = House::new();
    house.add("ada@lab.example", Some(GOOD)).await;
    let invited = house.invite(SAM).await;
    let link = link(&invited);
    house.begin(&link, "sam").await;
    let token = house.token_of(&invited).await;
    let (one, other) = tokio::join!(house.confirm(&link, &token), house.confirm(&link, &token));
    let both = [&one, &other];
    let made = both.iter().filter(|outcome| matches!(outcome, ConfirmOutcome::SignedIn(_))).count();
    assert_eq!(made, 1, "{one:?} {other:?}");
}

#[tokio::test]
async fn lists_begin_with_the_newest_and_go_both_ways() {
    let house = House::new();
    house.add("ada@lab.example", Some(GOOD)).await;
    let by = Acting::command_line();
    for number in 0..7 {
        house.clock.advance(MINUTE);
        let outcome = house
            .try_invite(&format!("p{number}@lab.example"), Offer::nothing(TeamName::main()), &by)
            .await;
        assert!(matches!(outcome, InviteOutcome::Invited(_)), "{outcome:?}");
    }
    let page = async |from| {
        let filter = InvitationFilter::default();
        house
            .accounts
            .list_invitations(&filter, from, 3, (rules(), &by), house.now())
            .await
            .unwrap()
    };
    let names = |page: &InvitationPage| {
        let names = page
            .lines
            .iter()
            .map(|line| line.invitation.email.as_str().chars().take(2).collect::<String>());
        names.collect::<Vec<_>>().join(" ")
    };
    let first = page(InvitationsFrom::First).await;
    assert_eq!((names(&first).as_str(), first.from, first.total), ("p6 p5 p4", 1, 7));
    assert!(first.before.is_none());
    let second = page(InvitationsFrom::After(first.after.unwrap())).await;
    assert_eq!((names(&second).as_str(), second.from), ("p3 p2 p1", 4));
    let third = page(InvitationsFrom::After(second.after.unwrap())).await;
    assert_eq!((names(&third).as_str(), third.from, third.after), ("p0", 7, None));
    let back = page(InvitationsFrom::Before(third.before.unwrap())).await;
    assert_eq!((names(&back).as_str(), back.from), ("p3 p2 p1", 4));
    let filter = InvitationFilter {
        text: "P4@".to_owned(),
        progress: Some(Progress::Sent),
        ..InvitationFilter::default()
    };
    let found = house
        .accounts
        .list_invitations(&filter, InvitationsFrom::First, 3, (rules(), &by), house.now())
        .await
        .unwrap();
    assert_eq!(names(&found), "p4");
}
