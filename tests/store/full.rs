//! A disk without room refuses the write, says so, loses nothing, and goes on when there is room again.

use portcullis::base::random::Random;
use portcullis::model::event::Action;
use portcullis::model::user::User;
use portcullis::store::{Commit, Page, Store, StoreError};

use crate::house::{event, ring, start, user};
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
