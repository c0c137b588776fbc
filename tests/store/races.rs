//! Twelve threads at once on every rule that only one may win.

use std::sync::Barrier;
use std::time::Duration;

use portcullis::base::secret::Hashed;
use portcullis::model::attempts::AttemptLimit;
use portcullis::model::event::Action;
use portcullis::model::id::UserId;
use portcullis::model::token::{OneTimeToken, Reset};
use portcullis::model::user::User;
use portcullis::store::{
    AttemptKey, AttemptScope, Commit, FirstUser, Kind, OnFile, Page, Store, StoreError, TheFirst, TokenUnique, Unique, UserIndex,
};

use crate::house::{event, session, start, store_on, token, user};

const THREADS: u128 = 12;

/// Runs `racing` on every thread at the same moment; the answers in the order of the threads.
fn race<T: Send>(racing: impl Fn(u128) -> T + Sync) -> Vec<T> {
    let barrier = Barrier::new(THREADS as usize);
    std::thread::scope(|scope| {
        let runners: Vec<_> = (0..THREADS)
            .map(|number| {
                let (barrier, racing) = (&barrier, &racing);
                scope.spawn(move || {
                    barrier.wait();
                    racing(number)
                })
            })
            .collect();
        runners.into_iter().map(|runner| runner.join().unwrap()).collect()
    })
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn with_store(racing: impl FnOnce(&Store)) {
    let folder = tempfile::tempdir().unwrap();
    let store = store_on(Box::new(OnFile::new(&folder.path().join("p.redb"))));
    racing(&store);
    let audit = wait(store.verify_audit(&crate::house::ring(), None)).unwrap();
    assert_eq!(audit.broken, None);
}

#[test]
fn one_of_twelve_gets_a_name() {
    with_store(|store| {
        for round in 0..20 {
            let answers = race(|number| {
                let mut new = user(round * 100 + number);
                new.username = format!("wanted{round}").parse().unwrap();
                wait(store.commit(Commit::because(event(Action::UserCreated)).create(&new)))
            });
            assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "{answers:?}");
            let taken = Err(StoreError::Taken(Unique::Username));
            assert_eq!(answers.iter().filter(|answer| **answer == taken).count(), 11, "{answers:?}");
        }
    });
}

#[test]
fn one_of_twelve_is_first() {
    with_store(|store| {
        let answers = race(|number| {
            let first = FirstUser {
                user: UserId::from_number(number),
            };
            let commit = Commit::because(event(Action::FirstAdminCreated))
                .create(&user(number))
                .create(&first);
            wait(store.commit(commit))
        });
        let winner = answers.iter().position(|answer| answer.is_ok()).unwrap() as u128;
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
        assert!(answers.contains(&Err(StoreError::Taken(Unique::Key(Kind::Singles)))));
        let first = wait(store.get::<FirstUser>(&TheFirst)).unwrap().unwrap();
        assert_eq!(first.user.number(), winner);
        assert_eq!(wait(store.list::<User>(Page::first(99))).unwrap().len(), 1);
    });
}

#[test]
fn a_token_is_spent_once_however_many_try() {
    with_store(|store| {
        for round in 0..20 {
            let of_round = TokenUnique::OfUser(UserId::from_number(round));
            wait(store.commit(Commit::because(event(Action::TokenMade)).create(&token::<Reset>(round, round)))).unwrap();
            let answers = race(|number| {
                wait(async {
                    let Some(token) = store.find::<OneTimeToken<Reset>>(&of_round).await.unwrap() else {
                        return false;
                    };
                    let spent = Commit::because(event(Action::PasswordReset)).remove(&token);
                    let opened = session(round * 100 + number, round);
                    store.commit(spent.create(&opened)).await.is_ok()
                })
            });
            assert_eq!(answers.iter().filter(|won| **won).count(), 1);
        }
    });
}

#[test]
fn no_wrong_guess_is_free_and_five_is_the_end() {
    with_store(|store| {
        wait(store.commit(Commit::because(event(Action::TokenMade)).create(&token::<Reset>(1, 1)))).unwrap();
        let of_one = TokenUnique::OfUser(UserId::from_number(1));
        let counted: u32 = race(|_| {
            wait(async {
                let mut counted = 0;
                loop {
                    let token = store.find::<OneTimeToken<Reset>>(&of_one).await.unwrap().unwrap();
                    if token.tries_left == 0 {
                        return counted;
                    }
                    let mut less = token.record.clone();
                    less.tries_left -= 1;
                    match store
                        .commit(Commit::because(event(Action::TokenWrong)).replace(&token, &less))
                        .await
                    {
                        Ok(()) => counted += 1,
                        Err(error) => assert_eq!(error, StoreError::Conflict(Kind::Tokens)),
                    }
                }
            })
        })
        .into_iter()
        .sum();
        assert_eq!(counted, 5);
    });
}

#[test]
fn no_try_slips_through_a_count() {
    with_store(|store| {
        let limit = AttemptLimit {
            attempts: 100,
            lock_for: Duration::from_secs(60),
        };
        let key = AttemptKey::new(AttemptScope::Name, Hashed::sha256(b"ada"));
        let let_through: usize = race(|_| {
            let unlocked = |_: &u32| wait(store.count(key, limit, start())).unwrap().locked_until.is_none();
            (0..20).filter(unlocked).count()
        })
        .into_iter()
        .sum();
        assert_eq!(let_through, 100);
        let after = wait(store.count(key, limit, start())).unwrap();
        assert_eq!(after.count, 101, "what knocks on a lock is not counted");
    });
}

#[test]
fn the_last_administrator_stays() {
    with_store(|store| {
        for number in 0..THREADS {
            wait(store.commit(Commit::because(event(Action::UserCreated)).create(&user(number)))).unwrap();
        }
        let admins = || Page::<User>::of(&UserIndex::Role("admin".parse().unwrap()), 99);
        race(|number| {
            wait(async {
                loop {
                    let there = store.list(admins()).await.unwrap();
                    let mine = there.iter().find(|user| user.id.number() == number).unwrap();
                    let Some(other) = there.iter().find(|user| user.id.number() != number) else {
                        return;
                    };
                    let mut less = mine.record.clone();
                    less.roles.clear();
                    let commit = Commit::because(event(Action::RolesChanged)).replace(mine, &less).unchanged(other);
                    if store.commit(commit).await.is_ok() {
                        return;
                    }
                }
            })
        });
        assert_eq!(wait(store.list(admins())).unwrap().len(), 1);
    });
}
