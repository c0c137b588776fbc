//! Time passing over a store: counts, last uses, sweeps, changes, the audit trail, another master key.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use portcullis::base::random::Random;
use portcullis::base::seal::{Keyring, MasterKey};
use portcullis::base::secret::Hashed;
use portcullis::model::attempts::AttemptLimit;
use portcullis::model::event::Action;
use portcullis::model::id::{KeyRecordId, SessionId, TokenId, UserId};
use portcullis::model::membership::Membership;
use portcullis::model::name::TeamName;
use portcullis::model::session::{Session, SessionValueRecord};
use portcullis::model::token::{OneTimeToken, Reset};
use portcullis::model::user::User;
use portcullis::store::{
    AttemptKey, AttemptRecord, AttemptScope, BrokenChain, Change, Changes, Commit, InMemory, OnFile, OpenError, Page, SecretKind,
    SecretRecord, SessionIndex, SessionValueIndex, SigningKeyRecord, Store,
};

use crate::house::{HOUR, event, ring, session, start, store_on, token, user, value};

fn store() -> Store {
    store_on(Box::new(InMemory))
}

const LIMIT: AttemptLimit = AttemptLimit {
    attempts: 2,
    lock_for: Duration::from_secs(60),
};

#[tokio::test]
async fn tries_are_counted_taken_back_and_forgotten() {
    let store = store();
    let key = AttemptKey::new(AttemptScope::Network, Hashed::sha256(b"192.0.2.0"));
    let now = start();
    assert_eq!(store.count(key, LIMIT, now).await.unwrap().count, 1);
    assert_eq!(store.count(key, LIMIT, now).await.unwrap().count, 2);
    store.uncount(key, now).await.unwrap();
    assert_eq!(store.count(key, LIMIT, now).await.unwrap().count, 2);
    assert!(store.count(key, LIMIT, now).await.unwrap().is_locked(now));
    store.uncount(key, now).await.unwrap();
    assert!(
        store.count(key, LIMIT, now).await.unwrap().is_locked(now),
        "a lock is not taken back"
    );
    let listed = store.list::<AttemptRecord>(Page::first(9)).await.unwrap();
    assert_eq!(listed.iter().map(|record| record.key).collect::<Vec<_>>(), [key]);
    store.clear_count(key).await.unwrap();
    assert_eq!(store.count(key, LIMIT, now).await.unwrap().count, 1);
    assert_eq!(store.sweep(now.after(Duration::from_secs(59))).await.unwrap().rows, 0);
    assert_eq!(
        store.sweep(now.after(Duration::from_secs(60))).await.unwrap().rows,
        1,
        "at the end of its window exactly"
    );
    assert!(store.list::<AttemptRecord>(Page::first(9)).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_is_over_is_swept_with_what_hangs_on_it() {
    let store = store();
    let (random, ring) = (Random::System, ring());
    let reset = token::<Reset>(5, 1);
    let text = SecretRecord::seal(SecretKind::Token, &reset.id.to_string(), b"7KQ4-M2XR", &ring, &random).unwrap();
    let mut replaced = value(b"old", 2);
    replaced.good_until = Some(start().after(Duration::from_secs(30)));
    let mut longer = session(2, 1);
    longer.expires = start().after(2 * HOUR);
    let made = Commit::because(event(Action::SignedIn))
        .create(&session(1, 1))
        .create(&value(b"one", 1))
        .create(&value(b"two", 1))
        .create(&longer)
        .create(&replaced)
        .create(&value(b"new", 2))
        .create(&reset)
        .create(&text);
    store.commit(made).await.unwrap();
    let soon = store.sweep(start().after(Duration::from_secs(30))).await.unwrap();
    assert_eq!((soon.rows, soon.sessions), (1, 0), "a value that was replaced");
    // A session that lasts longer than it said at first is not swept when it would have ended.
    let read = store.get::<Session>(&SessionId::from_number(2)).await.unwrap().unwrap();
    let mut kept = read.record.clone();
    kept.expires = start().after(3 * HOUR);
    store
        .commit(Commit::because(event(Action::StepUp)).replace(&read, &kept))
        .await
        .unwrap();
    let swept = store.sweep(start().after(2 * HOUR)).await.unwrap();
    assert_eq!((swept.rows, swept.sessions, swept.more), (2, 1, false), "a session and a token");
    let left = store
        .list(Page::<Session>::of(&SessionIndex::OfUser(UserId::from_number(1)), 9))
        .await
        .unwrap();
    assert_eq!(left.iter().map(|session| session.id.number()).collect::<Vec<_>>(), [2]);
    let values = async |session| {
        let index = SessionValueIndex::OfSession(SessionId::from_number(session));
        store.list(Page::<SessionValueRecord>::of(&index, 9)).await.unwrap().len()
    };
    assert_eq!((values(1).await, values(2).await), (0, 1));
    assert!(store.get::<OneTimeToken<Reset>>(&TokenId::from_number(5)).await.unwrap().is_none());
    assert!(
        store.list::<SecretRecord>(Page::first(9)).await.unwrap().is_empty(),
        "the sealed text goes with its token"
    );
}

#[tokio::test]
async fn a_last_use_is_written_when_the_store_closes_and_moves_no_revision() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.redb");
    let id = SessionId::from_number(1);
    let before = {
        let store = store_on(Box::new(OnFile::new(&path)));
        store
            .commit(Commit::because(event(Action::SignedIn)).create(&session(1, 1)))
            .await
            .unwrap();
        store.touch(id, start().after(HOUR / 2));
        store.touch(id, start().after(HOUR / 4));
        store.touch(SessionId::from_number(9), start());
        store.get::<Session>(&id).await.unwrap().unwrap()
    };
    let store = store_on(Box::new(OnFile::new(&path)));
    let after = store.get::<Session>(&id).await.unwrap().unwrap();
    assert_eq!(after.last_seen, start().after(HOUR / 2));
    assert_eq!(
        after.rested,
        HOUR / 2 - Duration::from_secs(60),
        "for how long it was unused is kept too, short by what is not written"
    );
    assert_eq!(after.revision(), before.revision());
}

#[tokio::test]
async fn who_changed_is_told_before_the_committer_is_answered() {
    let store = store();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let listener = Arc::clone(&heard);
    store.subscribe(Box::new(move |changes| listener.lock().unwrap().extend(changes.to_vec())));
    let since = store.epoch();
    let one = UserId::from_number(1);
    store
        .commit(Commit::because(event(Action::UserCreated)).create(&user(1)).create(&session(1, 1)))
        .await
        .unwrap();
    let told = heard.lock().unwrap().clone();
    assert_eq!(told, [Change::User(one)], "who is new belongs into lists; nobody knew the session");
    let membership = Membership::plain(one, TeamName::main());
    store
        .commit(Commit::because(event(Action::MembershipChanged)).create(&membership))
        .await
        .unwrap();
    let read = store.get::<Session>(&SessionId::from_number(1)).await.unwrap().unwrap();
    store.commit(Commit::because(event(Action::SignedOut)).remove(&read)).await.unwrap();
    let expected = [Change::User(one), Change::User(one), Change::Session(SessionId::from_number(1))];
    assert_eq!(*heard.lock().unwrap(), expected);
    let Changes::These(changes, now) = store.changes(since) else {
        panic!("all of it is remembered");
    };
    assert_eq!(changes, expected);
    assert_eq!(store.changes(now), Changes::These(Vec::new(), now));
}

#[tokio::test]
async fn the_audit_trail_verifies_and_is_exported_line_by_line() {
    let store = store();
    for number in 0..1500 {
        let event = event(Action::SignedIn).to(UserId::from_number(number)).with("n", number);
        store.commit(Commit::because(event)).await.unwrap();
    }
    let mark = store.mark_audit(start()).await.unwrap().expect("something to sign");
    assert_eq!(mark.entry, 1500);
    assert_eq!(mark.to_string().parse(), Ok(mark.clone()), "as it stands in the log");
    assert_eq!(store.mark_audit(start()).await.unwrap(), None, "nothing new");
    let report = store.verify_audit(&ring(), Some(mark)).await.unwrap();
    assert_eq!(
        (report.entries, report.marks, report.broken),
        (1500, 3, None),
        "one by itself, one asked for, one from the log"
    );
    let page = store.audit(1498, 10).await.unwrap();
    assert_eq!(page.iter().map(|entry| entry.number).collect::<Vec<_>>(), [1499, 1500]);
    assert_eq!(page[0].hash, page[1].previous);
    let line = serde_json::to_string(&page[1]).unwrap();
    assert!(
        line.starts_with(r#"{"number":1500,"action":"signed-in","actor":{"kind":"system"}"#),
        "{line}"
    );
    let other = Keyring::new(MasterKey::from_bytes([8; 32]), Vec::new());
    let report = store.verify_audit(&other, None).await.unwrap();
    assert_eq!((report.marks, report.marks_without_key), (0, 2));
}

/// Does something to the file behind the store's back.
fn tamper(path: &std::path::Path, deed: impl FnOnce(&mut redb::Table<'_, &'static [u8], &'static [u8]>)) {
    let database = redb::Database::create(path).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let definition = redb::TableDefinition::<&'static [u8], &'static [u8]>::new("audit");
        deed(&mut transaction.open_table(definition).unwrap());
    }
    transaction.commit().unwrap();
}

fn entry_key(number: u64) -> Vec<u8> {
    [&[0; 4][..], &number.to_be_bytes()].concat()
}

#[tokio::test]
async fn a_changed_a_missing_and_a_cut_off_entry_are_found() {
    use redb::ReadableTable;
    type Deed = fn(&mut redb::Table<'_, &'static [u8], &'static [u8]>);
    let cases: [(&str, Deed, BrokenChain); 3] = [
        (
            "changed",
            |table| {
                let mut value = table.get(entry_key(2).as_slice()).unwrap().unwrap().value().to_vec();
                let end = value.len() - 30;
                value[end] ^= 1;
                table.insert(entry_key(2).as_slice(), value.as_slice()).unwrap();
            },
            BrokenChain::Changed(2),
        ),
        (
            "missing",
            |table| {
                table.remove(entry_key(2).as_slice()).unwrap();
            },
            BrokenChain::Missing(2),
        ),
        (
            "cut off",
            |table| {
                table.remove(entry_key(4).as_slice()).unwrap();
            },
            BrokenChain::Mark(4),
        ),
    ];
    for (name, deed, expected) in cases {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.redb");
        let store = store_on(Box::new(OnFile::new(&path)));
        for number in 0..4 {
            let event = event(Action::SignedIn)
                .with("number", number)
                .with("zz", "long enough to be changed somewhere");
            store.commit(Commit::because(event)).await.unwrap();
        }
        store.mark_audit(start()).await.unwrap();
        store.close().await;
        drop(store);
        tamper(&path, deed);
        let store = store_on(Box::new(OnFile::new(&path)));
        assert_eq!(store.verify_audit(&ring(), None).await.unwrap().broken, Some(expected), "{name}");
    }
}

#[tokio::test]
async fn secrets_are_sealed_anew_and_the_old_key_can_go() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.redb");
    let random = Random::System;
    let new_key = || MasterKey::from_bytes([9; 32]);
    let store = store_on(Box::new(OnFile::new(&path)));
    let mut commit = Commit::because(event(Action::TokenMade));
    for number in 0..300 {
        commit = commit.create(&SecretRecord::seal(SecretKind::Token, &format!("t-{number}"), b"text", &ring(), &random).unwrap());
    }
    let times = (start(), start());
    let signing = SigningKeyRecord::seal(KeyRecordId::from_number(1), "ES256", times, b"private", &ring(), &random).unwrap();
    store.commit(commit.create(&signing)).await.unwrap();
    store.close().await;

    let both = Arc::new(Keyring::new(new_key(), vec![MasterKey::from_bytes([7; 32])]));
    let store = Store::open(&path, &both, &random, start()).unwrap();
    assert_eq!(store.rewrap(&both, &random, event(Action::Rewrapped)).await.unwrap(), 301);
    assert_eq!(store.rewrap(&both, &random, event(Action::Rewrapped)).await.unwrap(), 0, "all done");
    store.close().await;

    let alone = Arc::new(Keyring::new(new_key(), Vec::new()));
    let store = Store::open(&path, &alone, &random, start()).unwrap();
    let secret = store
        .get::<SecretRecord>(&(SecretKind::Token, "t-7".to_owned()))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(secret.open(&alone).unwrap().expose(), b"text");
    let signing = store.get::<SigningKeyRecord>(&KeyRecordId::from_number(1)).await.unwrap().unwrap();
    assert_eq!(signing.open(&alone).unwrap().expose(), b"private");
    store.close().await;
    assert!(matches!(
        Store::open(&path, &ring(), &random, start()),
        Err(OpenError::WrongMasterKey)
    ));
}

#[tokio::test]
async fn a_store_in_use_and_a_file_that_is_none_are_told_plainly() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.redb");
    let store = store_on(Box::new(OnFile::new(&path)));
    let second = Store::open(&path, &ring(), &Random::System, start()).unwrap_err();
    assert!(matches!(second, OpenError::InUse(_)), "{second:?}");
    assert!(second.to_string().contains("in use by another process"), "{second}");
    store.close().await;
    assert!(store.get::<User>(&UserId::from_number(1)).await.is_err(), "closed is closed");
    Store::open(&path, &ring(), &Random::System, start()).unwrap();
    let other = folder.path().join("letter.txt");
    std::fs::write(&other, "Dear reader, this is no store at all.".repeat(300)).unwrap();
    let none = Store::open(&other, &ring(), &Random::System, start()).unwrap_err();
    assert!(matches!(none, OpenError::Damaged { .. }), "{none:?}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
