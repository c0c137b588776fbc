//! Rows of which there is one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::time::Timestamp;
use crate::model::id::UserId;
use crate::store::record::{Never, Record};
use crate::store::rows::{IndexKey, Kind, UniqueKey};

use super::{in_no_group, nothing_else_unique};

/// The last policy tree that went live, kept for a start with a broken one. Secrets that it names are not in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyTree {
    /// The generation that it made.
    pub digest: String,
    /// When it went live.
    pub live_since: Timestamp,
    /// The texts, by file name.
    pub texts: BTreeMap<String, String>,
    /// Files that the texts name, base64url, by path as written.
    pub named: BTreeMap<String, String>,
}

/// The one that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhichTree {
    /// The last that went live.
    LastLive,
}

impl Record for PolicyTree {
    type Key = WhichTree;
    const KIND: Kind = Kind::Trees;

    fn key(&self) -> WhichTree {
        WhichTree::LastLive
    }

    fn key_bytes(_key: &WhichTree) -> Vec<u8> {
        b"live".to_vec()
    }

    nothing_else_unique!();

    in_no_group!();
}

/// Says that there has been a first user. It is made once and stays, so there is one first however many try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstUser {
    /// Who it was.
    pub user: UserId,
}

/// The one key of [`FirstUser`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TheFirst;

impl Record for FirstUser {
    type Key = TheFirst;
    const KIND: Kind = Kind::Singles;

    fn key(&self) -> TheFirst {
        TheFirst
    }

    fn key_bytes(_key: &TheFirst) -> Vec<u8> {
        b"first".to_vec()
    }

    nothing_else_unique!();

    in_no_group!();
}
