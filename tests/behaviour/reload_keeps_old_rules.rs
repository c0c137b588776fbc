//! A reload is all or nothing: a broken tree changes nothing and says so; a good one is in force for the next request.

use portcullis::server::control::Answer;

use crate::support::house::{APP, House, sign_in};

const BROKEN: &str = "[app.echo\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_policy_changes_nothing_and_is_told_everywhere() {
    let house = House::new().await;
    house.add("ada").await;
    let mut ada = sign_in(&house, "ada").await;
    house.write_policy("extra.toml", BROKEN);
    let Answer::Refused(refused) = house.reload().await else {
        panic!("a broken policy was taken")
    };
    assert!(
        refused.details.iter().any(|line| line.contains("policies/extra.toml:1")),
        "{refused:?}"
    );
    assert_eq!(ada.open(&format!("{APP}/admin/users")).await.status, 200, "the old rules are gone");
    let ready = house.management("/readyz").await;
    assert_eq!(ready.status, 200, "the last good rules protect");
    assert!(
        ready.json()["policy_stale"].as_str().unwrap().contains("extra.toml"),
        "{}",
        ready.text()
    );
    let metrics = house.management("/metrics").await.text();
    assert!(metrics.contains("portcullis_policy_stale 1"), "{metrics}");
    assert!(metrics.contains("portcullis_config_last_reload_success 0"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_whose_own_tests_fail_never_goes_live() {
    let house = House::new().await;
    let test = "[[test]]\nname = \"anybody\"\nrequest = \"GET http://app.localhost/\"\nexpect = \"allow\"\n";
    house.write_policy("tests.toml", test);
    let Answer::Refused(refused) = house.reload().await else {
        panic!("a failing test was overlooked")
    };
    assert!(refused.details.iter().any(|line| line.contains("anybody")), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_policy_counts_for_the_next_request_and_heals() {
    let house = House::new().await;
    house.add("ada").await;
    let mut ada = sign_in(&house, "ada").await;
    house.write_policy("extra.toml", BROKEN);
    house.reload().await;
    house.write_policy("extra.toml", "guard = [{ name = \"closed for repair\", apps = [\"echo\"] }]\n");
    let Answer::Reloaded(in_force) = house.reload().await else {
        panic!("a good policy was refused")
    };
    assert!(!in_force.generation.is_empty(), "{in_force:?}");
    let denied = ada.open(&format!("{APP}/")).await;
    assert_eq!(denied.status, 403, "{}", denied.words());
    assert!(house.management("/metrics").await.text().contains("portcullis_policy_stale 0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_would_lock_every_admin_out_are_refused() {
    let house = House::new().await;
    house.add_with("ada", |ada| ada.ip_pattern = Some("desk".into())).await;
    house.write_policy(
        "main.toml",
        "[ip_pattern.desk]\ninclude = [\"198.51.100.1\"]\nexclude = [\"198.51.100.1\"]\n",
    );
    assert!(
        matches!(house.reload().await, Answer::Refused(_)),
        "nobody could administer by these rules"
    );
}
