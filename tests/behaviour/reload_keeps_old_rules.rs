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
async fn broken_settings_change_nothing_either_and_all_that_is_wrong_is_told_at_once() {
    let house = House::new().await;
    house.add("ada").await;
    let mut ada = sign_in(&house, "ada").await;
    let before = house.running.desk.app.live().generation().clone();
    house.write_settings("explain_to_uzers = true\nsession.idle = \"soon\"");
    // Good rules beside them, which must not be taken alone, and one that is not.
    house.write_policy("closed.toml", "guard = [{ name = \"closed for repair\", apps = [\"echo\"] }]\n");
    house.write_policy(
        "extra.toml",
        "[app.notes]\nhost = \"notes.localhost\"\nupstream = \"UPSTREAM\"\nip_pattern = [\"dsek\"]\n",
    );
    let Answer::Refused(refused) = house.reload().await else {
        panic!("broken settings were taken")
    };
    let told = refused.details.join("\n");
    for (name, said) in [
        ("unknown setting", "error[E101]: unknown"),
        ("its place", "--> config/portcullis.toml:6:1\n"),
        ("what was meant", "did you mean `explain_to_users`?"),
        ("its caret", "^^^^^^^^^^^^^^^^ "),
        ("no duration", "--> config/portcullis.toml:7:16\n"),
        ("unknown pattern", "--> policies/extra.toml:4:15\n"),
        ("what was meant there", "did you mean \"desk\"?"),
    ] {
        assert!(told.contains(said), "{name}: {told}");
    }
    assert_eq!(*house.running.desk.app.live().generation(), before);
    assert_eq!(ada.open(&format!("{APP}/")).await.status, 200, "the old rules are gone");
    assert_eq!(house.management("/readyz").await.status, 200, "the last good files protect");
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
