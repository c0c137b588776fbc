//! How many durable writes a second there are. Printed, not asserted: `cargo test --release --test store -- --ignored --nocapture speed`.

use std::time::{Duration, Instant};

use portcullis::model::event::Action;
use portcullis::store::{Commit, OnFile};

use crate::house::{event, session, store_on};

#[test]
#[ignore = "a measurement"]
fn durable_writes_a_second() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let store = store_on(Box::new(OnFile::new(&folder.path().join("p.redb"))));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    for waiters in [1, 16, 256_u128] {
        let began = Instant::now();
        let writers: Vec<_> = (0..waiters)
            .map(|writer| {
                let store = store.clone();
                runtime.spawn(async move {
                    let mut written = 0_u128;
                    while began.elapsed() < Duration::from_secs(3) {
                        let number = (waiters << 96) + (writer << 64) + written;
                        let commit = Commit::because(event(Action::SignedIn)).create(&session(number, writer));
                        store.commit(commit).await.unwrap();
                        written += 1;
                    }
                    written
                })
            })
            .collect();
        let written: u128 = runtime.block_on(async {
            let mut written = 0;
            for writer in writers {
                written += writer.await.unwrap();
            }
            written
        });
        println!(
            "{waiters} waiters: {:.0} commits a second",
            written as f64 / began.elapsed().as_secs_f64()
        );
    }
}
