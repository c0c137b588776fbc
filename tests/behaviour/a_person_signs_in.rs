//! Somebody signs in and is known to the application, and to nobody else's.

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
