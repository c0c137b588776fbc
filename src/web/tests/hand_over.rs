//! From the portal to another host, and what is asked for on the way.

use std::time::Duration;

use http::StatusCode;

use super::browser::{ADA, GOOD, House, PORTAL};
use crate::web::assets;

#[tokio::test]
async fn a_sign_in_for_another_host_ends_there_with_a_session_of_its_own() {
    let house = House::with_admin().await;
    let mut ada = house.browser();
    let begin = ada.on("eln.example").get("/.portcullis/sign-in?rd=/a%3Fb=c").await;
    assert_eq!(begin.status, StatusCode::FOUND);
    let address = begin.location().to_owned();
    assert!(
        address.starts_with("https://sso.example/.portcullis/sign-in?rd=https%3A%2F%2Feln.example%2Fa%3Fb%3Dc&login="),
        "{address}"
    );
    let page = ada.get(&address).await;
    assert!(page.text.contains("to continue to <strong>Notebook</strong>"), "{}", page.text);
    let hop = ada.submit(&page, &[("username", "ada"), ("password", GOOD)]).await;
    assert_eq!(hop.status, StatusCode::OK, "a redirect would be held up by form-action");
    let callback = hop.between("http-equiv=\"refresh\" content=\"0; url=", "\"").to_owned();
    assert!(
        callback.starts_with("https://eln.example/.portcullis/callback?ticket="),
        "{callback}"
    );
    assert!(hop.text.contains(&format!("href=\"{callback}\"")), "and a link");

    let mut thief = house.browser();
    let stolen = thief.get(&callback).await;
    assert_eq!(stolen.status, StatusCode::BAD_REQUEST, "no login cookie");
    assert!(stolen.location().is_empty() && stolen.text.contains("did not send the cookie"));
}

#[tokio::test]
async fn who_is_signed_in_already_is_handed_over_at_once_and_a_ticket_works_once() {
    let house = House::with_admin().await;
    let mut ada = house.signed_in(ADA, GOOD).await;
    let begin = ada.on("eln.example").get("/.portcullis/sign-in?rd=/a").await;
    let handed = ada.get(begin.location()).await;
    assert_eq!(handed.status, StatusCode::FOUND);
    let callback = handed.location().to_owned();
    let arrived = ada.get(&callback).await;
    assert_eq!((arrived.status, arrived.location()), (StatusCode::FOUND, "/a"), "{}", arrived.text);
    assert_eq!(ada.get(&callback).await.status, StatusCode::BAD_REQUEST, "once");
    let who = ada.on("eln.example").get("/.portcullis/whoami").await;
    assert!(who.text.contains("\"login\":\"ada\""), "{}", who.text);
    assert_ne!(
        ada.cookie("eln.example", "__Host-portcullis"),
        ada.cookie(PORTAL, "__Host-portcullis"),
        "a value of its own"
    );
    // A foreign place without a digest is sent to where the login cookie can be set.
    let sent = ada.get("/.portcullis/sign-in?rd=https://eln.example/x").await;
    assert_eq!(
        sent.location(),
        "https://eln.example/.portcullis/sign-in?rd=https%3A%2F%2Feln.example%2Fx"
    );
    for evil in ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"] {
        let refused = ada.get(&format!("/.portcullis/sign-in?rd={evil}")).await;
        assert_eq!((refused.status, refused.location()), (StatusCode::BAD_REQUEST, ""), "{evil}");
    }
}

#[tokio::test]
async fn what_a_session_lacks_is_asked_for_on_the_portal() {
    let house = House::with_admin().await;
    let mut ada = house.signed_in(ADA, GOOD).await;
    house.wait(Duration::from_secs(15 * 60));
    let begin = ada.on("eln.example").get("/.portcullis/sign-in?rd=/recent/x").await;
    let page = ada.get(begin.location()).await;
    assert!(page.text.contains("Confirm it is you") && page.text.contains(ADA), "{}", page.text);
    let wrong = ada.submit(&page, &[("username", ADA), ("password", "x")]).await;
    assert!(
        wrong.status == StatusCode::UNAUTHORIZED && wrong.text.contains("Confirm it is you"),
        "{}",
        wrong.text
    );
    let before = ada.cookie(PORTAL, "__Host-portcullis").cloned();
    let hop = ada.submit(&wrong, &[("username", ADA), ("password", GOOD)]).await;
    assert!(hop.text.contains("http-equiv=\"refresh\""), "{}", hop.text);
    assert_ne!(before, ada.cookie(PORTAL, "__Host-portcullis").cloned(), "a new value at step-up");
    let begin = ada.on("eln.example").get("/.portcullis/sign-in?rd=/strong/x").await;
    let page = ada.get(begin.location()).await;
    assert!(
        page.text.contains("A second factor is needed") && !page.text.contains("<form"),
        "{}",
        page.text
    );
}

#[tokio::test]
async fn application_hosts_answer_only_what_the_contract_lists() {
    let house = House::with_admin().await;
    let mut ada = house.signed_in(ADA, GOOD).await;
    let away = ada.on("eln.example").get("/.portcullis/admin/users?q=x").await;
    assert_eq!(away.location(), "https://sso.example/.portcullis/admin/users?q=x");
    let refused = ada.on("eln.example").post("/.portcullis/sign-in", &[], String::new()).await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND);
    let who = ada.on("eln.example").get("/.portcullis/whoami").await;
    assert!(
        who.text.contains("\"user\":null"),
        "a session is good on one host only: {}",
        who.text
    );
    let asset = ada.on("eln.example").get(&format!("{}/portcullis.css", assets::FOLDER)).await;
    assert_eq!(asset.header("cache-control"), "public, max-age=31536000, immutable");
}
