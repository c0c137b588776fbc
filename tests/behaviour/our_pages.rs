//! Our own pages over real sockets: who gets a page and who a problem, cookies with all they need, forms that count once they are ours.

use crate::support::{Answer, GOOD, Gate, request};

const SETTINGS: &str = r#"
server.public_url = "http://sso.localhost"
site.name = "Northgate Lab"
"#;

const POLICY: &str = r#"
[app.eln]
title = "Notebook"
host = "eln.localhost"
upstream = "http://127.0.0.1:1"
require = { signed_in = true }
"#;

const PORTAL: &str = "sso.localhost";
const BROWSER: (&str, &str) = ("Accept", "text/html,application/xhtml+xml,*/*;q=0.8");
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

fn cookie_of(answer: &Answer, name: &str) -> String {
    let fields = answer.fields("set-cookie");
    let found = fields.iter().find(|field| field.starts_with(&format!("{name}=")));
    found.unwrap_or_else(|| panic!("no {name} in {fields:?}")).to_string()
}

fn value_of(cookie: &str) -> &str {
    cookie.split(';').next().unwrap()
}

fn csrf_of(page: &Answer) -> &str {
    let rest = page.body.split_once("name=\"csrf\" value=\"").unwrap().1;
    rest.split_once('"').unwrap().0
}

async fn post(gate: &Gate, path: &str, fields: &[(&str, &str)], body: &str) -> Answer {
    let length = body.len().to_string();
    let mut all = vec![BROWSER, FORM, ("Content-Length", length.as_str())];
    all.extend_from_slice(fields);
    let mut client = gate.connect().await;
    client.send(&(request("POST", PORTAL, path, &all) + body)).await;
    client.answer().await
}

#[tokio::test]
async fn a_page_for_a_browser_and_a_problem_for_a_program() {
    let gate = Gate::start(SETTINGS, POLICY).await;
    let page = gate.get("eln.localhost", "/a?b=c", &[BROWSER]).await;
    assert_eq!(page.status, 302);
    assert_eq!(
        page.field("location"),
        Some("http://eln.localhost/.portcullis/sign-in?rd=%2Fa%3Fb%3Dc")
    );
    for (name, fields) in [
        ("no Accept", &[][..]),
        ("JSON", &[("Accept", "application/json")]),
        ("a script", &[BROWSER, ("X-Requested-With", "XMLHttpRequest")]),
        ("fetch", &[BROWSER, ("Sec-Fetch-Mode", "cors")]),
    ] {
        let problem = gate.get("eln.localhost", "/a", fields).await;
        assert_eq!((problem.status, problem.field("location")), (401, None), "{name}");
        assert_eq!(problem.field("content-type"), Some("application/problem+json"), "{name}");
        assert!(problem.field("www-authenticate").is_some(), "{name}");
        let body: serde_json::Value = serde_json::from_str(&problem.body).unwrap();
        assert_eq!(body["status"], 401, "{name}");
        assert_eq!(body["login_url"], "http://eln.localhost/.portcullis/sign-in?rd=%2Fa", "{name}");
        assert_eq!(body["request_id"], problem.field("x-request-id").unwrap(), "{name}");
    }
    let sent = post_to(&gate, "eln.localhost", "/save").await;
    assert_eq!(sent.status, 401, "never a redirect that would lose what was sent");
    assert!(sent.body.contains("was not delivered"), "{}", sent.body);
}

#[tokio::test]
async fn a_stranger_shut_out_by_address_is_not_asked_to_sign_in_as_someone_else() {
    let vault = r#"
        [ip_pattern.office]
        include = ["10.9.*.*"]
        [app.vault]
        host = "vault.localhost"
        upstream = "http://127.0.0.1:1"
        ip_pattern = ["office"]
        require = { signed_in = true }
    "#;
    let gate = Gate::start(SETTINGS, &format!("{POLICY}{vault}")).await;
    let page = gate.get("vault.localhost", "/", &[BROWSER]).await;
    assert_eq!(page.status, 403, "{}", page.body);
    assert!(page.body.contains("is outside the pattern"), "{}", page.body);
    assert!(!page.body.contains("Sign in as someone else"), "{}", page.body);
    assert!(!page.body.contains("Signed in as"), "{}", page.body);
}

async fn post_to(gate: &Gate, host: &str, path: &str) -> Answer {
    let mut client = gate.connect().await;
    client.send(&request("POST", host, path, &[BROWSER, ("Content-Length", "0")])).await;
    client.answer().await
}

#[tokio::test]
async fn a_person_signs_in_over_the_wire_and_gets_a_session_cookie() {
    let gate = Gate::start(SETTINGS, POLICY).await;
    gate.signed_in("ada", PORTAL).await;
    let page = gate.get(PORTAL, "/.portcullis/sign-in", &[BROWSER]).await;
    assert_eq!(page.status, 200);
    assert_eq!(page.field("cache-control"), Some("no-store"));
    assert_eq!(
        page.field("content-security-policy"),
        Some(
            "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; \
             frame-ancestors 'none'; require-trusted-types-for 'script'"
        )
    );
    let login = cookie_of(&page, "portcullis-login");
    assert!(
        login.ends_with("; Path=/; Max-Age=600; HttpOnly; SameSite=Lax"),
        "in clear there is no Secure and no None: {login}"
    );
    let body = format!("csrf={}&username=ada&password={}", csrf_of(&page), GOOD.replace(' ', "+"));
    let cookie = ("Cookie", value_of(&login));
    let refused = post(&gate, "/.portcullis/sign-in", &[cookie, ("Origin", "http://eln.localhost")], &body).await;
    assert_eq!(refused.status, 403, "from an application's page");
    let refused = post(&gate, "/.portcullis/sign-in", &[], &body).await;
    assert_eq!(refused.status, 403, "without the login cookie");
    let done = post(
        &gate,
        "/.portcullis/sign-in",
        &[cookie, ("Origin", "http://sso.localhost"), ("Sec-Fetch-Site", "same-origin")],
        &body,
    )
    .await;
    assert_eq!((done.status, done.field("location")), (303, Some("/.portcullis/")), "{}", done.body);
    let session = cookie_of(&done, "portcullis");
    assert!(
        session.ends_with("; Path=/; HttpOnly; SameSite=Lax"),
        "it goes with the browser: {session}"
    );
    let value = value_of(&session);
    let home = gate.get(PORTAL, "/.portcullis/", &[BROWSER, ("Cookie", value)]).await;
    assert!(home.status == 200 && home.body.contains("My applications"), "{}", home.body);
    let two = format!("{value}; portcullis=x");
    let refused = gate.get(PORTAL, "/.portcullis/", &[BROWSER, ("Cookie", &two)]).await;
    assert_eq!(refused.status, 400, "two cookies of our name");
    let elsewhere = gate.get("eln.localhost", "/", &[BROWSER, ("Cookie", value)]).await;
    assert_eq!(elsewhere.status, 302, "a value is good on its host only");
}

#[tokio::test]
async fn what_is_not_ours_or_not_there_is_said_by_status() {
    let gate = Gate::start(SETTINGS, POLICY).await;
    let root = gate.get(PORTAL, "/", &[BROWSER]).await;
    assert_eq!((root.status, root.field("location")), (302, Some("/.portcullis/")));
    let folder = portcullis::web::assets::FOLDER;
    for (name, host, path, status) in [
        ("unknown host", "nothing.localhost", "/", 421),
        ("nothing there", PORTAL, "/.portcullis/nothing", 404),
        (
            "an asset of another build",
            PORTAL,
            "/.portcullis/assets/0000000000000000/portcullis.css",
            404,
        ),
        ("a ticket nobody gave", "eln.localhost", "/.portcullis/callback?ticket=x", 400),
        (
            "a foreign place to go on to",
            PORTAL,
            "/.portcullis/sign-in?rd=https://evil.example/",
            400,
        ),
        ("who am I", "eln.localhost", "/.portcullis/whoami", 200),
        ("the keys", "eln.localhost", "/.portcullis/jwks.json", 200),
    ] {
        let answer = gate.get(host, path, &[BROWSER]).await;
        assert_eq!(answer.status, status, "{name}: {}", answer.body);
        assert!(answer.field("x-request-id").is_some(), "{name}");
    }
    let style = gate.get("eln.localhost", &format!("{folder}/portcullis.css"), &[]).await;
    assert_eq!(style.field("content-type"), Some("text/css; charset=utf-8"));
    assert_eq!(style.field("cache-control"), Some("public, max-age=31536000, immutable"));
    let keys = gate.get(PORTAL, "/.portcullis/jwks.json", &[]).await;
    let keys: serde_json::Value = serde_json::from_str(&keys.body).unwrap();
    assert_eq!(keys["keys"][0]["kty"], "EC");
    let who = gate.get("eln.localhost", "/.portcullis/whoami", &[]).await;
    let who: serde_json::Value = serde_json::from_str(&who.body).unwrap();
    assert_eq!((&who["user"], &who["address"]), (&serde_json::Value::Null, &"127.0.0.1".into()));
}

#[tokio::test]
async fn a_form_that_is_too_large_is_413() {
    let gate = Gate::start(SETTINGS, POLICY).await;
    for (name, body) in [
        ("a field", format!("csrf=x&password={}", "y".repeat(17 * 1024))),
        ("all of it", format!("csrf=x&{}", "z=y&".repeat(20 * 1024))),
    ] {
        let answer = post(&gate, "/.portcullis/sign-in", &[], &body).await;
        assert_eq!(answer.status, 413, "{name}: {}", answer.body);
    }
}

#[tokio::test]
async fn the_root_of_the_portal_leads_to_our_pages_where_no_application_owns_it() {
    let gate = Gate::start(SETTINGS, POLICY).await;
    let root = gate.get(PORTAL, "/", &[BROWSER]).await;
    assert_eq!((root.status, root.field("location")), (302, Some("/.portcullis/")));
    assert_eq!(
        gate.get(PORTAL, "/elsewhere", &[BROWSER]).await.status,
        404,
        "our host, and nothing there"
    );
    let shared =
        format!("{POLICY}\n[app.wiki]\nhost = \"{PORTAL}\"\nupstream = \"http://127.0.0.1:1\"\nrequire = {{ signed_in = true }}\n");
    let gate = Gate::start(SETTINGS, &shared).await;
    let root = gate.get(PORTAL, "/", &[BROWSER]).await;
    assert!(
        root.field("location").unwrap().contains("/.portcullis/sign-in?rd="),
        "the application's"
    );
}
