//! What is changed by machine: the console's rules, nothing twice, nothing overwritten.

use http::Method;
use serde_json::{Value, json};

use super::{Client, client};
use crate::web::tests::browser::{ADA, GOOD, House};

const POST: Method = Method::POST;
const PUT: Method = Method::PUT;
const DELETE: Method = Method::DELETE;

async fn id_of(ada: &mut Client<'_>, name: &str) -> String {
    ada.get(&format!("/users?q={name}")).await.items("id")[0].to_owned()
}

fn new_user(name: &str) -> Value {
    json!({ "email": format!("{name}@lab.example"), "username": name, "given_name": name, "family_name": "Person" })
}

#[tokio::test]
async fn a_request_from_another_site_or_of_another_kind_changes_nothing() {
    let house = House::with_admin().await;
    let mut ada = client(&house, ADA).await;
    let body = new_user("bo").to_string();
    let deep = format!("{{\"email\": {}{}}}", "[".repeat(40), "]".repeat(40));
    for (name, more, body, status, code) in [
        ("no value", &[("x-portcullis-csrf", "")][..], body.clone(), 403, "csrf"),
        ("another origin", &[("origin", "https://evil.example")], body.clone(), 403, "origin"),
        ("another site", &[("sec-fetch-site", "cross-site")], body.clone(), 403, "origin"),
        (
            "an application's page",
            &[("sec-fetch-site", "same-site")],
            body.clone(),
            403,
            "origin",
        ),
        (
            "a form",
            &[("content-type", "application/x-www-form-urlencoded")],
            body.clone(),
            415,
            "media_type",
        ),
        ("a text", &[("content-type", "text/plain")], body.clone(), 415, "media_type"),
        ("no type", &[("content-type", "")], body.clone(), 415, "media_type"),
        (
            "too much",
            &[],
            format!("{{\"email\": \"{}\"}}", "x".repeat(70_000)),
            413,
            "body_too_large",
        ),
        ("no JSON", &[], "email=bo".to_owned(), 400, "bad_json"),
        (
            "a name twice",
            &[],
            "{\"email\": \"a\", \"email\": \"b\"}".to_owned(),
            400,
            "bad_json",
        ),
        ("too deep", &[], deep, 400, "bad_json"),
        ("nothing", &[], String::new(), 400, "bad_json"),
        ("a list", &[], "[]".to_owned(), 422, "wrong_type"),
        (
            "a key too long",
            &[("idempotency-key", "k".repeat(256).as_str())],
            body.clone(),
            400,
            "bad_key",
        ),
    ] {
        let told = ada.ask_raw(POST, "/users", body, more).await;
        assert_eq!((told.status, told.code()), (status, code), "{name}: {}", told.value);
    }
    assert_eq!(ada.get("/users").await.value["total"], 1);
}

#[tokio::test]
async fn a_person_is_added_once_and_everything_wrong_is_named() {
    let house = House::with_admin().await;
    let mut ada = client(&house, ADA).await;
    let wrong = ada
        .send(
            POST,
            "/users",
            json!({ "email": "x", "username": "a b", "given_name": " ", "role": "admin" }),
        )
        .await;
    assert_eq!(wrong.errors(), [("family_name", "missing"), ("role", "unknown_field")]);
    let wrong = ada
        .send(
            POST,
            "/users",
            json!({ "email": "x", "username": "a b", "given_name": " ", "family_name": "B\u{7}o" }),
        )
        .await;
    assert_eq!(
        wrong.errors(),
        [
            ("email", "email_format"),
            ("username", "invalid_characters"),
            ("given_name", "name_missing"),
            ("family_name", "invalid_characters")
        ]
    );
    let key = [("idempotency-key", "k-1")];
    let made = ada.ask(POST, "/users", Some(new_user("bo")), &key).await;
    assert_eq!(made.status, 201, "{}", made.value);
    assert_eq!(made.value["status"], "pending");
    assert_eq!(made.value["tokens"][0]["kind"], "registration");
    let again = ada.ask(POST, "/users", Some(new_user("bo")), &key).await;
    assert_eq!((again.status, &again.value), (201, &made.value), "the same answer");
    let other = ada.ask(POST, "/users", Some(new_user("cy")), &key).await;
    assert_eq!((other.status, other.code()), (422, "key_reused"));
    let twice = ada.send(POST, "/users", new_user("bo")).await;
    assert_eq!((twice.status, twice.errors()), (409, vec![("email", "email_taken")]));
    let failed = ada.ask(POST, "/users", Some(new_user("bo")), &[("idempotency-key", "k-2")]).await;
    assert_eq!(failed.status, 409);
    let mended = ada.ask(POST, "/users", Some(new_user("di")), &[("idempotency-key", "k-2")]).await;
    assert_eq!(mended.status, 201, "what was refused is not kept");
    house.member("eve", "main", None).await;
    assert_eq!(ada.get("/users").await.value["total"], 4);
}

#[tokio::test]
async fn an_account_is_changed_as_in_the_console() {
    let house = House::with_admin().await;
    let bo = house.person("bo", GOOD).await;
    let mut ada = client(&house, ADA).await;
    let mut at_work = client(&house, "bo").await;
    assert_eq!(
        at_work
            .send(POST, &format!("/users/{bo}/role"), json!({ "role": "admin" }))
            .await
            .status,
        403
    );
    let told = ada.send(POST, &format!("/users/{bo}/role"), json!({ "role": "admin" })).await;
    assert_eq!(told.value["roles"], json!(["admin"]), "{}", told.value);
    let own = id_of(&mut ada, "okafor").await;
    for path in [format!("/users/{own}/role"), format!("/users/{own}/disable")] {
        let body = if path.ends_with("role") {
            json!({ "role": "user" })
        } else {
            Value::Null
        };
        let told = ada.send(POST, &path, body).await;
        assert_eq!((told.status, told.code()), (409, "own_role"), "{path}");
    }
    let told = ada.send(POST, &format!("/users/{bo}/disable"), Value::Null).await;
    assert_eq!(told.value["status"], "disabled");
    assert_eq!(at_work.get("/me").await.status, 401, "every session has ended");
    let told = ada.send(POST, &format!("/users/{bo}/token"), Value::Null).await;
    assert_eq!((told.status, told.code()), (409, "disabled"));
    ada.send(POST, &format!("/users/{bo}/enable"), Value::Null).await;
    let one = ada.send(POST, &format!("/users/{bo}/token"), Value::Null).await;
    let two = ada.send(POST, &format!("/users/{bo}/token"), Value::Null).await;
    assert_eq!((&one.value["kind"], two.status), (&json!("reset"), 200));
    assert_ne!(one.value["token"], two.value["token"]);
    assert_eq!(ada.send(DELETE, &format!("/users/{bo}"), Value::Null).await.status, 204);
    assert_eq!(ada.get(&format!("/users/{bo}")).await.status, 404);
}

#[tokio::test]
async fn a_membership_is_changed_as_it_was_read_or_not_at_all() {
    let house = House::with_admin().await;
    house.member("lee", "assay", Some("lead")).await;
    let mia = house.member("mia", "assay", None).await;
    let oto = house.member("oto", "other", None).await;
    let (mut ada, mut lee) = (client(&house, ADA).await, client(&house, "lee").await);
    let path = format!("/users/{mia}/memberships/assay");
    let read = lee.get(&path).await;
    let tag = read.header("etag").to_owned();
    let give = json!({ "permissions": { "eln": [] } });
    let told = lee.send(PUT, &path, give.clone()).await;
    assert_eq!((told.status, told.code()), (428, "if_match_missing"));
    let told = lee.ask(PUT, &path, Some(give.clone()), &[("if-match", "\"other\"")]).await;
    assert_eq!((told.status, told.code()), (412, "changed_meanwhile"));
    let told = lee.ask(PUT, &path, Some(give.clone()), &[("if-match", &tag)]).await;
    assert_eq!(
        (told.status, &told.value["permissions"]),
        (200, &json!({ "eln": [] })),
        "{}",
        told.value
    );
    let now = told.header("etag").to_owned();
    assert_ne!(now, tag);
    assert_eq!(
        ada.ask(PUT, &path, Some(give), &[("if-match", &tag)]).await.status,
        412,
        "somebody changed it"
    );
    for (name, body, field) in [
        ("a role beyond theirs", json!({ "roles": ["lead"] }), "roles"),
        (
            "an application of no team",
            json!({ "permissions": { "inventory": [] } }),
            "permissions.inventory",
        ),
        ("no such pattern", json!({ "ip_pattern": "nowhere" }), "ip_pattern"),
        (
            "another project",
            json!({ "projects": { "p-00000000000000000000000000": "member" } }),
            "projects",
        ),
    ] {
        let told = lee.ask(PUT, &path, Some(body), &[("if-match", &now)]).await;
        assert!(
            told.status == 403 && told.errors().contains(&(field, "not_given")),
            "{name}: {}",
            told.value
        );
    }
    let told = lee.ask(PUT, &path, Some(json!({ "team": "other" })), &[("if-match", &now)]).await;
    assert_eq!(told.errors(), [("team", "other_team")]);
    let own = id_of(&mut ada, "lee").await;
    let own = format!("/users/{own}/memberships/assay");
    let told = lee.send(DELETE, &own, Value::Null).await;
    assert_eq!((told.status, told.code()), (409, "own_membership"));
    let theirs = format!("/users/{oto}/memberships/other");
    assert_eq!(lee.send(DELETE, &theirs, Value::Null).await.status, 404);
    assert_eq!(lee.ask(PUT, &theirs, Some(json!({})), &[("if-match", "*")]).await.status, 404);
    assert_eq!(lee.send(POST, &format!("/users/{oto}/token"), Value::Null).await.status, 404);
    assert_eq!(lee.send(DELETE, &format!("/users/{oto}"), Value::Null).await.status, 404);
    assert_eq!(lee.send(DELETE, &path, Value::Null).await.status, 204);
    assert_eq!(lee.get(&path).await.status, 404);
}

#[tokio::test]
async fn people_are_invited_with_what_may_be_given() {
    let house = House::with_admin().await;
    let mut ada = client(&house, ADA).await;
    let project = ada.send(POST, "/projects", json!({ "team": "assay", "name": "Kinase" })).await;
    assert_eq!(project.status, 201, "{}", project.value);
    let twice = ada.send(POST, "/projects", json!({ "team": "assay", "name": "KINASE" })).await;
    assert_eq!((twice.status, twice.errors()), (409, vec![("name", "project_taken")]));
    let nowhere = ada.send(POST, "/projects", json!({ "team": "lost", "name": "X" })).await;
    assert_eq!((nowhere.status, nowhere.errors()), (403, vec![("team", "not_given")]));
    let id = project.value["id"].as_str().unwrap();
    let offer = json!({
        "email": "mia@lab.example", "team": "assay", "roles": ["lead"],
        "permissions": { "eln": [] }, "projects": { id: "member" }, "ip_pattern": "office", "idp": null,
    });
    let reach = ada.send(POST, "/invitations/preview", offer.clone()).await;
    assert_eq!(reach.items("app"), ["eln", "inventory"], "{}", reach.value);
    assert_eq!(reach.items("decision"), ["allow", "deny"]);
    assert_eq!(reach.value["items"][0]["ip_patterns"], json!(["office"]));
    let made = ada
        .ask(POST, "/invitations", Some(offer.clone()), &[("idempotency-key", "i")])
        .await;
    assert_eq!(made.status, 201, "{}", made.value);
    let again = ada
        .ask(POST, "/invitations", Some(offer.clone()), &[("idempotency-key", "i")])
        .await;
    assert_eq!(again.value, made.value);
    assert_eq!(ada.send(POST, "/invitations", offer).await.code(), "email_invited");
    let which = format!("/invitations/{}", made.value["id"].as_str().unwrap());
    assert_eq!(ada.send(PUT, &which, json!({})).await.status, 428);
    let tag = ada.get(&which).await.header("etag").to_owned();
    let less = json!({ "permissions": {} });
    let changed = ada.ask(PUT, &which, Some(less.clone()), &[("if-match", &tag)]).await;
    assert_eq!(ada.ask(PUT, &which, Some(less), &[("if-match", &tag)]).await.status, 412);
    assert_eq!(changed.value["offer"]["roles"], json!([]), "all of it: {}", changed.value);
    assert_eq!(changed.value["link"], made.value["link"], "the link stays");
    let resent = ada.send(POST, &format!("{which}/resend"), Value::Null).await;
    assert_ne!(resent.value["link"], made.value["link"]);
    assert_eq!(ada.send(POST, &format!("{which}/extend"), Value::Null).await.status, 200);
    assert_eq!(ada.send(DELETE, &which, Value::Null).await.status, 204);
    assert_eq!(ada.send(DELETE, &which, Value::Null).await.status, 404);
    let path = format!("/projects/{id}");
    assert_eq!(ada.send(Method::PATCH, &path, json!({ "name": "Sol" })).await.value["name"], "Sol");
    assert_eq!(ada.send(DELETE, &path, Value::Null).await.status, 204);
    assert_eq!(ada.get(&path).await.status, 404);
}

#[tokio::test]
async fn sessions_end_but_never_the_one_of_the_request() {
    let house = House::with_admin().await;
    let bo = house.person("bo", GOOD).await;
    let mut ada = client(&house, ADA).await;
    let mut at_work = client(&house, "bo").await;
    let theirs = ada.get(&format!("/users/{bo}/sessions")).await.items("id")[0].to_owned();
    let all = ada.get("/sessions").await;
    let own = all.value["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["current"] == true)
        .unwrap()["id"]
        .clone();
    assert_eq!(
        ada.send(DELETE, &format!("/sessions/{}", own.as_str().unwrap()), Value::Null)
            .await
            .status,
        404
    );
    assert_eq!(ada.send(DELETE, &format!("/sessions/{theirs}"), Value::Null).await.status, 204);
    assert_eq!(at_work.get("/me").await.status, 401);
    let mut at_work = client(&house, "bo").await;
    let ended = ada.send(POST, "/sessions/end", json!({ "address": "192.0.2.7" })).await;
    assert_eq!(ended.value, json!({ "ended": 1 }));
    assert_eq!(at_work.get("/me").await.status, 401);
    let told = ada.send(POST, "/sessions/end", json!({ "address": "here" })).await;
    assert_eq!(told.errors(), [("address", "invalid_characters")]);
    client(&house, "bo").await;
    let ended = ada.send(DELETE, &format!("/users/{bo}/sessions"), Value::Null).await;
    assert_eq!(ended.value, json!({ "ended": 1 }));
    assert_eq!(ada.get("/me").await.status, 200);
}

#[tokio::test]
async fn the_rest_is_done_as_in_the_console() {
    let house = House::with_admin().await;
    let mut ada = client(&house, ADA).await;
    let good = json!({ "name": "guest-lab", "include": ["198.51.100.200/29"] });
    let toml = ada.send(POST, "/ip-patterns/check", good).await;
    assert!(
        toml.value["toml"].as_str().unwrap().starts_with("[ip_pattern.guest-lab]"),
        "{}",
        toml.value
    );
    let told = ada
        .send(
            POST,
            "/ip-patterns/check",
            json!({ "name": "guest-lab", "include": ["10.0.0.7/8"] }),
        )
        .await;
    assert_eq!(told.errors(), [("include", "cidr_host_bits")]);
    assert_eq!(ada.send(POST, "/audit/check", Value::Null).await.status, 202);
    let told = ada.send(POST, "/mail/test", Value::Null).await;
    assert_eq!((told.status, told.code()), (409, "no_mail"));
    for deed in ["again", "give-up"] {
        let told = ada
            .send(POST, &format!("/mail/m-00000000000000000000000000/{deed}"), Value::Null)
            .await;
        assert_eq!(told.status, 404, "{deed}");
    }
    let lee = house.member("lee", "assay", Some("lead")).await;
    let mia = house.member("mia", "assay", None).await;
    let copied = ada.get(&format!("/users/{mia}/memberships/assay/copy")).await;
    assert_eq!(copied.value, json!({ "permissions": {}, "projects": {} }));
    assert_eq!(ada.get(&format!("/users/{lee}/memberships/other/copy")).await.status, 404);
}

#[tokio::test]
async fn rights_are_given_and_taken_by_who_has_signed_in_lately() {
    let house = House::with_admin().await;
    let bo = house.person("bo", GOOD).await;
    let mut ada = client(&house, ADA).await;
    house.wait(std::time::Duration::from_secs(9 * 60));
    let path = format!("/users/{bo}/token");
    assert_eq!(ada.send(POST, &path, Value::Null).await.status, 200);
    house.wait(std::time::Duration::from_secs(60));
    for (method, path, body) in [
        (POST, path, Value::Null),
        (POST, "/users".to_owned(), new_user("cy")),
        (POST, format!("/users/{bo}/role"), json!({ "role": "admin" })),
        (DELETE, format!("/users/{bo}"), Value::Null),
    ] {
        let told = ada.send(method.clone(), &path, body).await;
        assert_eq!((told.status, told.code()), (401, "session-too-old"), "{method} {path}");
    }
    assert_eq!(ada.get("/users").await.value["total"], 2, "looking goes on");
    assert_eq!(
        ada.send(POST, "/audit/check", Value::Null).await.status,
        202,
        "and so does what is harmless"
    );
}
