//! An IP pattern on a membership shuts a person out from elsewhere: at sign-in, on the next request, and in words that can be looked up.

use std::time::Duration;

use portcullis::server::control::{Answer, Request, Subject};

use crate::support::browser::{Browser, Reply};
use crate::support::house::{APP, House, PASSWORD, PORTAL, sign_in};

const OUTSIDE: &str = "127.0.0.9";

async fn explained(house: &House, id: &str) -> String {
    let request = Request::Explain {
        who: Subject::Decision(id.to_owned()),
        from: None,
        at: None,
        request: String::new(),
    };
    match house.ask(request).await {
        Answer::Explained { text, .. } => text,
        other => panic!("{id} is not explained: {other:?}"),
    }
}

fn assert_names_pattern_and_address(page: &Reply) {
    assert_eq!(page.status, 403, "{}", page.words());
    let words = page.words();
    assert!(
        words.contains(OUTSIDE) && words.contains("desk"),
        "the page names the pattern and the address: {words}"
    );
    assert!(!words.contains("127.0.0.0/8"), "and never the pattern's addresses: {words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_signs_in_from_outside_and_the_page_says_why() {
    let house = House::new().await;
    house.add_with("kim", |kim| kim.ip_pattern = Some("desk".into())).await;
    let mut outside = Browser::from_address(house.gateway, OUTSIDE);
    let page = outside
        .fill(
            &format!("{PORTAL}/.portcullis/sign-in"),
            &[("username", "kim"), ("password", PASSWORD)],
        )
        .await;
    assert_names_pattern_and_address(&page);
    assert!(!page.words().contains("Signed in as"), "nobody is: {}", page.words());
    let text = explained(&house, page.header("x-request-id").unwrap()).await;
    assert!(text.contains("DENY ip-user") && text.contains("policies/main.toml:"), "{text}");
    sign_in(&house, "kim").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_request_from_outside_is_denied_and_can_be_explained() {
    let house = House::new().await;
    house.add_with("kim", |kim| kim.ip_pattern = Some("desk".into())).await;
    let mut kim = sign_in(&house, "kim").await;
    assert_eq!(kim.open(&format!("{APP}/")).await.status, 200);
    let mut outside = Browser::from_address(house.gateway, OUTSIDE);
    outside.cookies = kim.cookies.clone();
    let page = outside.get(&format!("{APP}/reports")).await;
    assert_names_pattern_and_address(&page);
    let words = page.words();
    assert!(
        words.contains("Signed in as") && words.contains("kim@example.org") && words.contains("Sign in as someone else"),
        "{words}"
    );
    let text = explained(&house, page.header("x-request-id").unwrap()).await;
    assert!(
        text.contains("DENY ip-user") && text.contains("/reports") && text.contains("policies/main.toml:"),
        "{text}"
    );
    assert_eq!(kim.open(&format!("{APP}/")).await.status, 200, "inside nothing has changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_when_it_is_not_used() {
    let house = House::new().await;
    house.add("ada").await;
    let mut ada = sign_in(&house, "ada").await;
    house.wait(Duration::from_secs(60 * 60));
    assert_eq!(ada.open(&format!("{APP}/")).await.url.host_str(), Some("app.localhost"));
    house.wait(Duration::from_secs(2 * 60 * 60 + 1));
    assert_eq!(
        ada.open(&format!("{APP}/")).await.url.host_str(),
        Some("portal.localhost"),
        "two hours idle end it"
    );
}
