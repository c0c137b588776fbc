//! What waiting policy files would change for people is told before they are in force, by the console and by `diff`, in the same figures.

use portcullis::server::control::{Answer, Request};

use crate::support::house::{House, PORTAL, sign_in};

const POLICY: &str = r#"
[app.echo]
title = "Echo"
host = "app.localhost"
upstream = "UPSTREAM"
require = { signed_in = true }

[[app.echo.rule]]
path = "/reports/**"
require = { roles = ["curator"] }

[role.curator]
title = "Curator"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn who_gains_and_who_loses_is_told_before_a_change_is_in_force() {
    let house = House::with("", POLICY).await;
    house.add_with("ada", |person| person.role = Some("admin".to_owned())).await;
    house.add_with("cy", |person| person.role = Some("curator".to_owned())).await;
    house.add("bo").await;
    let mut ada = sign_in(&house, "ada").await;
    let policy = format!("{PORTAL}/.portcullis/admin/policy");
    let page = ada.open(&policy).await;
    let hidden = page.form_with(["csrf"].into_iter()).hidden;
    let csrf = hidden.iter().find(|(name, _)| name == "csrf").unwrap().1.clone();
    let (check, csrf) = (format!("{policy}/check"), [("csrf", csrf.as_str())]);
    let same = ada.submit(&check, &csrf).await;
    assert!(same.words().contains("The files say what is in force."), "{}", same.words());

    // Reports are opened to everybody, and a part of them is shut to all.
    let opened = POLICY.replace("require = { roles = [\"curator\"] }", "require = { signed_in = true }");
    let other = format!("{opened}\n[[app.echo.rule]]\npath = \"/secret/**\"\nrequire = {{ roles = [\"curator\"] }}\n");
    house.write_policy("main.toml", &other);
    let Answer::Differs(diff) = house.ask(Request::Diff { policies: None }).await else {
        panic!("no difference")
    };
    let names = |people: &[portcullis::server::control::Concerned]| {
        let names: Vec<&str> = people.iter().map(|one| one.username.as_str()).collect();
        names.join(" ")
    };
    assert_eq!((names(&diff.gain).as_str(), diff.people), ("ada bo", 3), "{diff:?}");
    assert_eq!(names(&diff.lose), "ada bo", "{diff:?}");
    let place = |place: &str| {
        diff.places
            .iter()
            .find(|moved| moved.place == place)
            .map(|moved| (moved.gain, moved.lose))
    };
    assert_eq!(place("/reports/**"), Some((2, 0)), "{diff:?}");
    assert_eq!(place("/secret/**"), Some((0, 2)), "{diff:?}");

    let told = ada.submit(&check, &csrf).await;
    for words in ["of 3 people, 2 lose access and 2 gain access", "/secret/**", "Check again"] {
        assert!(told.words().contains(words), "{words}: {}", told.words());
    }
    house.write_policy("main.toml", "[app.echo]\nupstrem = 1\n");
    let broken = ada.submit(&check, &csrf).await;
    assert!(broken.words().contains("The files cannot be put in force"), "{}", broken.words());
    assert!(broken.words().contains("main.toml"), "{}", broken.words());
    let Answer::Refused(_) = house.ask(Request::Diff { policies: None }).await else {
        panic!("not refused")
    };
}
