//! Sessions: how they end, what they carry, where they go.

use super::*;

#[tokio::test]
async fn a_session_ends_idle_absolute_and_when_told() {
    let house = House::new();
    house.add("ada@lab.example", Some(GOOD)).await;
    let idle = house.sign_in("ada", GOOD).await.value;
    let used = house.sign_in("ada", GOOD).await.value;
    for _ in 0..23 {
        house.clock.advance(HOUR);
        assert!(house.lives(&used).await);
    }
    assert!(!house.lives(&idle).await, "unused for two hours");
    house.clock.advance(HOUR);
    assert!(!house.lives(&used).await, "24 hours old");
    let new = house.sign_in("ada", GOOD).await.value;
    let caller = house.caller(&new).await.unwrap();
    let facts = house.facts(HOME);
    house.accounts.sign_out(&caller, &visit(&facts)).await.unwrap();
    assert!(!house.lives(&new).await);
}

#[tokio::test]
async fn a_live_session_is_found_without_the_store() {
    let house = House::new();
    house.add("ada@lab.example", Some(GOOD)).await;
    let value = house.sign_in("ada", GOOD).await.value;
    assert!(house.accounts.remembered(&value, PORTAL, house.now()).is_none(), "not read yet");
    assert!(house.lives(&value).await);
    assert!(house.accounts.remembered(&value, PORTAL, house.now()).is_some());
    assert!(
        house.accounts.remembered(&value, "app.example", house.now()).is_none(),
        "another host"
    );
    let stranger = SessionValue::generate(&Random::System);
    assert!(house.accounts.remembered(&stranger, PORTAL, house.now()).is_none());
}

#[tokio::test]
async fn a_role_counts_from_the_next_request_and_brings_a_new_value() {
    let house = House::new();
    house.add("ada@lab.example", Some(GOOD)).await;
    let bo = house.add("bo@lab.example", Some(GOOD)).await.user.id;
    let value = house.sign_in("bo", GOOD).await.value;
    let caller = house.caller(&value).await.unwrap();
    assert!(caller.identity().roles.is_empty() && !caller.rotate);
    let by = Acting::command_line();
    assert_eq!(
        house.accounts.set_admin(bo, true, &by, house.now()).await.unwrap(),
        EditOutcome::Changed
    );
    assert!(
        house.accounts.remembered(&value, PORTAL, house.now()).is_none(),
        "forgotten at once"
    );
    let caller = house.caller(&value).await.unwrap();
    assert!(caller.identity().roles.contains("admin") && caller.rotate);
    let new = house.accounts.rotate(&caller, house.now()).await.unwrap().unwrap();
    assert!(house.accounts.rotate(&caller, house.now()).await.unwrap().is_none(), "once");
    let old = house.caller(&value).await.unwrap();
    assert!(!old.rotate);
    house.clock.advance(Duration::from_secs(30));
    assert!(!house.lives(&value).await, "30 seconds later");
    let caller = house.caller(&new).await.unwrap();
    assert!(!caller.rotate);
    assert_eq!(
        house.accounts.set_admin(bo, false, &by, house.now()).await.unwrap(),
        EditOutcome::Changed
    );
    let caller = house.caller(&new).await.unwrap();
    assert!(
        caller.identity().roles.is_empty() && !caller.rotate,
        "a role that is lost asks for no new value"
    );
}

#[tokio::test]
async fn changing_the_password_keeps_this_session_and_ends_the_others() {
    let house = House::new();
    house.add("ada@lab.example", Some(GOOD)).await;
    let here = house.sign_in("ada", GOOD).await.value;
    let there = house.sign_in("ada", GOOD).await.value;
    let caller = house.caller(&here).await.unwrap();
    assert!(house.lives(&there).await);
    let facts = house.facts(HOME);
    let change = |current: &str, new: &str| {
        let (current, new, facts, caller, accounts) = (
            password_of(current),
            password_of(new),
            facts.clone(),
            caller.clone(),
            Arc::clone(&house.accounts),
        );
        async move { accounts.change_password(&caller, current, new, &visit(&facts)).await.unwrap() }
    };
    assert_eq!(change(BETTER, BETTER).await, ChangeOutcome::WrongCurrent);
    assert_eq!(change(GOOD, "short").await, ChangeOutcome::Weak(WeakPassword::Short(12)));
    assert_eq!(change(GOOD, BETTER).await, ChangeOutcome::Changed);
    assert!(house.lives(&here).await);
    assert!(!house.lives(&there).await);
    house.sign_in("ada", BETTER).await;
}

#[tokio::test]
async fn own_sessions_are_listed_and_ended() {
    let house = House::new();
    let ada = house.add("ada@lab.example", Some(GOOD)).await.user.id;
    house.add("bo@lab.example", Some(GOOD)).await;
    let here = house.sign_in("ada", GOOD).await;
    let there = house.sign_in("ada", GOOD).await;
    let third = house.sign_in("ada", GOOD).await;
    let bos = house.sign_in("bo", GOOD).await;
    let caller = house.caller(&here.value).await.unwrap();
    let facts = house.facts(HOME);
    let lines = house.accounts.own_sessions(&caller, house.now()).await.unwrap();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines.iter().filter(|line| line.current).count(), 1);
    assert!(
        house
            .accounts
            .end_own_session(&caller, there.session.id, &visit(&facts))
            .await
            .unwrap()
    );
    assert!(
        !house
            .accounts
            .end_own_session(&caller, bos.session.id, &visit(&facts))
            .await
            .unwrap(),
        "not hers"
    );
    assert!(!house.lives(&there.value).await);
    assert_eq!(house.accounts.end_all_others(&caller, &visit(&facts)).await.unwrap(), 1);
    assert!(house.lives(&here.value).await && !house.lives(&third.value).await && house.lives(&bos.value).await);
    let by = Acting::command_line();
    assert_eq!(house.accounts.end_all_of(ada, &by, house.now()).await.unwrap(), Some(1));
    assert!(!house.lives(&here.value).await);
    assert!(house.accounts.end_session(bos.session.id, &by, house.now()).await.unwrap());
    assert!(!house.lives(&bos.value).await);
}

#[tokio::test]
async fn a_ticket_takes_a_session_to_one_host_once() {
    let house = House::new();
    house.add("ada@lab.example", Some(GOOD)).await;
    let value = house.sign_in("ada", GOOD).await.value;
    let caller = house.caller(&value).await.unwrap();
    let login = house.accounts.begin_login(house.now());
    let stranger = house.accounts.begin_login(house.now());
    let arrive = |ticket: String, host: &'static str, login: Option<login::LoginSecret>| {
        let accounts = Arc::clone(&house.accounts);
        let facts = RequestFacts::new(Method::GET, host, "/.portcullis/callback", None, house.now());
        async move { accounts.redeem_ticket(&ticket, login.as_ref(), &visit(&facts)).await.unwrap() }
    };
    let ticket = || {
        let to = house.accounts.ticket(
            &caller,
            "app.example",
            login.digest(),
            "https://app.example/x".to_owned(),
            house.now(),
        );
        to.unwrap().expose().clone()
    };
    for (name, host, cookie) in [
        ("another host", "other.example", Some(login.clone())),
        ("another browser", "app.example", Some(stranger)),
        ("no cookie", "app.example", None),
    ] {
        assert!(matches!(arrive(ticket(), host, cookie).await, Arrival::Stranger), "{name}");
    }
    let good = ticket();
    let Arrival::Arrived { session, go_on } = arrive(good.clone(), "app.example", Some(login.clone())).await else {
        panic!("it did not arrive")
    };
    assert_eq!(go_on, "https://app.example/x");
    assert!(
        matches!(arrive(good, "app.example", Some(login.clone())).await, Arrival::Stranger),
        "twice"
    );
    let there = house.accounts.caller(&session.value, "app.example", house.now()).await.unwrap();
    assert!(matches!(there, Presented::Live(_)));
    assert!(!house.lives(&session.value).await, "not on the portal");
    let late = ticket();
    house.clock.advance(Duration::from_secs(30));
    assert!(
        matches!(arrive(late, "app.example", Some(login.clone())).await, Arrival::Stranger),
        "too late"
    );
    let facts = house.facts(HOME);
    house.accounts.sign_out(&caller, &visit(&facts)).await.unwrap();
    let there = house.accounts.caller(&session.value, "app.example", house.now()).await.unwrap();
    assert!(matches!(there, Presented::Ended), "signed out everywhere");
}

#[tokio::test]
async fn form_values_are_one_for_each_session_and_sign_in() {
    let house = House::new();
    house.add("ada@lab.example", Some(GOOD)).await;
    let one = house.sign_in("ada", GOOD).await.session.id;
    let two = house.sign_in("ada", GOOD).await.session.id;
    let of = |session| house.accounts.csrf_of_session(session);
    assert!(csrf_fits(&of(one), &of(one)));
    assert!(!csrf_fits(&of(one), &of(two)));
    assert!(!csrf_fits(&of(one), ""));
    let login = house.accounts.begin_login(house.now());
    let renewed = login.renewed(house.now().after(MINUTE));
    assert_eq!(house.accounts.csrf_of_login(&login), house.accounts.csrf_of_login(&renewed));
}

#[tokio::test]
async fn keys_are_made_kept_and_published() {
    let house = House::new();
    assert!(house.accounts.signing_key(house.now()).is_none());
    house.accounts.tend_keys(house.now()).await.unwrap();
    let first = house.accounts.signing_key(house.now()).unwrap();
    house.accounts.tend_keys(house.now()).await.unwrap();
    assert_eq!(
        house.accounts.signing_key(house.now()).unwrap().id(),
        first.id(),
        "read again, the same"
    );
    assert!(house.accounts.jwks().contains(first.id()));
    house.clock.advance(29 * 24 * HOUR);
    house.accounts.tend_keys(house.now()).await.unwrap();
    assert_eq!(house.accounts.jwks().matches("\"kid\"").count(), 2, "published ahead");
    assert_eq!(house.accounts.signing_key(house.now()).unwrap().id(), first.id());
    house.clock.advance(24 * HOUR);
    assert_ne!(house.accounts.signing_key(house.now()).unwrap().id(), first.id(), "its turn");
    house.clock.advance(2 * HOUR);
    house.accounts.tend_keys(house.now()).await.unwrap();
    assert!(!house.accounts.jwks().contains(first.id()), "retired");
}

#[tokio::test]
async fn with_the_store_away_nobody_gets_in_and_live_sessions_go_on_as_long_as_the_settings_say() {
    for on_loss in [Duration::ZERO, MINUTE] {
        let house = House::with(HouseRules {
            on_loss,
            ..HouseRules::default()
        });
        house.add("ada@lab.example", Some(GOOD)).await;
        let value = house.sign_in("ada", GOOD).await.value;
        let other = house.sign_in("ada", GOOD).await.value;
        assert!(house.lives(&value).await);
        house.clock.advance(Duration::from_secs(2));
        house.accounts.store.close().await;
        let facts = house.facts(HOME);
        let typed = Credentials {
            name: "ada".to_owned(),
            password: password_of(GOOD),
            realm: Realm::Unsaid,
            remember: false,
        };
        house
            .accounts
            .sign_in(typed, None, &visit(&facts))
            .await
            .expect_err("nobody signs in");
        house
            .accounts
            .caller(&other, PORTAL, house.now())
            .await
            .expect_err("nobody is found who was not known");
        house.accounts.health().expect_err("it is said");
        let goes_on = house.accounts.caller(&value, PORTAL, house.now()).await.is_ok();
        assert_eq!(goes_on, on_loss == MINUTE, "{on_loss:?}");
        house.clock.advance(MINUTE);
        house.accounts.caller(&value, PORTAL, house.now()).await.expect_err("not for ever");
    }
}

#[tokio::test]
async fn everybodys_sessions_come_a_page_at_a_time_there_and_back() {
    let house = House::new();
    house.add("ada@lab.example", Some(GOOD)).await;
    house.add("bo@lab.example", Some(GOOD)).await;
    let mut made = Vec::new();
    for name in ["ada", "bo", "ada", "bo", "ada"] {
        house.clock.advance(MINUTE);
        let session = house.sign_in(name, GOOD).await.value;
        made.push(house.caller(&session).await.unwrap().session().id);
    }
    made.reverse();
    let by = Acting::command_line();
    let list = async |page: Page| {
        let all = SessionSearch::All;
        house.accounts.list_sessions(&all, &page, 2, &by, house.now()).await.unwrap()
    };
    let ids = |page: &SessionPage| -> Vec<_> { page.lines.iter().map(|one| one.line.session.id).collect() };
    let first = list(Page::First).await;
    assert_eq!((ids(&first).as_slice(), first.before.is_some()), (&made[..2], false));
    let second = list(Page::After(first.after.clone().unwrap())).await;
    assert_eq!(ids(&second), &made[2..4]);
    let last = list(Page::After(second.after.clone().unwrap())).await;
    assert_eq!((ids(&last).as_slice(), last.after.is_some()), (&made[4..], false));
    let back = list(Page::Before(last.before.clone().unwrap())).await;
    assert_eq!(ids(&back), &made[2..4]);
    let back = list(Page::Before(back.before.clone().unwrap())).await;
    assert_eq!(ids(&back), &made[..2]);
    assert_eq!(
        ids(&list(Page::After("rubbish!".to_owned())).await),
        &made[..2],
        "no cursor of ours"
    );

    // Who has ended all of theirs has none here, though the rows are still in the store.
    let bo = house.accounts.user_named("bo").await.unwrap().unwrap().id;
    house.accounts.end_all_of(bo, &by, house.now()).await.unwrap();
    let left = list(Page::First).await;
    assert!(left.lines.iter().all(|one| one.user.id != bo), "{left:?}");
    house.clock.advance(3 * HOUR);
    assert!(list(Page::First).await.lines.is_empty(), "all have gone idle");
}
