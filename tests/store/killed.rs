//! kill -9 at any moment: what was acknowledged is there, nothing is half done, no token is spent twice.

use std::collections::BTreeSet;
use std::time::Duration;

use portcullis::base::random::Random;
use portcullis::model::event::Action;
use portcullis::model::id::UserId;
use portcullis::model::session::Session;
use portcullis::model::token::{OneTimeToken, Reset};
use portcullis::model::user::User;
use portcullis::store::{Commit, OnFile, Page, Store, TokenUnique};

use crate::house::{event, ring, session, store_on, token, user};
use crate::killing::{acknowledge, kills, run_and_kill, told};

/// Makes users with tokens and spends the tokens, several at once, until it is killed.
#[tokio::test]
async fn child() {
    let Some(path) = told() else { return };
    let store = store_on(Box::new(OnFile::new(path.as_ref())));
    let there = store.list::<User>(Page::first(usize::MAX)).await.unwrap();
    let mut next = there.iter().map(|user| user.id.number() + 1).max().unwrap_or(1);
    loop {
        tokio::join!(
            make_and_spend(&store, next),
            make_and_spend(&store, next + 1),
            make_and_spend(&store, next + 2)
        );
        next += 3;
    }
}

async fn make_and_spend(store: &Store, number: u128) {
    let made = Commit::because(event(Action::UserCreated))
        .create(&user(number))
        .create(&token::<Reset>(number, number));
    store.commit(made).await.unwrap();
    acknowledge(format_args!("made {number}"));
    let of_user = TokenUnique::OfUser(UserId::from_number(number));
    let token = store.find::<OneTimeToken<Reset>>(&of_user).await.unwrap().unwrap();
    let read = store.get::<User>(&UserId::from_number(number)).await.unwrap().unwrap();
    let mut changed = read.record.clone();
    changed.epoch += 1;
    let spent = Commit::because(event(Action::PasswordReset))
        .remove(&token)
        .replace(&read, &changed)
        .create(&session(number, number));
    store.commit(spent).await.unwrap();
    acknowledge(format_args!("spent {number}"));
}

#[test]
fn a_killed_process_loses_nothing_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.redb");
    let random = Random::System;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (mut made, mut spent) = (BTreeSet::new(), BTreeSet::new());
    for kill in 0..kills(25) {
        for line in run_and_kill("killed::child", path.to_str().unwrap(), Duration::from_millis(60), &random) {
            let (what, number) = line.split_once(' ').unwrap();
            let number: u128 = number.parse().unwrap();
            assert!(
                if what == "made" { &mut made } else { &mut spent }.insert(number),
                "kill {kill}: {line} twice"
            );
        }
        runtime.block_on(async {
            let store = store_on(Box::new(OnFile::new(&path)));
            let users = store.list::<User>(Page::first(usize::MAX)).await.unwrap();
            let there: BTreeSet<u128> = users.iter().map(|user| user.id.number()).collect();
            assert!(made.is_subset(&there), "kill {kill}: users are lost");
            let sessions = store.list::<Session>(Page::first(usize::MAX)).await.unwrap();
            let opened: BTreeSet<u128> = sessions.iter().map(|session| session.id.number()).collect();
            assert!(spent.is_subset(&opened), "kill {kill}: resets are lost");
            let mut deeds = 0;
            for user in &users {
                let token = store.find::<OneTimeToken<Reset>>(&TokenUnique::OfUser(user.id)).await.unwrap();
                let state = (token.is_some(), opened.contains(&user.id.number()), user.epoch);
                assert!(
                    [(true, false, 0), (false, true, 1)].contains(&state),
                    "kill {kill}: half done: {state:?}"
                );
                deeds += 1 + user.epoch;
            }
            let audit = store.verify_audit(&ring(), None).await.unwrap();
            assert_eq!((audit.broken, audit.entries), (None, deeds), "kill {kill}: an event for each deed");
            store.close().await;
        });
    }
    assert!(!spent.is_empty());
}
