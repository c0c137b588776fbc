//! What the API promises: the same rules as the console's, and every answer as the document says.

mod deeds;
mod looks;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde_json::{Value, json};

use super::browser::{ADA, Browser, GOOD, House, Page};
use crate::web::api::openapi;
use crate::web::api::problem::PROBLEM;
use crate::web::api::rows::{API, Row};
use crate::web::api::shape::Shape;
use crate::web::routes::Access;

/// Whoever asks by machine, with a session of their own.
pub(super) struct Client<'h> {
    browser: Browser<'h>,
    csrf: String,
}

/// What came back: its status and JSON, seen to be as the document says.
pub(super) struct Told {
    pub(super) status: u16,
    pub(super) value: Value,
    page: Page,
}

impl Told {
    pub(super) fn header(&self, name: &str) -> &str {
        self.page.header(name)
    }

    /// The code of the problem; empty if it is none.
    pub(super) fn code(&self) -> &str {
        self.value["code"].as_str().unwrap_or("")
    }

    /// Fields and codes of what is wrong.
    pub(super) fn errors(&self) -> Vec<(&str, &str)> {
        let errors = self.value["errors"].as_array().into_iter().flatten();
        errors
            .map(|one| (one["field"].as_str().unwrap(), one["code"].as_str().unwrap()))
            .collect()
    }

    /// What the items of a page are called by.
    pub(super) fn items(&self, part: &str) -> Vec<&str> {
        let items = self.value["items"].as_array().unwrap_or_else(|| panic!("{}", self.value));
        items.iter().map(|one| one[part].as_str().unwrap()).collect()
    }
}

pub(super) async fn client<'h>(house: &'h House, name: &str) -> Client<'h> {
    let mut browser = house.signed_in(name, GOOD).await;
    let csrf = browser.get("/.portcullis/me/sessions").await.csrf();
    Client { browser, csrf }
}

impl Client<'_> {
    pub(super) async fn get(&mut self, path: &str) -> Told {
        self.ask(Method::GET, path, None, &[]).await
    }

    pub(super) async fn send(&mut self, method: Method, path: &str, body: Value) -> Told {
        self.ask(method, path, Some(body), &[]).await
    }

    /// Asks with further headers; one of ours is left out where it is given here.
    pub(super) async fn ask(&mut self, method: Method, path: &str, body: Option<Value>, more: &[(&'static str, &str)]) -> Told {
        let text = body.map(|body| body.to_string()).unwrap_or_default();
        self.ask_raw(method, path, text, more).await
    }

    pub(super) async fn ask_raw(&mut self, method: Method, path: &str, body: String, more: &[(&'static str, &str)]) -> Told {
        let mut headers = HeaderMap::new();
        let csrf = self.csrf.clone();
        let usual = [
            ("accept", "application/json"),
            ("content-type", "application/json"),
            ("x-portcullis-csrf", csrf.as_str()),
        ];
        for (name, value) in usual
            .iter()
            .filter(|(name, _)| !more.iter().any(|(other, _)| other == name))
            .chain(more)
        {
            if !value.is_empty() {
                headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
            }
        }
        let target = format!("/.portcullis/api/v1{path}");
        let page = self.browser.request(method.clone(), &target, headers, body).await;
        seen(&method, path, page)
    }
}

/// The row of an address, by its parts.
fn row_of(method: &Method, path: &str) -> Option<&'static Row> {
    let path = path.split('?').next().unwrap();
    let asked = if method == Method::HEAD { &Method::GET } else { method };
    let fits = |row: &&Row| {
        let (one, two): (Vec<&str>, Vec<&str>) = (row.path.split('/').collect(), path.split('/').collect());
        row.method == *asked && one.len() == two.len() && one.iter().zip(&two).all(|(one, two)| one == two || one.starts_with('{'))
    };
    // An address without braces goes first.
    API.iter().filter(fits).min_by_key(|row| row.params().count())
}

/// Checks an answer against the document.
fn seen(method: &Method, path: &str, page: Page) -> Told {
    let status = page.status.as_u16();
    let value: Value = serde_json::from_str(&page.text).unwrap_or(Value::Null);
    if let Some(row) = row_of(method, path).filter(|_| *method != Method::HEAD) {
        let mut flaws = Vec::new();
        if status == row.gives.status {
            if let Some(shape) = row.gives.shape {
                Shape::Object(shape).check(&value, "", &mut flaws);
            } else {
                assert_eq!(page.text, "", "{method} {path}");
            }
        } else {
            let refusals = openapi::refusals(row);
            let known = refusals.iter().find(|(known, _)| *known == status);
            let (_, codes) = known.unwrap_or_else(|| panic!("{method} {path}: {status} is not documented: {value}"));
            let code = value["code"].as_str().unwrap();
            // A 422 says the code of its first flaw; those are stable, and told at their fields.
            assert!(
                status == 422 || codes.contains(&code),
                "{method} {path}: {status} {code} is not documented"
            );
            assert_eq!(page.header("content-type"), "application/problem+json");
            Shape::Object(&PROBLEM).check(&value, "", &mut flaws);
        }
        assert_eq!(flaws, [], "{method} {path}: {value}");
    }
    Told { status, value, page }
}

#[test]
fn every_row_is_in_the_document_and_nothing_else() {
    let document = openapi::document();
    assert_eq!(document["openapi"], "3.1.0");
    let mut operations = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            operations.push((path.clone(), method.clone()));
            assert!(!operation["summary"].as_str().unwrap().is_empty());
        }
    }
    assert_eq!(operations.len(), API.len());
    for row in API {
        let method = row.method.as_str().to_ascii_lowercase();
        assert!(operations.contains(&(row.path.to_owned(), method)), "{} {}", row.method, row.path);
        assert_eq!(API.iter().filter(|other| other.id == row.id).count(), 1, "{}", row.id);
        assert!(row.method != Method::GET || row.takes.is_none() && !row.repeatable, "{}", row.id);
    }
    // What is referred to is there.
    let text = document.to_string();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for reference in text.split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(schemas.get(name).is_some_and(|schema| schema["type"] == "object"), "{name}");
    }
}

#[test]
fn no_row_is_open_to_who_has_no_power_but_what_tells_who_one_is() {
    for row in API {
        let own = row.path == "/me";
        assert_eq!(row.access == Access::SignedIn, own, "{}", row.id);
        assert_ne!(row.access, Access::Public, "{}", row.id);
    }
}

#[tokio::test]
async fn a_session_comes_with_its_value_and_from_our_own_pages() {
    let house = House::with_admin().await;
    let mut ada = client(&house, ADA).await;
    assert_eq!(ada.get("/me").await.value["name"], "Ada Okafor");
    for (name, more, status, code) in [
        ("no value", &[("x-portcullis-csrf", "")][..], 403, "csrf"),
        ("another value", &[("x-portcullis-csrf", "AAAA")], 403, "csrf"),
    ] {
        let told = ada.ask(Method::GET, "/me", None, more).await;
        assert_eq!((told.status, told.code()), (status, code), "{name}");
    }
    let mut stranger = Client {
        browser: house.browser(),
        csrf: ada.csrf.clone(),
    };
    let told = stranger.get("/users").await;
    assert_eq!((told.status, told.code()), (401, "no-session"));
    assert_eq!(told.header("www-authenticate"), "Bearer realm=\"portcullis\"");
    assert_eq!(told.value["login_url"], "https://sso.example/.portcullis/sign-in");
    let document = stranger.get("/openapi.json").await;
    assert_eq!((document.status, &document.value["info"]["title"]), (200, &json!("portcullis")));
    house.person("bo", GOOD).await;
    let mut bo = client(&house, "bo").await;
    let told = bo.get("/users").await;
    assert_eq!((told.status, told.code()), (403, "role-missing"));
    assert_eq!(bo.get("/me").await.value["powers"], json!([]));
    // An application's host has no API.
    let page = ada.browser.on("eln.example").get("/.portcullis/api/v1/users").await;
    assert_eq!(page.status, StatusCode::FOUND);
    let page = ada
        .browser
        .on("eln.example")
        .post("/.portcullis/api/v1/users", &[], String::new())
        .await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_is_not_there_is_told_apart() {
    let house = House::with_admin().await;
    let mut ada = client(&house, ADA).await;
    for (method, path, status, code) in [
        (Method::GET, "/nothing", 404, "not_found"),
        (Method::GET, "", 404, "not_found"),
        (Method::GET, "/users/u-x", 404, "not_found"),
        (Method::GET, "/users/u-00000000000000000000000000", 404, "not_found"),
        (Method::PUT, "/users", 405, "wrong_method"),
        (Method::OPTIONS, "/me", 405, "wrong_method"),
        (Method::POST, "/openapi.json", 405, "wrong_method"),
        (Method::GET, "/users?limit=0", 422, "wrong_type"),
        (Method::GET, "/users?limit=201", 422, "wrong_type"),
        (Method::GET, "/users?lmit=1", 422, "unknown_field"),
        (Method::GET, "/users?status=lost", 422, "unknown_word"),
        (Method::GET, "/users?team=A+B", 422, "invalid_characters"),
        (Method::GET, "/users?q=1&q=2", 400, "bad_query"),
        (Method::GET, "/invitations?after=x", 422, "no_page"),
        (Method::GET, "/explain", 422, "missing"),
        (Method::GET, "/audit?from=yesterday", 422, "no_moment"),
    ] {
        let told = ada.ask(method.clone(), path, None, &[]).await;
        assert_eq!((told.status, told.code()), (status, code), "{method} {path}: {}", told.value);
        assert_eq!(told.header("content-type"), "application/problem+json", "{method} {path}");
    }
    let told = ada.ask(Method::DELETE, "/users", None, &[]).await;
    assert!(told.header("allow").contains("GET, HEAD"), "{}", told.header("allow"));
    let head = ada.ask(Method::HEAD, "/users", None, &[]).await;
    assert_eq!((head.status, head.page.text.as_str()), (200, ""));
}

#[tokio::test]
async fn pages_follow_each_other_by_their_keys() {
    let house = House::with_admin().await;
    for number in 0..7 {
        house.awaited(&format!("p{number}")).await;
    }
    let mut ada = client(&house, ADA).await;
    let mut seen: Vec<String> = Vec::new();
    let mut after = String::new();
    loop {
        let told = ada.get(&format!("/users?limit=3{after}")).await;
        assert_eq!(told.value["total"], 8);
        seen.extend(told.items("username").iter().map(ToString::to_string));
        match told.value["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 8);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 8, "nobody twice");
    assert_eq!(ada.get("/users?q=P3").await.items("username"), ["p3"]);
}

#[tokio::test]
async fn a_teams_administrator_finds_their_own_and_nobody_else() {
    let house = House::with_admin().await;
    house.member("lee", "assay", Some("lead")).await;
    let mia = house.member("mia", "assay", None).await;
    let oto = house.member("oto", "other", None).await;
    let mut lee = client(&house, "lee").await;
    assert_eq!(lee.get("/users").await.items("username"), ["lee", "mia"]);
    assert_eq!(lee.get(&format!("/users/{mia}")).await.status, 200);
    for path in [
        format!("/users/{oto}"),
        format!("/users/{oto}/sessions"),
        format!("/users/{oto}/memberships/other"),
        format!("/users/{mia}/memberships/other"),
    ] {
        assert_eq!(lee.get(&path).await.status, 404, "{path}");
    }
    assert_eq!(lee.get("/sessions").await.items("method").len(), 1);
    assert_eq!(lee.get("/teams").await.items("name"), ["assay"]);
    let me = lee.get("/me").await;
    assert_eq!(me.value["teams"], json!({ "assay": ["users", "apps", "audit"] }));
    for path in [
        "/invitations",
        "/projects",
        "/policy",
        "/health",
        "/identity-providers",
        "/audit/check",
    ] {
        let told = lee.get(path).await;
        assert_eq!((told.status, told.code()), (403, "role-missing"), "{path}");
    }
    let membership = lee.get(&format!("/users/{mia}/memberships/assay")).await;
    assert!(membership.header("etag").len() == 34, "{}", membership.header("etag"));
}
