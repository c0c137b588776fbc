//! Tokens: used once, in time, for one purpose, five guesses.

use super::*;

#[tokio::test]
async fn a_registration_token_completes_the_account_once() {
    let house = House::new();
    let added = house.add("bo@lab.example", None).await;
    let token = added.token.unwrap().text;
    assert!(
        matches!(house.sign_in_from("bo@lab.example", GOOD, HOME).await, SignInOutcome::Wrong),
        "not registered"
    );
    let new = signed_in(
        house
            .register("BO@lab.example", &token.to_lowercase().replace('-', " "), GOOD)
            .await,
    );
    assert!(house.lives(&new.value).await);
    assert_eq!(house.user(added.user.id).await.status, UserStatus::Active);
    assert!(
        matches!(house.register("bo@lab.example", &token, BETTER).await, TokenOutcome::NoMatch),
        "used"
    );
    assert!(
        matches!(house.reset("bo@lab.example", &token, BETTER).await, TokenOutcome::NoMatch),
        "another purpose"
    );
    house.sign_in("bo", GOOD).await;
    assert!(house.shown(added.user.id).await.is_empty());
}

#[tokio::test]
async fn a_token_ends_in_time_and_a_new_one_ends_the_old() {
    let house = House::new();
    let by = Acting::command_line();
    let bo = house.add("bo@lab.example", None).await;
    let old = bo.token.unwrap();
    assert_eq!(old.expires, house.now().after(48 * HOUR));
    let same = house.accounts.token_for(bo.user.id, false, &by, house.now()).await.unwrap();
    assert_eq!(same, TokenFor::Token(old.clone()), "shown again");
    let TokenFor::Token(new) = house.accounts.token_for(bo.user.id, true, &by, house.now()).await.unwrap() else {
        panic!("no token")
    };
    assert_ne!(old.text, new.text);
    assert!(
        matches!(house.register("bo@lab.example", &old.text, GOOD).await, TokenOutcome::NoMatch),
        "replaced"
    );
    house.clock.advance(48 * HOUR);
    assert!(
        matches!(house.register("bo@lab.example", &new.text, GOOD).await, TokenOutcome::NoMatch),
        "too late"
    );
    assert!(house.shown(bo.user.id).await.is_empty());
    let TokenFor::Token(again) = house.accounts.token_for(bo.user.id, false, &by, house.now()).await.unwrap() else {
        panic!("no token")
    };
    signed_in(house.register("bo@lab.example", &again.text, GOOD).await);
}

#[tokio::test]
async fn five_wrong_guesses_lock_a_token_and_nothing_else() {
    let house = House::new();
    let bo = house.add("bo@lab.example", Some(GOOD)).await.user.id;
    house.ask_reset("bo@lab.example").await;
    let right = house.shown(bo).await.remove(0);
    let wrong = ["0000-0000", "2222-2222"]
        .into_iter()
        .find(|text| *text != right.text && TokenText::parse(text, TokenStyle::Code).is_ok())
        .unwrap();
    for (name, typed) in [("a `!`", "K7QF!2MX"), ("seven symbols", "K7QF-2M"), ("nothing", "")] {
        assert!(
            matches!(house.reset("bo@lab.example", typed, BETTER).await, TokenOutcome::Flawed(_)),
            "{name}"
        );
    }
    assert_eq!(house.shown(bo).await.remove(0).tries_left, 5, "what cannot be a token costs no try");
    for left in (0..5).rev() {
        assert!(matches!(house.reset("bo@lab.example", wrong, BETTER).await, TokenOutcome::NoMatch));
        assert_eq!(house.shown(bo).await.first().map_or(0, |token| token.tries_left), left);
    }
    assert!(
        matches!(house.reset("bo@lab.example", &right.text, BETTER).await, TokenOutcome::NoMatch),
        "locked"
    );
    house.sign_in("bo", GOOD).await;
    house.ask_reset("bo@lab.example").await;
    let again = house.shown(bo).await.remove(0);
    signed_in(house.reset("bo@lab.example", &again.text, BETTER).await);
}

#[tokio::test]
async fn flaws_are_told_all_at_once() {
    let house = House::new();
    let TokenOutcome::Flawed(flaws) = house.register("nobody", "K7QF!2MX", "short").await else {
        panic!("no flaws")
    };
    assert_eq!(flaws.email, Some(InvalidEmail::Format));
    assert_eq!(flaws.token, Some(InvalidToken::Characters));
    assert_eq!(flaws.password, Some(WeakPassword::Short(12)));
    let TokenOutcome::Flawed(flaws) = house.register("a@lab.example", "0000-0000", "password1234").await else {
        panic!("no flaws")
    };
    assert_eq!(flaws.password, Some(WeakPassword::Common));
}

#[tokio::test]
async fn a_reset_signs_in_and_ends_every_other_session() {
    let house = House::new();
    let ada = house.add("ada@lab.example", Some(GOOD)).await.user.id;
    let before = house.sign_in("ada@lab.example", GOOD).await;
    assert!(house.lives(&before.value).await);
    let asked = house.ask_reset("ada@lab.example").await;
    assert_eq!(asked, AskOutcome::Asked("ada@lab.example".parse().unwrap()));
    assert_eq!(
        house.ask_reset("nobody@lab.example").await,
        AskOutcome::Asked("nobody@lab.example".parse().unwrap())
    );
    let token = house.shown(ada).await.remove(0);
    assert_eq!((token.kind, token.expires), (TokenKind::Reset, house.now().after(60 * MINUTE)));
    house.ask_reset("ada@lab.example").await;
    assert_eq!(house.shown(ada).await, vec![token.clone()], "asking again takes nothing away");
    assert!(
        matches!(house.register("ada@lab.example", &token.text, BETTER).await, TokenOutcome::NoMatch),
        "another purpose"
    );
    let after = signed_in(house.reset("ada@lab.example", &token.text, BETTER).await);
    assert!(house.lives(&after.value).await);
    assert!(!house.lives(&before.value).await);
    assert!(
        matches!(house.sign_in_from("ada", GOOD, HOME).await, SignInOutcome::Wrong),
        "the old password"
    );
    house.sign_in("ada", BETTER).await;
}

#[tokio::test]
async fn four_digits_work_and_the_other_style_that_is_still_out_does_too() {
    let house = House::new();
    let bo = house.add("bo@lab.example", None).await;
    let cy = house.add("cy@lab.example", None).await;
    house.accounts.adopt(HouseRules {
        token_style: TokenStyle::Digits(4),
        ..HouseRules::default()
    });
    let TokenOutcome::Flawed(flaws) = house.register("cy@lab.example", "12!4", GOOD).await else {
        panic!("no flaws")
    };
    assert_eq!(flaws.token, Some(InvalidToken::Characters));
    let TokenOutcome::Flawed(flaws) = house.register("nobody@lab.example", &bo.token.as_ref().unwrap().text, GOOD).await else {
        panic!("no flaws")
    };
    assert!(flaws.token.is_some(), "said of unknown addresses as of wrong tokens");
    signed_in(house.register("bo@lab.example", &bo.token.unwrap().text, GOOD).await);
    let by = Acting::command_line();
    let TokenFor::Token(new) = house.accounts.token_for(cy.user.id, true, &by, house.now()).await.unwrap() else {
        panic!("no token")
    };
    assert_eq!(new.text.len(), 4);
    signed_in(house.register("cy@lab.example", &new.text, GOOD).await);
}

#[tokio::test]
async fn two_tabs_use_one_token_once() {
    for _ in 0..5 {
        let house = Arc::new(House::new());
        let bo = house.add("bo@lab.example", None).await;
        let token = bo.token.unwrap().text;
        let mut tabs = Vec::new();
        for tab in 0..4 {
            let (house, token) = (Arc::clone(&house), token.clone());
            tabs.push(tokio::spawn(async move {
                matches!(
                    house.register("bo@lab.example", &token, &format!("{GOOD} {tab}")).await,
                    TokenOutcome::SignedIn(_)
                )
            }));
        }
        let mut wins = 0;
        for tab in tabs {
            wins += usize::from(tab.await.unwrap());
        }
        assert_eq!(wins, 1);
        assert_eq!(house.accounts.sessions_of(bo.user.id, house.now()).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_storm_of_wrong_tokens_counts_every_one() {
    let house = Arc::new(House::new());
    let bo = house.add("bo@lab.example", None).await;
    let right = bo.token.unwrap().text;
    let mut tabs = Vec::new();
    for _ in 0..12 {
        let house = Arc::clone(&house);
        tabs.push(tokio::spawn(
            async move { house.register("bo@lab.example", "0000-0000", GOOD).await },
        ));
    }
    for tab in tabs {
        assert!(matches!(tab.await.unwrap(), TokenOutcome::NoMatch));
    }
    assert!(
        matches!(house.register("bo@lab.example", &right, GOOD).await, TokenOutcome::NoMatch),
        "locked"
    );
}
