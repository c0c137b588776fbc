//! What `make bench` needs from the inside: stores with many people, durable writes a second, and what password hashing can do.
//!
//! `cargo bench --bench scale -- people FOLDER COUNT SESSIONS | invitations FOLDER COUNT | commits FOLDER WAITERS SECONDS | hashing SECONDS`; one line of JSON each.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a tool of the harness may stop on the spot")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use portcullis::base::encoding::base64url;
use portcullis::base::random::Random;
use portcullis::base::seal::Keyring;
use portcullis::base::secret::Hashed;
use portcullis::base::time::{Clock, DAY, Timestamp};
use portcullis::model::event::{Action, Actor, Event};
use portcullis::model::id::{SessionId, UserId};
use portcullis::model::invitation::Invitation;
use portcullis::model::membership::{Membership, Offer};
use portcullis::model::password::Password;
use portcullis::model::principal::SignedIn;
use portcullis::model::session::{Session, SessionValue, SessionValueRecord};
use portcullis::model::user::{User, UserStatus};
use portcullis::server::master_key::keyring;
use portcullis::signin::local::{NewPassword, Passwords};
use portcullis::store::{Commit, Store};

/// People in one commit.
const AT_ONCE: u64 = 250;
/// Where the numbers of people made here begin.
const FIRST: u128 = 1 << 100;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    match words.as_slice() {
        ["people", folder, count, sessions] => {
            runtime.block_on(people(Path::new(folder), count.parse().unwrap(), sessions.parse().unwrap()))
        }
        ["invitations", folder, count] => runtime.block_on(invitations(Path::new(folder), count.parse().unwrap())),
        ["commits", folder, waiters, seconds] => {
            runtime.block_on(commits(Path::new(folder), waiters.parse().unwrap(), seconds.parse().unwrap()))
        }
        ["hashing", seconds] => runtime.block_on(hashing(seconds.parse().unwrap())),
        // `cargo bench` without more runs every target: this one measures nothing by itself.
        [] => {}
        other => panic!("unknown: {other:?}"),
    }
}

fn open(folder: &Path) -> (Store, Timestamp, PathBuf) {
    let (random, now) = (Random::System, Clock::System.now());
    let path = folder.join("data/portcullis.redb");
    std::fs::create_dir_all(folder.join("data")).unwrap();
    let keys: Keyring = keyring(&folder.join("data/master.key"), &[], path.exists(), &random).unwrap();
    let store = Store::open(&path, &Arc::new(keys), &random, now).unwrap();
    (store, now, path)
}

/// The value of the cookie of person number so and so: ten symbols of base64url say which, the rest is zero.
fn cookie(number: u64) -> SessionValue {
    let mut bytes = [0; 32];
    for (byte, of_number) in bytes.iter_mut().zip((number << 4).to_be_bytes()) {
        *byte = of_number;
    }
    SessionValue::parse(&base64url(&bytes)).unwrap()
}

/// People of a team, the first so many with a session on 127.0.0.1.
async fn people(folder: &Path, count: u64, sessions: u64) {
    let (store, now, path) = open(folder);
    let began = Instant::now();
    let next = Arc::new(AtomicU64::new(0));
    let workers: Vec<_> = (0..8)
        .map(|_| {
            let (store, next) = (store.clone(), Arc::clone(&next));
            tokio::spawn(async move {
                loop {
                    let first = next.fetch_add(AT_ONCE, Ordering::Relaxed);
                    if first >= count {
                        return;
                    }
                    let mut commit = Commit::because(Event::new(Action::UserCreated, Actor::Anonymous, now));
                    for number in first..(first + AT_ONCE).min(count) {
                        commit = person(commit, number, number < sessions, now);
                    }
                    store.commit(commit).await.unwrap();
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    let took = began.elapsed();
    store.close().await;
    let bytes = std::fs::metadata(&path).unwrap().len();
    println!(
        "{{\"people\":{count},\"sessions\":{sessions},\"seconds\":{:.1},\"bytes\":{bytes}}}",
        took.as_secs_f64()
    );
}

/// Invitations into a team, one a minute until now.
async fn invitations(folder: &Path, count: u64) {
    let (store, now, path) = open(folder);
    let began = Instant::now();
    let random = Random::System;
    for first in (0..count).step_by(AT_ONCE as usize) {
        let mut commit = Commit::because(Event::new(Action::InvitationSent, Actor::Anonymous, now));
        for number in first..(first + AT_ONCE).min(count) {
            let sent = now.before(Duration::from_secs(2 * (count - number)));
            commit = commit.create(&Invitation {
                id: Invitation::new_id(&random, sent),
                email: format!("guest{number}@people.example").parse().unwrap(),
                user: UserId::generate(&random),
                offer: Offer::nothing("users".parse().unwrap()),
                by: None,
                secret: Hashed::sha256(&number.to_be_bytes()),
                sent,
                expires: sent.after(2 * DAY),
                opened: None,
                profile: None,
                bounced: false,
                wrong: 0,
            });
        }
        store.commit(commit).await.unwrap();
    }
    let took = began.elapsed();
    store.close().await;
    let bytes = std::fs::metadata(&path).unwrap().len();
    println!(
        "{{\"invitations\":{count},\"seconds\":{:.1},\"bytes\":{bytes}}}",
        took.as_secs_f64()
    );
}

/// An identifier that tells of no order, as those of real people do: they fill the pages of a store less than a row of numbers would.
fn scattered(number: u64) -> u128 {
    let mixed = |seed: u64| {
        let mut mixed = number.wrapping_add(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    (u128::from(mixed(1)) << 64) | u128::from(mixed(1 << 40))
}

fn person(commit: Commit, number: u64, with_session: bool, now: Timestamp) -> Commit {
    let user = UserId::from_number(scattered(number));
    let mut membership = Membership::plain(user, "users".parse().unwrap());
    membership.roles.insert("member".parse().unwrap());
    membership.ip_pattern = Some("desks".parse().unwrap());
    let commit = commit
        .create(&User {
            id: user,
            email: Some(format!("person{number}@people.example").parse().unwrap()),
            username: format!("person{number}").parse().unwrap(),
            given_name: "Robin".parse().unwrap(),
            family_name: format!("Number {number}").parse().unwrap(),
            status: UserStatus::Active,
            roles: std::collections::BTreeSet::new(),
            password: None,
            external: std::collections::BTreeSet::new(),
            epoch: 0,
            gains: 0,
            created: now,
            last_sign_in: Some(now),
        })
        .create(&membership);
    if !with_session {
        return commit;
    }
    let session = SessionId::from_number(FIRST + u128::from(number));
    commit
        .create(&Session {
            id: session,
            user,
            epoch: 0,
            created: now,
            expires: now.after(DAY),
            last_seen: now,
            rested: Duration::ZERO,
            signed_in: SignedIn::by_password(now),
            remember: false,
            address: None,
            agent: "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0".to_owned(),
        })
        .create(&SessionValueRecord {
            digest: cookie(number).digest(),
            session,
            host: "127.0.0.1".to_owned(),
            gains: 0,
            good_until: None,
        })
}

/// Durable commits of one session each, by so many who wait for each of theirs.
async fn commits(folder: &Path, waiters: u64, seconds: u64) {
    let (store, now, _) = open(folder);
    let (done, end) = (Arc::new(AtomicU64::new(0)), Instant::now() + Duration::from_secs(seconds));
    let began = Instant::now();
    let workers: Vec<_> = (0..waiters)
        .map(|_| {
            let (store, done) = (store.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                while Instant::now() < end {
                    let session = Session {
                        id: SessionId::generate(&Random::System),
                        user: UserId::from_number(1),
                        epoch: 0,
                        created: now,
                        expires: now.after(DAY),
                        last_seen: now,
                        rested: Duration::ZERO,
                        signed_in: SignedIn::by_password(now),
                        remember: false,
                        address: None,
                        agent: String::new(),
                    };
                    let commit = Commit::because(Event::new(Action::SignedIn, Actor::Anonymous, now)).create(&session);
                    store.commit(commit).await.unwrap();
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    let rate = done.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
    store.close().await;
    println!("{{\"waiters\":{waiters},\"commits_per_second\":{rate:.0}}}");
}

/// Passwords checked a second by the threads that a server has here, as fast as they take them.
async fn hashing(seconds: u64) {
    let passwords = Arc::new(Passwords::start_for_this_machine(Random::System).unwrap());
    let text = "correct horse battery staple";
    let new = NewPassword {
        text: Password::new(text.to_owned()),
        at_least: 12,
        known: Vec::new(),
    };
    let hash = passwords.make(passwords.seat().unwrap(), new).await.unwrap().unwrap();
    let (done, end, began) = (
        Arc::new(AtomicU64::new(0)),
        Instant::now() + Duration::from_secs(seconds),
        Instant::now(),
    );
    let workers: Vec<_> = (0..16)
        .map(|_| {
            let (passwords, hash, done) = (Arc::clone(&passwords), hash.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                while Instant::now() < end {
                    let seat = passwords.seat().unwrap();
                    assert!(
                        passwords
                            .check(seat, Password::new(text.to_owned()), Some(hash.clone()))
                            .await
                            .unwrap()
                    );
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    println!(
        "{{\"checks_per_second\":{:.1}}}",
        done.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64()
    );
}
