//! Every row that looks answers in its shape, for the whole instance and for a team.

use super::{API, Method, client};
use crate::web::tests::browser::{ADA, House};

#[tokio::test]
async fn every_row_that_looks_answers_in_its_shape() {
    let house = House::with_admin().await;
    house.member("lee", "assay", Some("lead")).await;
    let mia = house.member("mia", "assay", None).await;
    let mut ada = client(&house, ADA).await;
    for row in API.iter().filter(|row| row.method == Method::GET) {
        let path = row
            .path
            .replace("{user}", &mia)
            .replace("{team}", "assay")
            .replace("{application}", "eln");
        let told = ada.get(&path).await;
        let expected = match row.path {
            "/explain" => 422,
            _ if path.contains('{') => 404,
            _ => 200,
        };
        assert_eq!(told.status, expected, "{path}: {}", told.value);
    }
    let found = ada.get("/ip-patterns?address=192.0.2.7").await;
    assert_eq!(found.value["items"][0]["contains"], true, "{}", found.value);
    assert_eq!(ada.get("/applications").await.items("name"), ["eln", "inventory"]);
    let trail = ada.get("/audit?event=user-created&limit=1").await;
    assert_eq!(trail.items("event"), ["user-created"]);
    let next = trail.value["next"].as_str().unwrap();
    assert_eq!(
        ada.get(&format!("/audit?event=user-created&after={next}"))
            .await
            .items("event")
            .len(),
        1
    );
}

#[tokio::test]
async fn a_decision_is_explained_to_who_may_know() {
    let house = House::with_admin().await;
    house.member("lee", "assay", Some("lead")).await;
    house.member("oto", "other", None).await;
    let mut ada = client(&house, ADA).await;
    let mut lee = client(&house, "lee").await;
    let told = ada.get("/explain?user=oto&url=https://inventory.example/&address=192.0.2.7").await;
    assert_eq!(
        (told.status, &told.value["reason"]),
        (200, &"role-missing".into()),
        "{}",
        told.value
    );
    let told = lee.get("/explain?user=oto&url=https://inventory.example/").await;
    assert_eq!((told.status, told.errors()), (422, vec![("user", "no_such_user")]));
    let told = ada.get("/explain?decision=d-00000000000000000000000000").await;
    assert_eq!(told.errors(), [("decision", "no_such_decision")]);
}
