//! The properties, each once, and the media they are run on.

use portcullis::model::event::Action;
use portcullis::model::id::UserId;
use portcullis::model::token::{Registration, Reset};
use portcullis::model::user::User;
use portcullis::store::{Commit, InMemory, Kind, OnFile, Page, Store, StoreError, TokenUnique, Unique, UserIndex, UserUnique};

use crate::house::{event, store_on, token, user};
use crate::lossy::{Machine, Sync};

/// Runs every property on every medium, as tests of their own.
macro_rules! contract {
    ($($property:ident),* $(,)?) => {
        mod in_memory {
            use super::*;
            $(#[tokio::test]
            async fn $property() {
                super::$property(store_on(Box::new(InMemory))).await;
            })*
        }
        mod on_file {
            use super::*;
            $(#[tokio::test]
            async fn $property() {
                let folder = tempfile::tempdir().unwrap();
                super::$property(store_on(Box::new(OnFile::new(&folder.path().join("data/p.redb"))))).await;
            })*
        }
        mod on_a_lossy_disk {
            use super::*;
            $(#[tokio::test]
            async fn $property() {
                super::$property(store_on(Box::new(Machine::new(Sync::Honest)))).await;
            })*
        }
    };
}

contract!(
    what_was_written_is_read_and_found,
    a_moved_row_is_a_conflict,
    what_must_be_unique_is_refused_and_freed_by_the_commit_that_lets_it_go,
    a_refused_commit_writes_nothing,
    tokens_of_one_purpose_are_not_found_as_another,
);

async fn make(store: &Store, number: u128) {
    store
        .commit(Commit::because(event(Action::UserCreated)).create(&user(number)))
        .await
        .unwrap();
}

async fn what_was_written_is_read_and_found(store: Store) {
    for number in [3, 1, 2] {
        make(&store, number).await;
    }
    let two = store.get::<User>(&UserId::from_number(2)).await.unwrap().unwrap();
    assert_eq!(two.record, user(2));
    let email = "P2@LAB.example".parse().unwrap();
    assert_eq!(store.find::<User>(&UserUnique::Email(email)).await.unwrap().unwrap(), two);
    let name = "PERSON3".parse().unwrap();
    assert_eq!(
        store.find::<User>(&UserUnique::Username(name)).await.unwrap().unwrap().record,
        user(3)
    );
    let all = store.list::<User>(Page::first(2)).await.unwrap();
    assert_eq!(all.iter().map(|user| user.id.number()).collect::<Vec<_>>(), [1, 2]);
    let rest = store.list(Page::<User>::first(2).after(&all[1].id)).await.unwrap();
    assert_eq!(rest.iter().map(|user| user.id.number()).collect::<Vec<_>>(), [3]);
    let admins = Page::<User>::of(&UserIndex::Role("admin".parse().unwrap()), 10);
    assert_eq!(store.list(admins.clone().after(&UserId::from_number(1))).await.unwrap().len(), 2);
    let mut fewer = two.record.clone();
    fewer.roles.clear();
    store
        .commit(Commit::because(event(Action::RolesChanged)).replace(&two, &fewer))
        .await
        .unwrap();
    assert_eq!(store.list(admins).await.unwrap().len(), 2, "an index follows its rows");
}

async fn a_moved_row_is_a_conflict(store: Store) {
    make(&store, 1).await;
    let read = store.get::<User>(&UserId::from_number(1)).await.unwrap().unwrap();
    let mut new = read.record.clone();
    new.epoch = 1;
    let change = || Commit::because(event(Action::UserChanged));
    store.commit(change().replace(&read, &new)).await.unwrap();
    let conflict = Err(StoreError::Conflict(Kind::Users));
    assert_eq!(store.commit(change().replace(&read, &new)).await, conflict);
    assert_eq!(store.commit(change().remove(&read)).await, conflict);
    assert_eq!(store.commit(change().unchanged(&read)).await, conflict);
    let read = store.get::<User>(&UserId::from_number(1)).await.unwrap().unwrap();
    assert_eq!(store.commit(change().unchanged(&read).replace(&read, &new)).await, Ok(()));
    let read = store.get::<User>(&UserId::from_number(1)).await.unwrap().unwrap();
    assert_eq!(
        store.commit(change().replace(&read, &new).remove(&read)).await,
        Err(StoreError::Twice(Kind::Users))
    );
    store.commit(change().remove(&read)).await.unwrap();
    make(&store, 1).await;
    assert_eq!(
        store.commit(change().remove(&read)).await,
        conflict,
        "made again is not the same row"
    );
}

async fn what_must_be_unique_is_refused_and_freed_by_the_commit_that_lets_it_go(store: Store) {
    make(&store, 1).await;
    let made = || Commit::because(event(Action::UserCreated));
    let mut other = user(2);
    other.email = "P1@lab.EXAMPLE".parse().ok();
    assert_eq!(store.commit(made().create(&other)).await, Err(StoreError::Taken(Unique::UserEmail)));
    other.email = None;
    other.username = "Person1".parse().unwrap();
    assert_eq!(store.commit(made().create(&other)).await, Err(StoreError::Taken(Unique::Username)));
    assert_eq!(
        store.commit(made().create(&user(1))).await,
        Err(StoreError::Taken(Unique::Key(Kind::Users)))
    );
    let mut twin = user(3);
    twin.username = "person4".parse().unwrap();
    assert_eq!(
        store.commit(made().create(&user(4)).create(&twin)).await,
        Err(StoreError::Taken(Unique::Username))
    );
    let one = store.get::<User>(&UserId::from_number(1)).await.unwrap().unwrap();
    store.commit(made().remove(&one).create(&other)).await.unwrap();
    let found = store
        .find::<User>(&UserUnique::Username("person1".parse().unwrap()))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.record, other, "let go and taken in one commit");
}

async fn a_refused_commit_writes_nothing(store: Store) {
    make(&store, 1).await;
    let before = store.audit(0, 100).await.unwrap();
    let refused = Commit::because(event(Action::UserCreated)).create(&user(2)).create(&user(1));
    assert!(store.commit(refused).await.is_err());
    assert_eq!(store.get::<User>(&UserId::from_number(2)).await.unwrap(), None);
    let name = UserUnique::Username("person2".parse().unwrap());
    assert_eq!(store.find::<User>(&name).await.unwrap(), None);
    assert_eq!(store.audit(0, 100).await.unwrap(), before, "no event either");
}

async fn tokens_of_one_purpose_are_not_found_as_another(store: Store) {
    let made = || Commit::because(event(Action::TokenMade));
    let reset = token::<Reset>(1, 1);
    store.commit(made().create(&reset)).await.unwrap();
    let of_one = TokenUnique::OfUser(UserId::from_number(1));
    assert_eq!(
        store
            .get::<portcullis::model::token::OneTimeToken<Registration>>(&reset.id)
            .await
            .unwrap(),
        None
    );
    assert!(
        store
            .find::<portcullis::model::token::OneTimeToken<Registration>>(&of_one)
            .await
            .unwrap()
            .is_none()
    );
    let found = store
        .find::<portcullis::model::token::OneTimeToken<Reset>>(&of_one)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        store.commit(made().create(&token::<Reset>(2, 1))).await,
        Err(StoreError::Taken(Unique::LiveToken))
    );
    store.commit(made().remove(&found).create(&token::<Reset>(2, 1))).await.unwrap();
    store.commit(made().create(&token::<Registration>(3, 1))).await.unwrap();
}
