//! The last policies that were in force, kept in the store for a start with broken ones.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::app::Live;
use crate::base::encoding::{base64url, from_base64url};
use crate::base::sources::{NamedFile, PolicyTexts, SourceText, Sources};
use crate::base::time::Timestamp;
use crate::model::event::{Action, Actor, Event};
use crate::store::{Commit, PolicyTree, Store, StoreError, WhichTree};

/// Keeps the texts of the rules in force. Secrets that they name stay where they are.
///
/// # Errors
/// [`StoreError`] if the store does not take them; the rules are in force all the same.
pub async fn keep(store: &Store, live: &Live, now: Timestamp) -> Result<(), StoreError> {
    let kept = store.get::<PolicyTree>(&WhichTree::LastLive).await?;
    let digest = live.policies.generation().to_string();
    if kept.as_ref().is_some_and(|kept| kept.record.digest == digest) {
        return Ok(());
    }
    let texts = live
        .texts
        .files
        .iter()
        .map(|file| (file.name.to_string(), file.text.to_string()))
        .collect();
    let named = live
        .texts
        .named
        .iter()
        .filter_map(|(path, file)| match file {
            NamedFile::Plain(bytes) => Some((path.clone(), base64url(bytes))),
            NamedFile::Secret(_) | NamedFile::Missing(_) => None,
        })
        .collect();
    let tree = PolicyTree {
        digest: digest.clone(),
        live_since: now,
        texts,
        named,
    };
    let commit = Commit::because(Event::new(Action::PolicyLoaded, Actor::System, now).with("generation", digest));
    let commit = match &kept {
        Some(kept) => commit.replace(kept, &tree),
        None => commit.create(&tree),
    };
    store.commit(commit).await
}

/// Today's settings with the last good policies.
///
/// # Errors
/// [`StoreError`] if the store does not answer.
pub async fn find(today: &Sources, store: &Store) -> Result<Option<Sources>, StoreError> {
    let Some(kept) = store.get::<PolicyTree>(&WhichTree::LastLive).await? else {
        return Ok(None);
    };
    let files = kept
        .record
        .texts
        .iter()
        .map(|(name, text)| SourceText {
            name: Arc::from(name.as_str()),
            text: Arc::from(text.as_str()),
        })
        .collect();
    // Secrets are read from disk; what else was named is as it was then.
    let mut named: BTreeMap<String, NamedFile> = today.policies.named.clone();
    for (path, bytes) in &kept.record.named {
        if let Some(bytes) = from_base64url(bytes) {
            named.insert(path.clone(), NamedFile::Plain(bytes.into()));
        }
    }
    Ok(Some(Sources {
        policies: PolicyTexts {
            files,
            named,
            strays: Vec::new(),
        },
        ..today.clone()
    }))
}
