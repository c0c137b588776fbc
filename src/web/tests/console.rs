//! What the console shows and to whom: everybody's sessions, decisions, the audit trail, files.

use http::StatusCode;

use super::browser::{ADA, GOOD, House};

const SESSIONS: &str = "/.portcullis/admin/sessions";

#[tokio::test]
async fn sessions_are_found_by_person_and_by_address_and_ended() {
    let house = House::with_admin().await;
    house.person("bo", GOOD).await;
    house.person_of_the_office().await;
    let mut ada = house.signed_in(ADA, GOOD).await;
    let mut bo = house.signed_in("bo", GOOD).await;
    let mut office = house.signed_in("cy", GOOD).await;
    house.come_from("203.0.113.9");
    let mut away = house.signed_in("bo", GOOD).await;
    house.come_from("192.0.2.7");

    let all = ada.get(SESSIONS).await;
    assert_eq!(all.text.matches("<td role=\"cell\" class=\"lead\"").count(), 4, "{}", all.text);
    assert_eq!(all.text.matches("This session").count(), 1);
    let found = ada.get(&format!("{SESSIONS}?q=CY")).await;
    assert!(
        found.text.contains("Cy Office") && !found.text.contains("Bo Diaz"),
        "{}",
        found.text
    );
    let found = ada.get(&format!("{SESSIONS}?q=203.0.113.9")).await;
    assert!(
        found.text.contains("Bo Diaz") && !found.text.contains("Cy Office"),
        "{}",
        found.text
    );
    let nobody = ada.get(&format!("{SESSIONS}?q=nobody")).await;
    assert!(nobody.text.contains("No session matches “nobody”"), "{}", nobody.text);

    let id = format!("s{}", found.between("name=\"end\" value=\"s", "\""));
    let done = ada.submit_to(&found, SESSIONS, &[("end", id.as_str())]).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
    assert!(ada.get(done.location()).await.text.contains("The session is ended."));
    assert_eq!(away.get("/.portcullis/").await.status, StatusCode::FOUND);
    assert_eq!(bo.get("/.portcullis/").await.status, StatusCode::OK);

    // All from an address end, but for the one that says so.
    let found = ada.get(&format!("{SESSIONS}?q=192.0.2.7")).await;
    assert!(found.text.contains("End all from 192.0.2.7"), "{}", found.text);
    let done = ada.submit_to(&found, SESSIONS, &[("address", "192.0.2.7")]).await;
    assert!(ada.get(done.location()).await.text.contains("2 sessions are ended."));
    for browser in [&mut bo, &mut office] {
        assert_eq!(browser.get("/.portcullis/").await.status, StatusCode::FOUND);
    }
    assert_eq!(ada.get("/.portcullis/").await.status, StatusCode::OK);

    let mut bo = house.signed_in("bo", GOOD).await;
    let found = ada.get(&format!("{SESSIONS}?q=bo")).await;
    let user = found.between("name=\"user\" value=\"", "\"").to_owned();
    let done = ada.submit_to(&found, SESSIONS, &[("user", user.as_str())]).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
    assert_eq!(bo.get("/.portcullis/").await.status, StatusCode::FOUND);
}

#[tokio::test]
async fn a_teams_administrator_sees_and_ends_sessions_of_the_team_only() {
    let house = House::with_admin().await;
    house.member("lee", "assay", Some("lead")).await;
    house.member("mia", "assay", None).await;
    let out = house.member("oto", "other", None).await;
    let mut lee = house.signed_in("lee", GOOD).await;
    let mut mia = house.signed_in("mia", GOOD).await;
    let mut oto = house.signed_in("oto", GOOD).await;
    let mut ada = house.signed_in(ADA, GOOD).await;
    let whole = ada.get(&format!("{SESSIONS}?q=oto")).await;
    let his = format!("s{}", whole.between("name=\"end\" value=\"s", "\""));

    let page = lee.get(SESSIONS).await;
    assert!(page.text.contains("mia Member"), "{}", page.text);
    for stranger in ["oto", "Ada Okafor"] {
        assert!(!page.text.contains(stranger), "{stranger}: {}", page.text);
    }
    for search in ["oto", "Okafor"] {
        let found = lee.get(&format!("{SESSIONS}?q={search}")).await;
        assert!(found.text.contains("No session matches"), "{}", found.text);
    }
    let found = lee.get(&format!("{SESSIONS}?q=192.0.2.7")).await;
    assert!(!found.text.contains("Ada Okafor"), "{}", found.text);
    for fields in [[("end", his.as_str())], [("user", out.as_str())]] {
        let refused = lee.submit_to(&page, SESSIONS, &fields).await;
        assert_eq!(refused.status, StatusCode::NOT_FOUND, "{fields:?}");
    }
    let done = lee.submit_to(&page, SESSIONS, &[("address", "192.0.2.7")]).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER);
    assert_eq!(mia.get("/.portcullis/").await.status, StatusCode::FOUND);
    for browser in [&mut oto, &mut ada] {
        assert_eq!(browser.get("/.portcullis/").await.status, StatusCode::OK, "out of reach");
    }
}

#[tokio::test]
async fn the_menu_has_what_the_person_may_open() {
    let house = House::with_admin().await;
    house.member("lee", "assay", Some("lead")).await;
    house.person("bo", GOOD).await;
    let mut lee = house.signed_in("lee", GOOD).await;
    let mut bo = house.signed_in("bo", GOOD).await;
    assert_eq!(lee.get("/.portcullis/admin").await.location(), "/.portcullis/admin/users");
    assert_eq!(bo.get("/.portcullis/admin").await.status, StatusCode::FORBIDDEN);
    assert!(!bo.get("/.portcullis/").await.text.contains(">Admin</a>"));
    let mut ada = house.signed_in(ADA, GOOD).await;
    for (browser, all) in [(&mut lee, false), (&mut ada, true)] {
        let page = browser.get("/.portcullis/admin/users").await;
        for one in crate::web::view::CONSOLE.iter().flat_map(|group| group.links) {
            let address = format!("href=\"/.portcullis{}\"", one.link.path);
            let offered = page.text.contains(&address);
            let answer = browser.get(&format!("/.portcullis{}", one.link.path)).await;
            assert_eq!(offered, answer.status == StatusCode::OK, "{}", one.link.path);
            assert!(offered || !all, "{}", one.link.path);
        }
    }
}
