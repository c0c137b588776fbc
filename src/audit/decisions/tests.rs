//! What the decision log promises.

use std::fs;

use super::*;
use crate::audit::output::remove_older;
use crate::audit::record::LoggedRequest;
use crate::base::diagnostic::Location;
use crate::base::time::Timestamp;
use crate::model::email::EmailAddress;
use crate::model::id::{DecisionId, RequestId, UserId};
use crate::model::name::PersonName;
use crate::model::principal::{Identity, SignedIn};
use crate::model::user::UserStatus;

fn ada(revision: u64) -> Principal {
    Principal::User(Arc::new(Identity {
        user: UserId::from_number(7),
        username: "ada".parse().unwrap(),
        email: Some("ada@lab.example".parse::<EmailAddress>().unwrap()),
        given_name: PersonName::default(),
        family_name: PersonName::default(),
        status: UserStatus::Active,
        roles: ["lab-user".parse().unwrap()].into(),
        memberships: Vec::new(),
        projects: Vec::new(),
        session: SessionId::from_number(1),
        signed_in: SignedIn::by_password(Timestamp::from_secs(0)),
        revision,
    }))
}

fn decided(number: u128, decision: &'static str, principal: Principal) -> Decided {
    Decided {
        id: DecisionId::from_number(number),
        request_id: RequestId::from_number(number + 1_000),
        at: Timestamp::from_secs(60),
        generation: "5f0c2a91".into(),
        decision,
        reason: "role-missing",
        app: Some("lab".parse().unwrap()),
        request: LoggedRequest {
            scheme: "https".into(),
            method: "GET".into(),
            host: "lab.example".into(),
            path: Some("/secret/place".into()),
            ip: Some("192.0.2.1".parse().unwrap()),
            via: "proxy".into(),
        },
        principal,
        rule: Some((
            "/**".into(),
            Location {
                file: "policies/lab.toml".into(),
                line: 3,
                column: 1,
            },
        )),
        checks: Vec::new(),
        us: 3,
    }
}

fn start(settings: LogSettings, clock: &Clock) -> DecisionLog {
    DecisionLog::start(settings, clock.clone(), Random::seeded(1), Arc::new(Metrics::new())).unwrap()
}

#[test]
fn a_decision_is_found_by_its_id_and_its_request_with_what_was_known() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log/decisions.jsonl");
    let settings = LogSettings {
        destination: Destination::File(file.clone()),
        ..LogSettings::default()
    };
    let log = start(settings, &Clock::fixed(Timestamp::from_secs(60)));
    log.note(decided(1, "deny", ada(1)));
    log.note(decided(2, "deny", ada(1)));
    log.note(decided(3, "deny", ada(2)));
    log.note(decided(4, "deny", Principal::Anonymous));
    let found = log.find(&DecisionId::from_number(2).to_string()).unwrap();
    assert_eq!(found.line.reason, "role-missing");
    let Principal::User(then) = found.facts.clone().unwrap().to_principal() else {
        panic!("a person")
    };
    assert_eq!((then.username.as_str(), then.revision), ("ada", 1));
    assert_eq!(log.find(&RequestId::from_number(1_002).to_string()), Some(found.clone()));
    assert_eq!(log.find("d-unknown"), None);
    log.close();
    assert_eq!(find_in_files(&file, &DecisionId::from_number(2).to_string()).unwrap(), Some(found));
    assert!(
        find_in_files(&file, &DecisionId::from_number(3).to_string())
            .unwrap()
            .unwrap()
            .facts
            .is_some()
    );
    assert_eq!(
        find_in_files(&file, &DecisionId::from_number(4).to_string())
            .unwrap()
            .unwrap()
            .facts,
        None
    );
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(text.lines().count(), 6, "four decisions, and what was known once for each revision");
    assert!(text.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
}

#[test]
fn paths_can_be_left_out_or_hashed() {
    let folder = tempfile::tempdir().unwrap();
    for (name, path, shows) in [("rule", PathDetail::Rule, None), ("hash", PathDetail::Hash, Some("sha256:"))] {
        let file = folder.path().join(name);
        let settings = LogSettings {
            destination: Destination::File(file.clone()),
            path,
            ..LogSettings::default()
        };
        let log = start(settings, &Clock::fixed(Timestamp::from_secs(60)));
        log.note(decided(1, "deny", Principal::Anonymous));
        log.close();
        let text = fs::read_to_string(&file).unwrap();
        assert!(!text.contains("secret/place"), "{name}");
        assert!(shows.is_none_or(|shows| text.contains(shows)), "{name}");
    }
}

#[test]
fn only_what_was_allowed_is_sampled() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("decisions.jsonl");
    let settings = LogSettings {
        destination: Destination::File(file.clone()),
        sample_allow: 0.0,
        ..LogSettings::default()
    };
    let log = start(settings, &Clock::fixed(Timestamp::from_secs(60)));
    for number in 0..50 {
        log.note(decided(
            number,
            if number % 2 == 0 { "allow" } else { "deny" },
            Principal::Anonymous,
        ));
    }
    assert!(
        log.find(&DecisionId::from_number(2).to_string()).is_some(),
        "in memory all the same"
    );
    log.close();
    assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), 25);
}

#[test]
fn a_new_day_begins_a_new_file_that_can_be_read_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("decisions.jsonl");
    let now = Timestamp::parse_rfc3339("2026-03-02T10:00:00Z").unwrap();
    let mut output = Output::open(&Destination::File(path.clone()), now).unwrap();
    output.line(&"one");
    output.flush();
    assert!(!output.turn(now, DAY), "the same day");
    assert!(output.turn(now.after(DAY), 40_000 * DAY));
    output.line(&"two");
    output.flush();
    assert_eq!(fs::read_to_string(&path).unwrap(), "\"two\"\n");
    let older = older_files(&path).unwrap();
    assert_eq!(older.len(), 1);
    assert!(older[0].to_string_lossy().ends_with("decisions.jsonl.2026-03-02"));
    assert_eq!(fs::read_to_string(&older[0]).unwrap(), "\"one\"\n");
}

#[test]
fn files_past_their_time_are_removed_and_others_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("decisions.jsonl");
    for name in ["decisions.jsonl.2020-01-01", "decisions.jsonl.backup", "other"] {
        fs::write(folder.path().join(name), "x").unwrap();
    }
    remove_older(&path, Timestamp::from_secs(0));
    assert_eq!(older_files(&path).unwrap().len(), 1, "modified today");
    remove_older(&path, Timestamp::from_millis(i64::MAX));
    assert_eq!(older_files(&path).unwrap().len(), 0);
    assert!(folder.path().join("decisions.jsonl.backup").exists());
}

#[test]
fn what_is_not_sampled_is_found_all_the_same_and_nothing_is_said_of_who_asked() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("decisions.jsonl");
    let settings = LogSettings {
        destination: Destination::File(file.clone()),
        sample_allow: 0.0,
        ..LogSettings::default()
    };
    let log = start(settings, &Clock::fixed(Timestamp::from_secs(60)));
    log.note(decided(1, "allow", ada(1)));
    let found = log.find(&DecisionId::from_number(1).to_string()).unwrap();
    assert!(found.facts.is_some());
    assert_eq!(fs::read_to_string(&file).unwrap(), "");
    log.note(decided(2, "deny", ada(1)));
    log.close();
    let found = find_in_files(&file, &DecisionId::from_number(2).to_string()).unwrap().unwrap();
    assert!(found.facts.is_some(), "the first line about somebody says what was known of them");
    log.note(decided(3, "deny", ada(1)));
    assert_eq!(log.shared.metrics.decisions_dropped(), 1, "what comes after the end is counted");
}
