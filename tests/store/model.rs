//! Random operations on a store and on a plain map: both say the same and hold the same.

use std::collections::{BTreeMap, BTreeSet};

use portcullis::model::event::Action;
use portcullis::model::id::UserId;
use portcullis::model::user::User;
use portcullis::store::{Commit, InMemory, Kind, OnFile, Page, Store, StoreError, Unique, UserIndex, UserUnique, Versioned};
use proptest::prelude::*;

use crate::house::{event, ring, store_on, user};

/// What becomes of one of a few users; addresses and names are few, so they collide.
#[derive(Clone, Debug)]
enum Step {
    Create { id: u8, email: Option<u8>, name: u8, admin: bool },
    Replace { id: u8, email: Option<u8>, name: u8, admin: bool },
    Remove { id: u8 },
    Unchanged { id: u8 },
}

#[derive(Clone, Debug)]
enum Operation {
    /// Reads a user, to be given back at some time.
    Read(u8),
    Commit(Vec<Step>),
}

fn step() -> impl Strategy<Value = Step> {
    let fields = (0..5_u8, proptest::option::of(0..3_u8), 0..4_u8, any::<bool>());
    prop_oneof![
        3 => fields.clone().prop_map(|(id, email, name, admin)| Step::Create { id, email, name, admin }),
        3 => fields.prop_map(|(id, email, name, admin)| Step::Replace { id, email, name, admin }),
        1 => (0..5_u8).prop_map(|id| Step::Remove { id }),
        1 => (0..5_u8).prop_map(|id| Step::Unchanged { id }),
    ]
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let one = prop_oneof![
        2 => (0..5_u8).prop_map(Operation::Read),
        3 => proptest::collection::vec(step(), 1..4).prop_map(Operation::Commit),
    ];
    proptest::collection::vec(one, 1..60)
}

fn person(id: u8, email: Option<u8>, name: u8, admin: bool) -> User {
    let mut person = user(u128::from(id));
    person.email = email.map(|email| format!("e{email}@lab.example").parse().unwrap());
    person.username = format!("name{name}").parse().unwrap();
    if !admin {
        person.roles.clear();
    }
    person
}

/// The plain map: each user with the number of the write it comes from.
#[derive(Default)]
struct Model {
    rows: BTreeMap<u8, (u64, User)>,
    writes: u64,
    events: u64,
}

impl Model {
    /// Does what the steps say, or tells why not. `read` holds the writes that reads came from.
    fn commit(&mut self, steps: &[Step], read: &BTreeMap<u8, u64>) -> Result<(), StoreError> {
        let mut written = BTreeSet::new();
        let mut after = self.rows.clone();
        for step in steps {
            let (Step::Create { id, .. } | Step::Replace { id, .. } | Step::Remove { id } | Step::Unchanged { id }) = step;
            if !matches!(step, Step::Unchanged { .. }) && !written.insert(*id) {
                return Err(StoreError::Twice(Kind::Users));
            }
            let there = self.rows.get(id).map(|(write, _)| *write);
            match step {
                Step::Create { id, email, name, admin } => {
                    if there.is_some() {
                        return Err(StoreError::Taken(Unique::Key(Kind::Users)));
                    }
                    after.insert(*id, (self.writes + 1, person(*id, *email, *name, *admin)));
                }
                _ if there.is_none() || there != read.get(id).copied() => return Err(StoreError::Conflict(Kind::Users)),
                Step::Replace { id, email, name, admin } => {
                    after.insert(*id, (self.writes + 1, person(*id, *email, *name, *admin)));
                }
                Step::Remove { id } => {
                    after.remove(id);
                }
                Step::Unchanged { .. } => {}
            }
        }
        // Told in the order in which they are written: address before name, step by step.
        let kept = after.iter().filter(|(id, _)| !written.contains(id));
        let mut taken: BTreeSet<(Unique, String)> = kept.flat_map(|(_, (_, user))| uniques(user)).collect();
        for step in steps {
            if let Step::Create { id, .. } | Step::Replace { id, .. } = step {
                for unique in uniques(&after[id].1) {
                    if !taken.insert(unique.clone()) {
                        return Err(StoreError::Taken(unique.0));
                    }
                }
            }
        }
        self.rows = after;
        self.writes += 1;
        self.events += 1;
        Ok(())
    }
}

fn uniques(user: &User) -> Vec<(Unique, String)> {
    let email = user.email.as_ref().map(|email| (Unique::UserEmail, email.canonical()));
    email.into_iter().chain([(Unique::Username, user.username.canonical())]).collect()
}

async fn agree(store: &Store, operations: Vec<Operation>) {
    let mut model = Model::default();
    let mut read: BTreeMap<u8, Versioned<User>> = BTreeMap::new();
    let mut read_writes: BTreeMap<u8, u64> = BTreeMap::new();
    for operation in operations {
        match operation {
            Operation::Read(id) => {
                let found = store.get::<User>(&UserId::from_number(u128::from(id))).await.unwrap();
                assert_eq!(found.as_ref().map(|found| &found.record), model.rows.get(&id).map(|(_, user)| user));
                if let (Some(found), Some((write, _))) = (found, model.rows.get(&id)) {
                    read.insert(id, found);
                    read_writes.insert(id, *write);
                }
            }
            Operation::Commit(mut steps) => {
                // What was never read cannot be given back.
                steps.retain(|step| match step {
                    Step::Create { .. } => true,
                    Step::Replace { id, .. } | Step::Remove { id } | Step::Unchanged { id } => read.contains_key(id),
                });
                let mut commit = Commit::because(event(Action::UserChanged));
                for step in &steps {
                    commit = match step {
                        Step::Create { id, email, name, admin } => commit.create(&person(*id, *email, *name, *admin)),
                        Step::Replace { id, email, name, admin } => commit.replace(&read[id], &person(*id, *email, *name, *admin)),
                        Step::Remove { id } => commit.remove(&read[id]),
                        Step::Unchanged { id } => commit.unchanged(&read[id]),
                    };
                }
                assert_eq!(store.commit(commit).await, model.commit(&steps, &read_writes), "{steps:?}");
            }
        }
        same(store, &model).await;
    }
    let audit = store.verify_audit(&ring(), None).await.unwrap();
    assert_eq!((audit.entries, audit.broken), (model.events, None));
}

async fn same(store: &Store, model: &Model) {
    let all = store.list::<User>(Page::first(99)).await.unwrap();
    let expected: Vec<&User> = model.rows.values().map(|(_, user)| user).collect();
    assert_eq!(all.iter().map(|user| &user.record).collect::<Vec<_>>(), expected);
    let admins = store
        .list(Page::<User>::of(&UserIndex::Role("admin".parse().unwrap()), 99))
        .await
        .unwrap();
    assert_eq!(admins.len(), expected.iter().filter(|user| user.is_active_admin()).count());
    for name in 0..4 {
        let username: portcullis::model::name::Username = format!("name{name}").parse().unwrap();
        let found = store.find::<User>(&UserUnique::Username(username.clone())).await.unwrap();
        let there = expected.iter().find(|user| user.username == username);
        assert_eq!(found.as_ref().map(|found| &found.record), there.copied());
    }
}

fn run(store: &Store, operations: Vec<Operation>) {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(agree(store, operations));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_store_in_memory_does_what_a_map_does(operations in operations()) {
        run(&store_on(Box::new(InMemory)), operations);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_store_on_file_does_what_a_map_does(operations in operations()) {
        let folder = tempfile::tempdir().unwrap();
        run(&store_on(Box::new(OnFile::new(&folder.path().join("p.redb")))), operations);
    }
}
