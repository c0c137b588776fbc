//! Backups on a timer: made in time, whole, few, and missed loudly.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use portcullis::base::random::Random;
use portcullis::base::seal::{Keyring, MasterKey};
use portcullis::base::time::{Clock, HOUR};
use portcullis::server::backups::{list, make_if_due};
use portcullis::server::doctor::{Reach, examine};
use portcullis::store;

use crate::support::house::House;

const POLICY: &str = "[app.echo]\nhost = \"app.localhost\"\nupstream = \"UPSTREAM\"\nrequire = { signed_in = true }\n";

async fn house(folder: &Path) -> House {
    let settings = format!(
        "backup = {{ dir = \"{}\", every = \"1h\", keep = 2 }}",
        folder.join("kept").display()
    );
    House::with(&settings, POLICY).await
}

fn names(folder: &Path) -> Vec<String> {
    let found = list(&folder.join("kept")).unwrap();
    found.iter().map(|(at, _)| at.to_string()).collect()
}

fn figure(text: &str, name: &str) -> String {
    let line = text.lines().find(|line| line.split(' ').next() == Some(name));
    line.unwrap_or_else(|| panic!("no {name}"))
        .split(' ')
        .next_back()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn they_are_made_in_time_and_the_oldest_go() {
    let folder = tempfile::tempdir().unwrap();
    let house = house(folder.path()).await;
    house.add("ada").await;
    let desk = &house.running.desk;
    let first = make_if_due(desk).await.unwrap().expect("there is none yet");
    assert_eq!(fs::metadata(&first).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(make_if_due(desk).await.unwrap(), None, "it is young");
    fs::write(folder.path().join("kept/before-upgrade.dump"), "mine").unwrap();
    for _ in 0..3 {
        house.wait(HOUR);
        assert!(make_if_due(desk).await.unwrap().is_some());
    }
    assert_eq!(names(folder.path()), ["2026-03-02T12:00:00.000Z", "2026-03-02T13:00:00.000Z"]);
    assert!(
        folder.path().join("kept/before-upgrade.dump").exists(),
        "only what the timer made is removed"
    );

    let metrics = house.management("/metrics").await.text();
    let newest = house.clock.now().as_secs().to_string();
    assert_eq!(figure(&metrics, "portcullis_backup_last_success_timestamp_seconds"), newest);
    let keyring = Keyring::new(MasterKey::from_bytes([7; 32]), Vec::new());
    let newest: PathBuf = list(&folder.path().join("kept")).unwrap().pop().unwrap().1;
    let report = store::restore(
        &newest,
        &folder.path().join("again.redb"),
        &keyring,
        &Random::System,
        house.clock.now(),
    )
    .unwrap();
    assert!(report.rows > 0 && report.audit.unwrap().broken.is_none());
}

#[tokio::test]
async fn a_failure_is_counted_and_the_older_ones_stay() {
    let folder = tempfile::tempdir().unwrap();
    let house = house(folder.path()).await;
    let desk = &house.running.desk;
    make_if_due(desk).await.unwrap().unwrap();
    house.wait(HOUR);
    // Nobody can write where a folder has the name, whoever they are.
    let name = house
        .clock
        .now()
        .to_jiff()
        .strftime("portcullis-%Y%m%dT%H%M%SZ.dump.unfinished")
        .to_string();
    fs::create_dir_all(folder.path().join("kept").join(name)).unwrap();
    assert!(make_if_due(desk).await.is_err());
    assert_eq!(names(folder.path()).len(), 1);
    let metrics = house.management("/metrics").await.text();
    assert_eq!(figure(&metrics, "portcullis_backup_failures_total"), "1");
}

#[tokio::test]
async fn the_doctor_finds_one_that_is_old_or_open() {
    let folder = tempfile::tempdir().unwrap();
    let house = house(folder.path()).await;
    let files = house.running.desk.files.clone();
    let codes = async |clock: &Clock| {
        let report = examine(&files, clock, &Random::System, Reach::ThisMachine).await;
        let found = report.faults.into_iter().map(|fault| fault.code);
        found.filter(|code| code.contains("backup")).collect::<Vec<_>>()
    };
    let now = house.clock.clone();
    make_if_due(&house.running.desk).await.unwrap().unwrap();
    assert!(codes(&now).await.is_empty());
    assert_eq!(codes(&Clock::fixed(now.now().after(4 * HOUR))).await, ["backup-old"]);
    fs::set_permissions(folder.path().join("kept"), fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(codes(&now).await, ["mode-backup"]);
}
