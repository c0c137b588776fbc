//! What our own pages promise, driven as a browser drives them: over a store in memory and a clock that stands still.

mod api;
mod browser;
mod console;
mod hand_over;
mod who_may;

use std::time::Duration;

use http::StatusCode;

use crate::app::refusal::RefusalKind;

use browser::{ADA, Browser, GOOD, House, PORTAL};

#[tokio::test]
async fn the_first_admin_is_made_at_the_printed_address_and_nowhere_else() {
    let house = House::new();
    let mut ada = house.browser();
    let secret = house.app.accounts.first_admin_secret().await.unwrap().unwrap();
    let wrong = ada
        .get("/.portcullis/first-admin/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
        .await;
    assert_eq!(wrong.status, StatusCode::NOT_FOUND);
    let address = format!("/.portcullis/first-admin/{}", secret.expose());
    let page = ada.get(&address).await;
    assert!(page.text.contains("Set up the first administrator"));
    let page = ada
        .submit(&page, &[("email", "x"), ("username", "a b"), ("new-password", "short")])
        .await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    for told in [
        "correct format",
        "Invalid characters found",
        "Enter a password of 12 characters or more",
    ] {
        assert!(page.text.contains(told), "{told}: {}", page.text);
    }
    let fields = [("email", ADA), ("username", "ada"), ("given-name", "Ada"), ("new-password", GOOD)];
    let made = ada.submit(&page, &fields).await;
    assert_eq!((made.status, made.location()), (StatusCode::SEE_OTHER, "/.portcullis/"));
    let home = ada.get("/.portcullis/").await;
    assert!(
        home.text.contains("My applications") && home.text.contains(">Admin</a>"),
        "{}",
        home.text
    );
    assert_eq!(ada.get(&address).await.status, StatusCode::NOT_FOUND, "once");
}

#[tokio::test]
async fn a_person_is_added_registers_signs_out_and_in_again() {
    let house = House::with_admin().await;
    let mut ada = house.signed_in(ADA, GOOD).await;
    let users = ada.get("/.portcullis/admin/users").await;
    assert!(users.text.contains("Add a new user"));
    let fields = [
        ("email", "bo@lab.example"),
        ("username", "bo"),
        ("given-name", "Bo"),
        ("family-name", "Diaz"),
    ];
    let added = ada.submit_to(&users, "/.portcullis/admin/users", &fields).await;
    assert_eq!(added.status, StatusCode::SEE_OTHER, "{}", added.text);
    let users = ada.get(added.location()).await;
    let token = users.between("data-copy=\"", "\"").to_owned();
    assert!(
        users.text.contains("Registration · ends") && users.text.contains("in 2 days"),
        "{}",
        users.text
    );

    let mut bo = house.browser();
    let page = bo.get("/.portcullis/account/new").await;
    let page = bo
        .submit(
            &page,
            &[("email", "bo@lab.example"), ("token", "K7!F-2MXR"), ("new-password", GOOD)],
        )
        .await;
    assert!(page.text.contains("Invalid characters found"), "{}", page.text);
    assert!(!page.text.contains(GOOD), "a password is never shown again");
    let fields = [("email", "bo@lab.example"), ("token", token.as_str()), ("new-password", GOOD)];
    let done = bo.submit(&page, &fields).await;
    assert_eq!(
        (done.status, done.location()),
        (StatusCode::SEE_OTHER, "/.portcullis/"),
        "{}",
        done.text
    );
    let home = bo.get("/.portcullis/").await;
    assert!(home.text.contains("Bo Diaz") && !home.text.contains(">Admin</a>"));
    assert!(home.text.contains("Notebook"), "{}", home.text);

    let ask = bo.get("/.portcullis/sign-out").await;
    let out = bo.submit_to(&ask, "/.portcullis/sign-out", &[]).await;
    assert_eq!(out.location(), "/.portcullis/signed-out");
    assert!(bo.get("/.portcullis/signed-out").await.text.contains("You are signed out"));
    let away = bo.get("/.portcullis/me/security").await;
    assert_eq!(
        (away.status, away.location()),
        (
            StatusCode::FOUND,
            "https://sso.example/.portcullis/sign-in?rd=%2F.portcullis%2Fme%2Fsecurity"
        )
    );
    let page = bo.get(away.location()).await;
    let done = bo.submit(&page, &[("username", "bo"), ("password", GOOD)]).await;
    assert_eq!(done.location(), "/.portcullis/me/security", "back to where the person was");
}

#[tokio::test]
async fn unknown_and_wrong_are_told_alike() {
    let house = House::with_admin().await;
    let mut answers = Vec::new();
    for (name, password) in [(ADA, "wrong wrong wrong"), ("nobody@lab.example", "wrong wrong wrong"), ("", "")] {
        let mut stranger = house.browser();
        let page = stranger.get("/.portcullis/sign-in").await;
        let answer = stranger.submit(&page, &[("username", name), ("password", password)]).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{name}");
        assert!(
            answer
                .text
                .contains("Email, username or password is wrong. Check them and try again.")
        );
        answers.push(answer.without(&[name, &answer.csrf()]));
    }
    answers.truncate(2);
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test]
async fn a_reset_is_asked_for_read_by_the_admin_and_ends_other_sessions() {
    let house = House::with_admin().await;
    house.person("bo", GOOD).await;
    let mut ada = house.signed_in(ADA, GOOD).await;
    let mut elsewhere = house.signed_in("bo", GOOD).await;
    let mut bo = house.browser();
    let mut answers = Vec::new();
    for email in ["bo@lab.example", "nobody@lab.example"] {
        let page = bo.get("/.portcullis/account/reset").await;
        let sent = bo.submit(&page, &[("email", email)]).await;
        assert_eq!(sent.status, StatusCode::SEE_OTHER);
        let sent = bo.get(sent.location()).await;
        answers.push(sent.text.replace(email, "X"));
    }
    assert_eq!(answers[0], answers[1], "nobody learns whether the account exists");
    let users = ada.get("/.portcullis/admin/users?q=bo").await;
    assert!(users.text.contains("Reset requested") && users.text.contains("Reset · ends"));
    let token = users.between("data-copy=\"", "\"").to_owned();
    let page = bo.get("/.portcullis/account/reset/token").await;
    let better = "another horse, another battery";
    let fields = [("email", "bo@lab.example"), ("token", token.as_str()), ("new-password", better)];
    let done = bo.submit(&page, &fields).await;
    assert_eq!(done.location(), "/.portcullis/", "{}", done.text);
    assert_eq!(bo.get("/.portcullis/").await.status, StatusCode::OK);
    assert_eq!(
        elsewhere.get("/.portcullis/").await.status,
        StatusCode::FOUND,
        "the other session has ended"
    );
}

#[tokio::test]
async fn a_role_is_changed_by_a_click_and_counts_from_the_next_request() {
    let house = House::with_admin().await;
    let bo_id = house.person("bo", GOOD).await;
    let mut ada = house.signed_in(ADA, GOOD).await;
    let mut bo = house.signed_in("bo", GOOD).await;
    assert_eq!(bo.get("/.portcullis/admin/users").await.status, StatusCode::FORBIDDEN);
    let ask = ada.get(&format!("/.portcullis/admin/users/{bo_id}/role")).await;
    assert!(ask.text.contains("Make Bo Diaz an admin?"), "{}", ask.text);
    let path = format!("/.portcullis/admin/users/{bo_id}/role");
    let done = ada.submit_to(&ask, &path, &[]).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
    assert_eq!(bo.get("/.portcullis/admin/users").await.status, StatusCode::OK);
    // The dialog of the list sends the same to one address for all rows.
    let users = ada.get("/.portcullis/admin/users").await;
    let fields = [("user", bo_id.as_str()), ("role", "user")];
    let done = ada.submit_to(&users, "/.portcullis/admin/users/role", &fields).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
    assert_eq!(bo.get("/.portcullis/admin/users").await.status, StatusCode::FORBIDDEN);
    let own = ada.get("/.portcullis/admin/users?q=ada").await;
    assert!(own.text.contains("You cannot change your own role"), "{}", own.text);
}

#[tokio::test]
async fn a_form_counts_only_with_its_csrf_value_from_our_origin_and_in_our_shape() {
    let house = House::with_admin().await;
    let mut ada = house.signed_in(ADA, GOOD).await;
    let page = ada.get("/.portcullis/me/sessions").await;
    let csrf = page.csrf();
    let good = format!("csrf={csrf}&end=others");
    let form = "application/x-www-form-urlencoded";
    let html = ("accept", "text/html");
    for (name, headers, body, expected) in [
        (
            "as it should be",
            &[html, ("content-type", form)][..],
            good.clone(),
            StatusCode::SEE_OTHER,
        ),
        (
            "no csrf",
            &[html, ("content-type", form)],
            "end=others".to_owned(),
            StatusCode::FORBIDDEN,
        ),
        (
            "another csrf",
            &[html, ("content-type", form)],
            "end=others&csrf=x".to_owned(),
            StatusCode::FORBIDDEN,
        ),
        (
            "another origin",
            &[html, ("content-type", form), ("origin", "https://eln.example")],
            good.clone(),
            StatusCode::FORBIDDEN,
        ),
        (
            "another site",
            &[html, ("content-type", form), ("sec-fetch-site", "same-site")],
            good.clone(),
            StatusCode::FORBIDDEN,
        ),
        (
            "another type",
            &[html, ("content-type", "text/plain")],
            good.clone(),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ),
        (
            "a field too large",
            &[html, ("content-type", form)],
            format!("{good}&x={}", "y".repeat(17_000)),
            StatusCode::PAYLOAD_TOO_LARGE,
        ),
        (
            "a field twice",
            &[html, ("content-type", form)],
            format!("{good}&end=others"),
            StatusCode::BAD_REQUEST,
        ),
    ] {
        let answer = ada.post("/.portcullis/me/sessions", headers, body).await;
        assert_eq!(answer.status, expected, "{name}");
    }
    let too_old = ada
        .post("/.portcullis/me/sessions", &[html, ("content-type", form)], "csrf=x".to_owned())
        .await;
    assert!(too_old.text.contains("My sessions"), "the page again: {}", too_old.text);
}

#[tokio::test]
async fn programs_get_problems_and_never_a_redirect() {
    let house = House::with_admin().await;
    let mut script = house.browser();
    script.accept("application/json");
    let refused = script.get("/.portcullis/me/sessions").await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert_eq!(refused.header("content-type"), "application/problem+json");
    assert!(!refused.header("www-authenticate").is_empty());
    assert!(
        refused.text.contains("\"login_url\":\"https://sso.example/.portcullis/sign-in"),
        "{}",
        refused.text
    );
    assert!(refused.header("x-request-id").starts_with("r-"));
    let missing = script.get("/.portcullis/nothing").await;
    assert_eq!(
        (missing.status, missing.header("content-type")),
        (StatusCode::NOT_FOUND, "application/problem+json")
    );
    let wrong = script.post("/.portcullis/whoami", &[], String::new()).await;
    assert_eq!((wrong.status, wrong.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, "GET, HEAD"));
}

#[tokio::test]
async fn every_page_of_ones_own_and_of_the_console_is_shut_to_who_may_not() {
    let house = House::with_admin().await;
    house.person("bo", GOOD).await;
    let mut stranger = house.browser();
    let mut bo = house.signed_in("bo", GOOD).await;
    for route in super::routes::ROUTES {
        let path = format!("/.portcullis{}", route.path.replace(['{', '}'], ""));
        let ask = async |browser: &mut Browser<'_>| {
            if route.method == http::Method::GET {
                browser.get(&path).await.status
            } else {
                let kind = [("accept", "text/html"), ("content-type", "application/x-www-form-urlencoded")];
                browser.post(&path, &kind, String::new()).await.status
            }
        };
        let (nobody, user) = (ask(&mut stranger).await, ask(&mut bo).await);
        let turned_away = if route.method == http::Method::GET {
            StatusCode::FOUND
        } else {
            StatusCode::UNAUTHORIZED
        };
        match route.access {
            super::routes::Access::Public => assert_ne!(nobody, StatusCode::UNAUTHORIZED, "{path}"),
            super::routes::Access::SignedIn => assert_eq!(nobody, turned_away, "{path}"),
            _ => {
                assert_eq!((nobody, user), (turned_away, StatusCode::FORBIDDEN), "{} {path}", route.method);
            }
        }
    }
}

#[tokio::test]
async fn a_password_is_changed_here_and_the_other_sessions_end() {
    let house = House::with_admin().await;
    let mut ada = house.signed_in(ADA, GOOD).await;
    let mut elsewhere = house.signed_in(ADA, GOOD).await;
    let page = ada.get("/.portcullis/me/security").await;
    let wrong = ada
        .submit_to(
            &page,
            "/.portcullis/me/security",
            &[("current-password", "x"), ("new-password", "another good password")],
        )
        .await;
    assert!(wrong.text.contains("Your current password is wrong"), "{}", wrong.text);
    let fields = [("current-password", GOOD), ("new-password", "another good password")];
    let done = ada.submit_to(&wrong, "/.portcullis/me/security", &fields).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
    assert!(ada.get(done.location()).await.text.contains("Your password is changed."));
    assert_eq!(elsewhere.get("/.portcullis/").await.status, StatusCode::FOUND);
}

#[tokio::test]
async fn sessions_are_listed_and_one_is_ended() {
    let house = House::with_admin().await;
    let mut ada = house.signed_in(ADA, GOOD).await;
    let mut phone = house.signed_in(ADA, GOOD).await;
    let page = ada.get("/.portcullis/me/sessions").await;
    assert_eq!(page.text.matches("This session").count(), 1);
    let other = page.between("name=\"end\" value=\"s", "\"");
    let id = format!("s{other}");
    let done = ada.submit_to(&page, "/.portcullis/me/sessions", &[("end", id.as_str())]).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
    assert_eq!(phone.get("/.portcullis/").await.status, StatusCode::FOUND);
    assert_eq!(ada.get("/.portcullis/").await.status, StatusCode::OK);
}

#[tokio::test]
async fn outside_the_pattern_nobody_comes_in_and_the_page_names_it() {
    let house = House::with_admin().await;
    house.person_of_the_office().await;
    let mut cy = house.signed_in("cy", GOOD).await;
    house.come_from("203.0.113.7");
    let denied = cy.get("/.portcullis/").await;
    assert_eq!(denied.status, StatusCode::FORBIDDEN);
    assert!(
        denied.text.contains("203.0.113.7") && denied.text.contains("outside the pattern “Office”"),
        "{}",
        denied.text
    );
    let request = denied.header("x-request-id").to_owned();
    assert!(denied.text.contains(&request), "the id to ask with");
    assert!(house.app.decisions.find(&request).is_some(), "and to explain");
    let mut again = house.browser();
    let page = again.get("/.portcullis/sign-in").await;
    let refused = again.submit(&page, &[("username", "cy"), ("password", GOOD)]).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(refused.text.contains("outside the pattern “Office”"), "{}", refused.text);
    assert!(again.cookie(PORTAL, "__Host-portcullis").is_none(), "no session");
    let mut script = house.browser();
    script.accept("application/json");
    let page = again.get("/.portcullis/sign-in").await;
    let wrong = again.submit(&page, &[("username", "cy"), ("password", "wrong wrong wrong")]).await;
    assert!(!wrong.text.contains("Office"), "only who knows the password learns of it");
}

#[tokio::test]
async fn a_form_of_before_another_tab_signed_in_still_counts() {
    let house = House::with_admin().await;
    let mut ada = house.browser();
    let (one, two) = (
        ada.get("/.portcullis/sign-in").await,
        ada.get("/.portcullis/sign-in?rd=/.portcullis/me/sessions").await,
    );
    let first = ada.submit(&one, &[("username", "ada"), ("password", GOOD)]).await;
    assert_eq!(first.status, StatusCode::SEE_OTHER);
    let second = ada.submit(&two, &[("username", "ada"), ("password", GOOD)]).await;
    assert_eq!(
        (second.status, second.location()),
        (StatusCode::SEE_OTHER, "/.portcullis/me/sessions")
    );
}

#[tokio::test]
async fn forms_of_before_sign_in_belong_to_the_browser_that_asked() {
    let house = House::with_admin().await;
    let (mut ada, mut eve) = (house.browser(), house.browser());
    let hers = ada.get("/.portcullis/sign-in").await;
    eve.get("/.portcullis/sign-in").await;
    let mixed = eve.submit(&hers, &[("username", "ada"), ("password", GOOD)]).await;
    assert_eq!(mixed.status, StatusCode::FORBIDDEN);
    assert!(
        mixed.text.contains("This page was open too long") && !mixed.text.contains(GOOD),
        "{}",
        mixed.text
    );
    assert!(mixed.text.contains("value=\"ada\""), "what was typed is kept");
}

#[tokio::test]
async fn the_home_page_shows_what_can_be_opened() {
    let house = House::with_admin().await;
    house.person("bo", GOOD).await;
    let mut bo = house.signed_in("bo", GOOD).await;
    let home = bo.get("/.portcullis/").await;
    assert!(home.text.contains("href=\"https://eln.example/\""), "{}", home.text);
    assert!(!home.text.contains("Inventory"), "{}", home.text);
}

#[tokio::test]
async fn a_strangers_host_learns_nothing_of_the_house() {
    let house = House::with_admin().await;
    let page = house.refuse("nothing.example", RefusalKind::UnknownHost);
    assert_eq!(page.status, StatusCode::MISDIRECTED_REQUEST);
    for told in ["sso.example", "Northgate", "assets/"] {
        assert!(!page.text.contains(told), "{}", page.text);
    }
}

#[tokio::test]
async fn refusals_of_the_gateway_are_pages_problems_or_the_way_to_sign_in() {
    let house = House::with_admin().await;
    let late = RefusalKind::UpstreamLate { limit: "first_byte" };
    for (name, kind, status, words) in [
        ("denied", RefusalKind::NotFound, 404, "Nothing is here"),
        (
            "too many",
            RefusalKind::TooMany {
                retry_after: Duration::from_secs(90),
            },
            429,
            "Too many requests",
        ),
        ("too large", RefusalKind::BodyTooLarge, 413, "too large"),
        ("down", RefusalKind::UpstreamDown, 502, "Notebook is not answering"),
        ("late", late, 504, "did not reply in time"),
        (
            "store away",
            RefusalKind::Unavailable {
                retry_after: Duration::from_secs(5),
            },
            503,
            "lets nobody in",
        ),
        (
            "malformed",
            RefusalKind::Malformed {
                what: "the path has dot segments",
            },
            400,
            "dot segments",
        ),
    ] {
        let page = house.refuse("eln.example", kind);
        assert_eq!(page.status.as_u16(), status, "{name}");
        assert!(page.text.contains(words), "{name}: {}", page.text);
        assert!(page.header("x-request-id").starts_with("r-"), "{name}");
        if status == 429 {
            assert_eq!(page.header("retry-after"), "90");
        }
    }
    let sent = house.refuse(
        "eln.example",
        RefusalKind::SignIn {
            reason: "no-session",
            ended: false,
        },
    );
    assert_eq!(
        (sent.status.as_u16(), sent.location()),
        (302, "https://eln.example/.portcullis/sign-in?rd=%2Fa%3Fb%3Dc")
    );
}
