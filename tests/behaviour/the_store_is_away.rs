//! A store that does not answer, or a directory: nobody gets in by it, and whoever is in goes on for as long as the settings say.

use std::time::Duration;

use crate::support::browser::Reply;
use crate::support::house::{APP, House, PASSWORD, PORTAL, sign_in};

const SIGN_IN: &str = "http://portal.localhost/.portcullis/sign-in";

const WITH_A_DIRECTORY: &str = r#"
[app.echo]
title = "Echo"
host = "app.localhost"
upstream = "UPSTREAM"
require = { signed_in = true }

[directory.corp]
kind = "ldap"
url = ["ldaps://directory.example"]
base = "dc=example"
user_filter = "(uid={login})"
email_domains = ["example.org"]
"#;

fn says_to_come_again(name: &str, reply: &Reply) {
    assert_eq!(reply.status, 503, "{name}: {}", reply.words());
    let wait: u64 = reply.header("retry-after").unwrap_or_default().parse().unwrap_or(0);
    assert!((1..=60).contains(&wait), "{name}: waits {wait} s");
    assert!(reply.header("set-cookie").is_none_or(|set| !set.contains("portcullis=")), "{name}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_in_by_it_and_live_sessions_go_on_as_long_as_the_settings_say() {
    for goes_on in [false, true] {
        let settings = if goes_on { "store.on_loss = \"1m\"" } else { "" };
        let house = House::with(
            settings,
            "[app.echo]\nhost = \"app.localhost\"\nupstream = \"UPSTREAM\"\nrequire = { signed_in = true }\n",
        )
        .await;
        house.add("ada").await;
        house.add("bo").await;
        let mut ada = sign_in(&house, "ada").await;
        assert_eq!(ada.open(&format!("{APP}/notes")).await.status, 200);
        let mut bo = house.browser();
        let form = bo.open(SIGN_IN).await;
        let mut forged = house.browser();
        let nobodys = "A".repeat(43);
        forged
            .cookies
            .entry("app.localhost".to_owned())
            .or_default()
            .insert("portcullis".to_owned(), nobodys);

        house.running.desk.store.close().await;
        // Health is looked at once a second at most.
        house.wait(Duration::from_secs(2));
        let name = if goes_on { "on_loss = 1m" } else { "as shipped" };
        let mine = ada.get(&format!("{APP}/notes")).await;
        if goes_on {
            assert_eq!(mine.status, 200, "{name}: whoever is in goes on: {}", mine.words());
        } else {
            says_to_come_again(name, &mine);
        }
        let tried = bo.fill_in(&form, &[("username", "bo"), ("password", PASSWORD)]).await;
        says_to_come_again(&format!("{name}, the right password"), &tried);
        says_to_come_again(&format!("{name}, a made-up session"), &forged.get(&format!("{APP}/notes")).await);
        says_to_come_again(&format!("{name}, our own pages"), &ada.get(&format!("{PORTAL}/.portcullis/")).await);
        assert_eq!(house.management("/readyz").await.status, 503, "{name}: a balancer is told");
        assert_eq!(
            house.management("/healthz").await.status,
            200,
            "{name}: and nobody restarts it for that"
        );

        house.wait(Duration::from_secs(60));
        says_to_come_again(&format!("{name}, later"), &ada.get(&format!("{APP}/notes")).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_cannot_be_asked_lets_nobody_in_and_keeps_nobody_out() {
    let house = House::with("", WITH_A_DIRECTORY).await;
    house.add("ada").await;
    let mut stranger = house.browser();
    let form = stranger.open(SIGN_IN).await;
    let csrf = form.form_with(["username"].into_iter()).hidden;
    let csrf = csrf.iter().find(|(name, _)| name == "csrf").unwrap().1.clone();
    // By the right password of an account of ours, which is none of the directory's.
    let fields = [
        ("csrf", csrf.as_str()),
        ("username", "ada"),
        ("password", PASSWORD),
        ("realm", "corp"),
    ];
    let reply = stranger.post(SIGN_IN, &fields).await;
    says_to_come_again("a directory", &reply);
    assert!(reply.words().contains("This way to sign in is not available"), "{}", reply.words());
    let mut ada = sign_in(&house, "ada").await;
    assert_eq!(ada.open(&format!("{APP}/notes")).await.status, 200, "others sign in as ever");
}
