//! A disk without room refuses the write, says so, loses nothing, and goes on when there is room again.

use portcullis::base::random::Random;
use portcullis::model::event::Action;
use portcullis::model::user::User;
use portcullis::store::{Commit, OnFile, Page, PolicyTree, Store, StoreError, WhichTree};

use crate::house::{event, ring, start, store_on, user};
use crate::lossy::{Machine, Sync};

#[tokio::test]
async fn a_full_disk_refuses_the_write_and_says_so() {
    let machine = Machine::new(Sync::Honest);
    let store = Store::on(Box::new(machine.clone()), &ring(), &Random::System, start()).unwrap();
    let make = async |number: u128| {
        let mut long = user(number);
        long.external = [portcullis::model::user::ExternalIdentity {
            provider: "idp".parse().unwrap(),
            subject: format!("{number:0>4000}"),
        }]
        .into();
        store.commit(Commit::because(event(Action::UserCreated)).create(&long)).await
    };
    make(1).await.unwrap();
    machine.has_room_for(machine.size());
    let mut kept = 1;
    let refused = loop {
        match make(kept + 1).await {
            Ok(()) => kept += 1,
            Err(error) => break error,
        }
        assert!(kept < 100_000, "the disk never fills");
    };
    assert_eq!(refused, StoreError::Full);
    assert_eq!(store.health(), Err(StoreError::Full));
    let there = store.list::<User>(Page::first(usize::MAX)).await.unwrap();
    assert_eq!(
        there.len() as u128,
        kept,
        "what was acknowledged is there, and what was refused is not"
    );
    assert_eq!(make(kept + 1).await, Err(StoreError::Full), "still full");
    machine.has_room_for(u64::MAX);
    make(kept + 1).await.unwrap();
    assert_eq!(store.health(), Ok(()));
    let audit = store.verify_audit(&ring(), None).await.unwrap();
    assert_eq!(
        (audit.broken, u128::from(audit.entries)),
        (None, kept + 1),
        "no event of a refused commit"
    );
}

#[tokio::test]
async fn a_failed_disk_is_out_of_order_until_a_restart() {
    let machine = Machine::new(Sync::Honest);
    let store = Store::on(Box::new(machine.clone()), &ring(), &Random::System, start()).unwrap();
    machine.burns_after(0);
    let refused = store.commit(Commit::because(event(Action::UserCreated)).create(&user(1))).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    assert!(matches!(store.health(), Err(StoreError::Unavailable(_))));
    machine.powers_up(&Random::seeded(1));
    let refused = store.commit(Commit::because(event(Action::UserCreated)).create(&user(1))).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "latched: {refused:?}");
}

#[tokio::test]
async fn a_file_that_grew_far_beyond_what_is_in_it_gives_room_back_at_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.redb");
    let size = || std::fs::metadata(&path).unwrap().len();
    let store = store_on(Box::new(OnFile::new(&path)));
    let tree = |letter: char| PolicyTree {
        digest: letter.to_string(),
        live_since: start(),
        texts: [("roles.toml".to_owned(), letter.to_string().repeat(50_000_000))].into(),
        named: Default::default(),
    };
    let load = || Commit::because(event(Action::PolicyLoaded));
    store.commit(load().create(&tree('a'))).await.unwrap();
    let big = store.get::<PolicyTree>(&WhichTree::LastLive).await.unwrap().unwrap();
    store.commit(load().replace(&big, &tree('b'))).await.unwrap();
    let big = store.get::<PolicyTree>(&WhichTree::LastLive).await.unwrap().unwrap();
    store.commit(load().remove(&big)).await.unwrap();
    store.close().await;
    let grown = size();
    assert!(grown > 64 << 20, "{grown}");
    let store = store_on(Box::new(OnFile::new(&path)));
    assert!(size() < grown / 10, "{} of {grown}", size());
    assert_eq!(store.verify_audit(&ring(), None).await.unwrap().entries, 3);
}
