//! Accounts: made, given roles, shut, removed, listed.

use super::*;

#[tokio::test]
async fn the_first_account_is_admin_and_no_other() {
    let house = House::new();
    assert!(house.accounts.needs_first_admin().await.unwrap());
    let first = house.add("ada@lab.example", Some(GOOD)).await;
    let second = house.add("bo@lab.example", None).await;
    assert!(first.user.is_active_admin());
    assert!(second.user.roles.is_empty());
    assert_eq!(first.token, None);
    assert_eq!(second.token.unwrap().kind, TokenKind::Registration);
    assert!(!house.accounts.needs_first_admin().await.unwrap());
}

#[tokio::test]
async fn of_many_at_once_there_is_one_first() {
    let house = Arc::new(House::new());
    let mut adding = Vec::new();
    for n in 0..12 {
        let house = Arc::clone(&house);
        adding.push(tokio::spawn(async move { house.add(&format!("u{n}@lab.example"), None).await }));
    }
    let mut admins = 0;
    for added in adding {
        admins += usize::from(!added.await.unwrap().user.roles.is_empty());
    }
    assert_eq!(admins, 1);
}

#[tokio::test]
async fn an_address_and_a_username_are_given_once() {
    let house = House::new();
    house.add("ada@lab.example", None).await;
    assert!(matches!(house.try_add("ADA@lab.example", None, None).await, AddOutcome::EmailTaken));
    assert!(matches!(
        house.try_add("x@lab.example", Some("Ada"), None).await,
        AddOutcome::UsernameTaken
    ));
    let other = house.add("ada@uni.example", None).await;
    assert_eq!(other.user.username.as_str(), "ada-2", "derived names give way");
    assert!(matches!(
        house.try_add("y@lab.example", None, Some("short")).await,
        AddOutcome::Weak(WeakPassword::Short(12))
    ));
}

#[tokio::test]
async fn the_last_admin_stays_even_before_they_have_registered() {
    let house = House::new();
    let ada = house.add("ada@lab.example", None).await.user.id;
    let bo = house.add("bo@lab.example", None).await.user.id;
    let by = Acting::command_line();
    let demote = |id| house.accounts.set_admin(id, false, &by, house.now());
    assert_eq!(demote(ada).await.unwrap(), EditOutcome::LastAdmin);
    assert_eq!(house.accounts.delete(ada, &by, house.now()).await.unwrap(), EditOutcome::LastAdmin);
    house.accounts.set_admin(bo, true, &by, house.now()).await.unwrap();
    assert_eq!(demote(ada).await.unwrap(), EditOutcome::Changed, "another waits as well");
    assert_eq!(demote(bo).await.unwrap(), EditOutcome::LastAdmin);
}

#[tokio::test]
async fn the_last_admin_stays() {
    let house = House::new();
    let ada = house.add("ada@lab.example", Some(GOOD)).await.user.id;
    let bo = house.add("bo@lab.example", Some(GOOD)).await.user.id;
    let by = Acting::command_line();
    for (name, outcome) in [
        ("demote", house.accounts.set_admin(ada, false, &by, house.now()).await.unwrap()),
        ("disable", house.accounts.disable(ada, &by, house.now()).await.unwrap()),
        ("delete", house.accounts.delete(ada, &by, house.now()).await.unwrap()),
    ] {
        assert_eq!(outcome, EditOutcome::LastAdmin, "{name}");
    }
    assert_eq!(
        house.accounts.set_admin(bo, true, &by, house.now()).await.unwrap(),
        EditOutcome::Changed
    );
    let (one, two) = tokio::join!(
        house.accounts.set_admin(ada, false, &by, house.now()),
        house.accounts.set_admin(bo, false, &by, house.now()),
    );
    let mut outcomes = [one.unwrap(), two.unwrap()];
    outcomes.sort_by_key(|outcome| *outcome == EditOutcome::LastAdmin);
    assert_eq!(
        outcomes,
        [EditOutcome::Changed, EditOutcome::LastAdmin],
        "two who are demoted at once"
    );
}

#[tokio::test]
async fn nobody_changes_their_own_role_and_reach_is_kept() {
    let house = House::new();
    let ada = house.add("ada@lab.example", Some(GOOD)).await.user.id;
    let bo = house.add("bo@lab.example", Some(GOOD)).await.user.id;
    let as_ada = Acting {
        actor: crate::model::event::Actor::User(ada),
        ..Acting::command_line()
    };
    assert_eq!(
        house.accounts.set_admin(ada, false, &as_ada, house.now()).await.unwrap(),
        EditOutcome::Own
    );
    assert_eq!(house.accounts.delete(ada, &as_ada, house.now()).await.unwrap(), EditOutcome::Own);
    let helper = Acting {
        admin: false,
        ..as_ada.clone()
    };
    assert_eq!(
        house.accounts.set_admin(bo, true, &helper, house.now()).await.unwrap(),
        EditOutcome::NotAllowed
    );
    assert_eq!(
        house.accounts.token_for(ada, false, &helper, house.now()).await.unwrap(),
        TokenFor::NotFound,
        "an admin's token"
    );
    house.ask_reset("ada@lab.example").await;
    for (name, by, shown) in [
        ("an admin", Acting::command_line(), 1),
        ("somebody with less power", helper.clone(), 0),
    ] {
        let line = house.accounts.user(ada, &by, house.now()).await.unwrap().unwrap();
        assert_eq!(
            line.tokens.len(),
            shown,
            "an admin's reset token opens the admin's account: shown to {name}"
        );
        let page = house
            .accounts
            .list_users(&Filter::default(), &Page::First, 10, &by, house.now())
            .await
            .unwrap();
        let listed = page.lines.iter().find(|line| line.user.id == ada).unwrap();
        assert_eq!(
            (listed.tokens.len(), listed.changeable),
            (shown, shown == 1),
            "in the list of {name}"
        );
    }
    let other_team = Acting {
        reach: Reach::Teams(["acme".parse().unwrap()].into()),
        ..helper
    };
    assert_eq!(
        house.accounts.disable(bo, &other_team, house.now()).await.unwrap(),
        EditOutcome::NotFound
    );
    assert!(house.accounts.user(bo, &other_team, house.now()).await.unwrap().is_none());
}

#[tokio::test]
async fn disabling_and_deleting_end_sessions_and_tokens() {
    let house = House::new();
    house.add("ada@lab.example", Some(GOOD)).await;
    let by = Acting::command_line();
    let bo = house.add("bo@lab.example", Some(GOOD)).await.user.id;
    let value = house.sign_in("bo", GOOD).await.value;
    house.ask_reset("bo@lab.example").await;
    let token = house.shown(bo).await.remove(0).text;
    assert!(house.lives(&value).await);
    house.accounts.disable(bo, &by, house.now()).await.unwrap();
    assert!(house.accounts.remembered(&value, PORTAL, house.now()).is_none());
    assert!(!house.lives(&value).await);
    assert!(matches!(house.reset("bo@lab.example", &token, BETTER).await, TokenOutcome::NoMatch));
    assert_eq!(
        house.accounts.token_for(bo, false, &by, house.now()).await.unwrap(),
        TokenFor::Disabled
    );
    house.accounts.enable(bo, &by, house.now()).await.unwrap();
    assert!(!house.lives(&value).await, "what has ended stays ended");
    let value = house.sign_in("bo", GOOD).await.value;
    house.accounts.delete(bo, &by, house.now()).await.unwrap();
    assert!(!house.lives(&value).await);
    assert!(house.accounts.user_named("bo").await.unwrap().is_none());
    house.add("bo@lab.example", None).await;
}

#[tokio::test]
async fn the_printed_secret_makes_the_first_admin_once() {
    let house = House::new();
    let secret = house.accounts.first_admin_secret().await.unwrap().unwrap();
    let new = |email: &str| NewUser {
        email: email.parse().unwrap(),
        username: None,
        given_name: Default::default(),
        family_name: Default::default(),
        role: None,
        team_role: None,
        team: None,
        ip_pattern: None,
        provider: None,
        password: Some(password_of(GOOD)),
    };
    let facts = house.facts(HOME);
    let wrong = "A".repeat(43);
    assert!(matches!(
        house
            .accounts
            .make_first_admin(&wrong, new("eve@lab.example"), &visit(&facts))
            .await
            .unwrap(),
        FirstAdminOutcome::Closed
    ));
    let FirstAdminOutcome::Made(added, signed_in) = house
        .accounts
        .make_first_admin(secret.expose(), new("ada@lab.example"), &visit(&facts))
        .await
        .unwrap()
    else {
        panic!("not made")
    };
    assert!(added.user.is_active_admin());
    assert!(matches!(*signed_in, SignInOutcome::SignedIn(_)));
    assert!(matches!(
        house
            .accounts
            .make_first_admin(secret.expose(), new("bo@lab.example"), &visit(&facts))
            .await
            .unwrap(),
        FirstAdminOutcome::Closed
    ));
    assert!(house.accounts.first_admin_secret().await.unwrap().is_none());
}

#[tokio::test]
async fn a_list_is_searched_filtered_and_turned_page_by_page() {
    let house = House::new();
    let by = Acting::command_line();
    for n in 0..25 {
        house.add(&format!("u{n:02}@lab.example"), None).await;
    }
    let list = |filter: Filter, page: Page| {
        let (accounts, by, now) = (Arc::clone(&house.accounts), by.clone(), house.now());
        async move { accounts.list_users(&filter, &page, 10, &by, now).await.unwrap() }
    };
    let mut seen = Vec::new();
    let mut page = Page::First;
    let mut last = None;
    loop {
        let shown = list(Filter::default(), page).await;
        assert_eq!((shown.total, shown.from), (25, seen.len() + 1));
        seen.extend(shown.lines.iter().map(|line| line.user.id));
        last = shown.before.clone().or(last);
        let Some(after) = shown.after else { break };
        page = Page::After(after);
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 25, "everybody once");
    let before = list(Filter::default(), Page::Before(last.unwrap())).await;
    assert_eq!((before.lines.len(), before.from), (10, 11));
    let found = list(
        Filter {
            text: "U07@".to_owned(),
            ..Filter::default()
        },
        Page::First,
    )
    .await;
    assert_eq!(found.total, 1);
    assert_eq!(found.lines[0].tokens.len(), 1, "with its token");
    let admins = list(
        Filter {
            role: Some("admin".parse().unwrap()),
            status: Some(StatusFilter::Is(UserStatus::Pending)),
            team: Some("main".parse().unwrap()),
            ..Filter::default()
        },
        Page::First,
    )
    .await;
    assert_eq!(admins.total, 1);
    let nobody = list(
        Filter {
            team: Some("acme".parse().unwrap()),
            ..Filter::default()
        },
        Page::First,
    )
    .await;
    assert_eq!((nobody.total, nobody.from, nobody.all), (0, 0, 25));
}

#[tokio::test]
async fn a_list_shows_at_once_what_was_done_since_it_was_made() {
    let house = House::new();
    let by = Acting::command_line();
    let first = house.add("first@lab.example", Some(GOOD)).await.user.id;
    let found = async |filter: Filter| {
        let page = house.accounts.list_users(&filter, &Page::First, 10, &by, house.now()).await;
        let mut names: Vec<String> = page.unwrap().lines.iter().map(|line| line.user.username.to_string()).collect();
        names.sort();
        names.join(" ")
    };
    let all = async || found(Filter::default()).await;
    let status = |status| Filter {
        status: Some(status),
        ..Filter::default()
    };
    assert_eq!(all().await, "first");
    let ada = house.add("ada@lab.example", Some(GOOD)).await.user.id;
    let bo = house.add("bo@lab.example", None).await.user.id;
    assert_eq!(all().await, "ada bo first");
    assert_eq!(found(status(StatusFilter::Is(UserStatus::Pending))).await, "bo");
    house.accounts.set_admin(ada, true, &by, house.now()).await.unwrap();
    let admins = || Filter {
        role: Some("admin".parse().unwrap()),
        ..Filter::default()
    };
    assert_eq!(found(admins()).await, "ada first");
    house.accounts.disable(first, &by, house.now()).await.unwrap();
    assert_eq!(found(status(StatusFilter::Is(UserStatus::Disabled))).await, "first");

    // A reset that somebody asks for is there until it ends, without anybody doing anything.
    assert_eq!(found(status(StatusFilter::ResetAsked)).await, "");
    let facts = house.facts(HOME);
    house.accounts.ask_reset("ada@lab.example", &visit(&facts)).await.unwrap();
    assert_eq!(found(status(StatusFilter::ResetAsked)).await, "ada");
    house.clock.advance(HOUR);
    assert_eq!(found(status(StatusFilter::ResetAsked)).await, "");

    house.accounts.delete(bo, &by, house.now()).await.unwrap();
    assert_eq!(all().await, "ada first");
    // Nobody asks for a while, and then somebody does again.
    house.clock.advance(2 * HOUR);
    house.accounts.sweep(house.now());
    house.add("cy@lab.example", None).await;
    assert_eq!(all().await, "ada cy first");
    let before = status(StatusFilter::ResetAsked);
    house
        .accounts
        .ask_reset("ada@lab.example", &visit(&house.facts(HOME)))
        .await
        .unwrap();
    assert_eq!(found(before).await, "ada");
}
