//! A backup restores to an equal store, also one that was made while the store was written to.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use portcullis::base::random::Random;
use portcullis::base::time::HOUR;
use portcullis::model::event::Action;
use portcullis::model::id::{SessionId, UserId};
use portcullis::model::membership::Membership;
use portcullis::model::name::RoleName;
use portcullis::model::session::SessionValueRecord;
use portcullis::model::team::Project;
use portcullis::model::token::{OneTimeToken, Reset};
use portcullis::model::user::User;
use portcullis::store::{
    BackupError, Commit, Flaw, MembershipIndex, OnFile, Page, SessionValueIndex, Store, TeamIndex, TokenUnique, UserIndex, UserUnique,
    restore,
};
use redb::{ReadableDatabase, ReadableTable, TableHandle};

use crate::house::{event, ring, session, start, store_on, user, value};

type Table = BTreeMap<Vec<u8>, Vec<u8>>;

/// Every row of a file, by table.
fn content(path: &Path) -> BTreeMap<String, Table> {
    let database = redb::Database::open(path).unwrap();
    let transaction = database.begin_read().unwrap();
    let names: Vec<String> = transaction.list_tables().unwrap().map(|table| table.name().to_owned()).collect();
    let read = |name: &str| {
        let definition = redb::TableDefinition::<&'static [u8], &'static [u8]>::new(name);
        let table = transaction.open_table(definition).unwrap();
        let rows = table.iter().unwrap().map(|row| {
            let (key, value) = row.unwrap();
            (key.value().to_vec(), value.value().to_vec())
        });
        rows.collect::<Table>()
    };
    let tables = names.into_iter().map(|name| (name.clone(), read(&name)));
    tables.filter(|(_, rows)| !rows.is_empty()).collect()
}

async fn fill(store: &Store, numbers: std::ops::Range<u128>) {
    for number in numbers {
        let commit = Commit::because(event(Action::UserCreated))
            .create(&user(number))
            .create(&session(number, number))
            .create(&value(&number.to_be_bytes(), number));
        store.commit(commit).await.unwrap();
    }
}

#[tokio::test]
async fn a_backup_restores_to_an_equal_store() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let store = store_on(Box::new(OnFile::new(&at("p.redb"))));
    fill(&store, 1..300).await;
    store.mark_audit(start()).await.unwrap();
    let made = store.backup(&at("one.backup")).await.unwrap();
    let again = store.backup(&at("two.backup")).await.unwrap();
    assert_eq!(made, again, "nothing happened between");
    assert!(matches!(store.backup(&at("one.backup")).await, Err(BackupError::Exists(_))));
    store.close().await;

    let restored = restore(&at("one.backup"), &at("new.redb"), &ring(), &Random::System, start()).unwrap();
    assert_eq!((restored.rows, &restored.digest), (made.rows, &made.digest));
    assert_eq!(restored.audit.unwrap().entries, 299);
    assert_eq!(content(&at("new.redb")), content(&at("p.redb")));
    let occupied = restore(&at("one.backup"), &at("new.redb"), &ring(), &Random::System, start());
    assert!(matches!(occupied, Err(BackupError::Exists(_))));

    let store = store_on(Box::new(OnFile::new(&at("new.redb"))));
    fill(&store, 300..310).await;
    assert_eq!(store.list::<User>(Page::first(999)).await.unwrap().len(), 309);
    assert!(store.backup(&at("three.backup")).await.unwrap().rows > made.rows);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_made_while_the_store_is_written_to_is_as_of_one_moment() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let store = store_on(Box::new(OnFile::new(&at("p.redb"))));
    fill(&store, 0..3000).await;
    let done = AtomicBool::new(false);
    let writing = async {
        let mut rounds = 0_u64;
        while !done.load(Ordering::SeqCst) {
            // Two users always have the same epoch; one is swapped for another all the time.
            let read = async |number| store.get::<User>(&UserId::from_number(number)).await.unwrap();
            let (first, last) = (read(0).await.unwrap(), read(2999).await.unwrap());
            let (mut one, mut two) = (first.record.clone(), last.record.clone());
            one.epoch += 1;
            two.epoch += 1;
            let gone = read(u128::from(1 + rounds % 2000)).await.unwrap();
            let back = user(u128::from(10_000 + rounds));
            let commit = Commit::because(event(Action::UserChanged))
                .replace(&first, &one)
                .replace(&last, &two)
                .remove(&gone)
                .create(&back);
            store.commit(commit).await.unwrap();
            rounds += 1;
            if rounds == 1900 {
                break;
            }
        }
        rounds
    };
    let copying = async {
        let mut copies = 0;
        for number in 0..4 {
            store.backup(&at(&format!("{number}.backup"))).await.unwrap();
            copies += 1;
        }
        done.store(true, Ordering::SeqCst);
        copies
    };
    let (rounds, copies) = tokio::join!(writing, copying);
    assert!(rounds > 3, "{rounds} rounds beside {copies} copies");
    for number in 0..copies {
        let path = at(&format!("{number}.redb"));
        restore(&at(&format!("{number}.backup")), &path, &ring(), &Random::System, start()).unwrap();
        let copy = store_on(Box::new(OnFile::new(&path)));
        let users = copy.list::<User>(Page::first(9999)).await.unwrap();
        assert_eq!(users.len(), 3000, "copy {number}");
        let epoch = |number| users.iter().find(|user| user.id.number() == number).unwrap().epoch;
        assert_eq!(epoch(0), epoch(2999), "copy {number}");
        let audit = copy.verify_audit(&ring(), None).await.unwrap();
        assert_eq!(audit.entries, 3000 + epoch(0), "copy {number}: as many events as deeds");
    }
}

#[tokio::test]
async fn a_backup_that_was_cut_or_changed_is_refused_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let store = store_on(Box::new(OnFile::new(&at("p.redb"))));
    fill(&store, 0..20).await;
    store.backup(&at("good.backup")).await.unwrap();
    let good = std::fs::read(at("good.backup")).unwrap();
    let changed = |place: usize| {
        let mut bytes = good.clone();
        bytes[place] ^= 1;
        bytes
    };
    let cases = [
        ("cut", good[..good.len() - 1].to_vec(), vec![Flaw::Short]),
        ("empty", Vec::new(), vec![Flaw::Head]),
        ("another file", b"SQLite format 3".to_vec(), vec![Flaw::Head]),
        (
            "a changed value",
            changed(good.len() / 2),
            vec![Flaw::Digest, Flaw::Short, Flaw::Frame, Flaw::Table],
        ),
        ("a changed digest", changed(good.len() - 1), vec![Flaw::Digest]),
        ("more behind it", [&good[..], b"x"].concat(), vec![Flaw::Frame]),
    ];
    for (name, bytes, flaws) in cases {
        std::fs::write(at("bad.backup"), bytes).unwrap();
        match restore(&at("bad.backup"), &at("new.redb"), &ring(), &Random::System, start()) {
            Err(BackupError::Damaged { flaw, .. }) => assert!(flaws.contains(&flaw), "{name}: {flaw}"),
            other => panic!("{name}: {other:?}"),
        }
        assert!(!at("new.redb").exists() && !at("new.redb.restoring").exists(), "{name}");
    }
}

/// `tests/data/store/form-1.backup` was made by a version before this form, of 30 people, some of them in two teams, five with a session
/// and a token, and a project.
#[tokio::test]
async fn a_backup_of_the_first_form_restores_and_is_brought_to_this_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.redb");
    let old = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/store/form-1.backup");
    let report = restore(&old, &path, &ring(), &Random::System, start()).unwrap();
    assert_eq!(report.audit.unwrap().entries, 31);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    let store = store_on(Box::new(OnFile::new(&path)));
    for number in 1..=30 {
        let whole = store.get::<User>(&UserId::from_number(number)).await.unwrap().unwrap().record;
        assert_eq!(whole, user(number));
        let email = UserUnique::Email(whole.email.clone().unwrap());
        assert_eq!(store.find::<User>(&email).await.unwrap().unwrap().record, whole);
        let name = UserUnique::Username(whole.username.clone());
        assert_eq!(store.find::<User>(&name).await.unwrap().unwrap().record, whole);
    }
    let admins = Page::<User>::of(&UserIndex::Role(RoleName::admin()), 99);
    assert_eq!(store.list(admins).await.unwrap().len(), 30);
    let members = async |team: &str| {
        let page = Page::<Membership>::of(&MembershipIndex::OfTeam(team.parse().unwrap()), 99);
        let members = store.list(page).await.unwrap();
        members.iter().map(|member| member.user.number()).collect::<Vec<_>>()
    };
    assert_eq!(members("lab").await, (1..=30).collect::<Vec<u128>>());
    assert_eq!(members("informatics").await, (1..=10).map(|third| third * 3).collect::<Vec<u128>>());
    let of_three = Page::<Membership>::of(&MembershipIndex::OfUser(UserId::from_number(3)), 9);
    assert_eq!(store.list(of_three).await.unwrap().len(), 2);
    let project = Page::<Project>::of(&TeamIndex::OfTeam("lab".parse().unwrap()), 9);
    assert_eq!(store.list(project).await.unwrap().len(), 1);
    for number in 1..=5 {
        assert!(
            store
                .find::<OneTimeToken<Reset>>(&TokenUnique::OfUser(UserId::from_number(number)))
                .await
                .unwrap()
                .is_some()
        );
        let values = Page::<SessionValueRecord>::of(&SessionValueIndex::OfSession(SessionId::from_number(number)), 9);
        assert_eq!(store.list(values).await.unwrap()[0].record, value(&number.to_be_bytes(), number));
    }
    let taken = store.commit(Commit::because(event(Action::UserCreated)).create(&user(7))).await;
    assert!(taken.is_err(), "what was unique stays so");
    // And everything goes when its time has come, with what hangs on it.
    let gone = store.sweep(start().after(HOUR * 2)).await.unwrap();
    assert_eq!((gone.rows, gone.sessions), (10, 5));
    assert!(store.list::<SessionValueRecord>(Page::first(9)).await.unwrap().is_empty());
    assert!(store.read_all().await.unwrap() > 0);

    // From here on it is a store as any other.
    store.backup(&folder.path().join("new.backup")).await.unwrap();
    store.close().await;
    let again = folder.path().join("again.redb");
    restore(&folder.path().join("new.backup"), &again, &ring(), &Random::System, start()).unwrap();
    assert_eq!(content(&again), content(&path));
}
