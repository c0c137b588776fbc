//! Somebody signs in and is known to the application, and to nobody else's.

use std::time::Duration;

use crate::support::house::{APP, House, PORTAL, sign_in};

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_sent_to_sign_in_and_comes_back_to_where_they_were_going() {
    let house = House::new().await;
    house.add("ada").await;
    let mut browser = house.browser();
    let page = browser.open(&format!("{APP}/projects/3?x=1")).await;
    assert_eq!(
        (page.status.as_u16(), page.url.host_str()),
        (200, Some("portal.localhost")),
        "{}",
        page.words()
    );
    let back = browser
        .fill_in(&page, &[("username", "ada"), ("password", "walnut orbit ledger 7")])
        .await;
    assert_eq!(back.url.as_str(), format!("{APP}/projects/3?x=1"));
    let seen = back.json();
    let header = |name: &str| {
        let headers = seen["headers"].as_array().unwrap();
        headers
            .iter()
            .find(|pair| pair[0] == name)
            .map(|pair| pair[1].as_str().unwrap().to_owned())
    };
    assert_eq!(header("x-portcullis-login").as_deref(), Some("ada"));
    assert_eq!(header("cookie"), None, "our cookies never go upstream");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_one_message_whoever_it_is() {
    let house = House::new().await;
    house.add("ada").await;
    let mut said = Vec::new();
    for name in ["ada", "nobody"] {
        let reply = house
            .browser()
            .fill(
                &format!("{PORTAL}/.portcullis/sign-in"),
                &[("username", name), ("password", "not the password")],
            )
            .await;
        said.push((reply.status, reply.words().replace(name, "")));
    }
    assert_eq!(said[0], said[1]);
    assert!(said[0].1.contains("Email, username or password is wrong"), "{}", said[0].1);
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_anywhere_ends_the_session_everywhere() {
    let house = House::new().await;
    house.add("ada").await;
    let mut browser = sign_in(&house, "ada").await;
    assert_eq!(browser.open(&format!("{APP}/")).await.url.host_str(), Some("app.localhost"));
    let out = browser.open(&format!("{APP}/.portcullis/sign-out")).await;
    browser.fill_in(&out, &[]).await;
    assert_eq!(browser.open(&format!("{APP}/")).await.url.host_str(), Some("portal.localhost"));
}

const TWO_APPLICATIONS: &str = r#"
[app.echo]
title = "Echo"
host = "app.localhost"
upstream = "UPSTREAM"
require = { signed_in = true }

[app.vault]
title = "Vault"
host = "vault.localhost"
upstream = "UPSTREAM"
require = { signed_in = true }
signin.idle = "15m"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn an_application_may_ask_again_of_a_session_that_was_unused_for_too_long() {
    const VAULT: &str = "http://vault.localhost/";
    let house = House::with("", TWO_APPLICATIONS).await;
    house.add("ada").await;
    let mut browser = sign_in(&house, "ada").await;
    let lands = async |browser: &mut crate::support::browser::Browser, url: &str| {
        let reply = browser.open(url).await;
        reply.url.host_str().unwrap().to_owned()
    };
    assert_eq!(lands(&mut browser, VAULT).await, "vault.localhost");
    house.wait(Duration::from_secs(14 * 60));
    assert_eq!(lands(&mut browser, VAULT).await, "vault.localhost", "used in time");
    house.wait(Duration::from_secs(15 * 60));
    assert_eq!(lands(&mut browser, VAULT).await, "portal.localhost", "unused for too long");
    assert_eq!(lands(&mut browser, VAULT).await, "portal.localhost", "asking again does not help");
    assert_eq!(
        lands(&mut browser, &format!("{APP}/")).await,
        "app.localhost",
        "others do not ask for as much"
    );
    assert_eq!(lands(&mut browser, VAULT).await, "portal.localhost", "nor does being there");
    let page = browser.open(VAULT).await;
    let back = browser
        .fill_in(&page, &[("username", "ada"), ("password", "walnut orbit ledger 7")])
        .await;
    assert_eq!(back.url.as_str(), VAULT, "{}", back.words());
    assert_eq!(lands(&mut browser, VAULT).await, "vault.localhost");
}
