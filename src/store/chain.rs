//! The audit trail: each entry hashed onto the one before it, its end signed now and then with a key that is not in the store.

use serde::{Deserialize, Serialize};

use crate::base::encoding::hex;
use crate::base::seal::{KeyedHash, Keyring, Purpose};
use crate::base::secret::{Hashed, sha256};
use crate::base::time::Timestamp;
use crate::model::event::Event;

use super::error::{Cause, StoreError};
use super::redb::{AUDIT, MARKS, Shared};

/// After so many entries without a mark the store signs one itself.
const ENTRIES_PER_MARK: u64 = 1000;
/// The only writer there is on one machine. In a fleet each has a number and a chain of its own.
const WRITER: u32 = 0;
/// How the bytes of an entry are laid out: this byte, 32 bytes of hash, the event as JSON.
const SHAPE: u8 = 1;

/// The end of the trail, where the next entry is added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trail {
    /// Number of the last entry; they count from 1.
    last: u64,
    hash: [u8; 32],
    marked: u64,
}

/// An entry as it is kept.
pub(super) struct Link {
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
}

impl Trail {
    /// The trail that ends with this row; `None` if the row is not an entry.
    pub(super) fn ending_with(last: Option<(Vec<u8>, Vec<u8>)>, marked: u64) -> Option<Self> {
        let Some((key, value)) = last else {
            return Some(Self {
                last: 0,
                hash: [0; 32],
                marked,
            });
        };
        let entry = AuditEntry::decode(&key, &value, [0; 32])?;
        Some(Self {
            last: entry.number,
            hash: entry.hash.0,
            marked,
        })
    }

    /// Adds an entry behind the last.
    pub(super) fn add(&mut self, event: &Event) -> Link {
        // An event is made of strings, numbers and maps with string keys, which JSON has no reason to refuse.
        let json = serde_json::to_vec(event).unwrap_or_default();
        self.last += 1;
        self.hash = link_hash(&self.hash, &json);
        let mut value = vec![SHAPE];
        value.extend_from_slice(&self.hash);
        value.extend_from_slice(&json);
        Link {
            key: key_of(self.last),
            value,
        }
    }

    pub(super) const fn wants_mark(&self) -> bool {
        self.last - self.marked >= ENTRIES_PER_MARK
    }

    /// Signs the end, if it has moved since it was signed last.
    pub(super) fn mark(&mut self, at: Timestamp, keyring: &Keyring) -> Option<Mark> {
        if self.last == self.marked {
            return None;
        }
        self.marked = self.last;
        let hash = EntryHash(self.hash);
        Some(Mark {
            entry: self.last,
            hash,
            at,
            signature: keyring.hash(Purpose::AuditMark, &signed(self.last, hash, at)),
        })
    }
}

/// The key of an entry or a mark.
pub(super) fn key_of(number: u64) -> Vec<u8> {
    let mut key = WRITER.to_be_bytes().to_vec();
    key.extend_from_slice(&number.to_be_bytes());
    key
}

pub(super) fn number_of(key: &[u8]) -> Option<u64> {
    let (_, number) = key.split_first_chunk::<4>()?;
    number.try_into().ok().map(u64::from_be_bytes)
}

fn link_hash(before: &[u8; 32], json: &[u8]) -> [u8; 32] {
    let mut whole = before.to_vec();
    whole.extend_from_slice(json);
    sha256(&whole)
}

fn signed(entry: u64, hash: EntryHash, at: Timestamp) -> Vec<u8> {
    let mut message = key_of(entry);
    message.extend_from_slice(&hash.0);
    message.extend_from_slice(&at.as_millis().to_be_bytes());
    message
}

/// The hash of an entry: SHA-256 of the hash before it and the bytes of its event. Written in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EntryHash([u8; 32]);

impl std::fmt::Display for EntryHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl std::fmt::Debug for EntryHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EntryHash({self})")
    }
}

impl From<EntryHash> for String {
    fn from(hash: EntryHash) -> Self {
        hash.to_string()
    }
}

impl TryFrom<String> for EntryHash {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const NOT_A_HASH: &str = "a hash is 64 hexadecimal digits";
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return Err(NOT_A_HASH);
        }
        for (place, byte) in bytes.iter_mut().enumerate() {
            let digits = text.get(place * 2..place * 2 + 2).ok_or(NOT_A_HASH)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| NOT_A_HASH)?;
        }
        Ok(Self(bytes))
    }
}

/// An entry of the audit trail, as it is exported: one JSON object a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditEntry {
    /// Its number, from 1 without a gap.
    pub number: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
    /// The hash of the entry before it; zeros before the first.
    pub previous: EntryHash,
    /// Its own.
    pub hash: EntryHash,
    /// The bytes that are hashed.
    #[serde(skip)]
    json: Vec<u8>,
}

impl AuditEntry {
    pub(super) fn decode(key: &[u8], value: &[u8], previous: [u8; 32]) -> Option<Self> {
        let (shape, rest) = value.split_first()?;
        let (hash, json) = rest.split_first_chunk::<32>()?;
        if *shape != SHAPE {
            return None;
        }
        Some(Self {
            number: number_of(key)?,
            event: serde_json::from_slice(json).ok()?,
            previous: EntryHash(previous),
            hash: EntryHash(*hash),
            json: json.to_vec(),
        })
    }

    /// The hash in the bytes of an entry, whatever else is in them.
    pub(super) fn hash_in(value: &[u8]) -> Option<[u8; 32]> {
        value.get(1..33)?.try_into().ok()
    }
}

/// A signed end of the audit trail. It is printed to the log as well, where whoever can write to the store cannot reach it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Number of the entry that it signs.
    pub entry: u64,
    /// Its hash.
    pub hash: EntryHash,
    /// When it was signed.
    pub at: Timestamp,
    /// Keyed hash of all that under the master key.
    pub signature: KeyedHash,
}

impl Mark {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![SHAPE];
        bytes.extend(serde_json::to_vec(self).unwrap_or_default());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (shape, json) = bytes.split_first()?;
        (*shape == SHAPE).then(|| serde_json::from_slice(json).ok()).flatten()
    }

    /// Whether it was signed under a key of the ring; `None` if that key is not here any more.
    fn is_signed(&self, keyring: &Keyring) -> Option<bool> {
        let message = signed(self.entry, self.hash, self.at);
        keyring
            .hash_like(&self.signature, Purpose::AuditMark, &message)
            .map(|hash| hash == self.signature.hash)
    }
}

/// `ENTRY:HASH:MILLISECONDS:KEY:SIGNATURE`, as it stands in the log and is given back to be verified.
impl std::fmt::Display for Mark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let signature = hex(self.signature.hash.as_bytes());
        write!(
            f,
            "{}:{}:{}:{}:{signature}",
            self.entry,
            self.hash,
            self.at.as_millis(),
            self.signature.key
        )
    }
}

/// The text is not a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a mark of the audit trail is five parts with `:` between, as the log has it")]
pub struct NotAMark;

impl std::str::FromStr for Mark {
    type Err = NotAMark;

    fn from_str(text: &str) -> Result<Self, NotAMark> {
        let hash = |text: &str| EntryHash::try_from(text.to_owned()).map_err(|_| NotAMark);
        let parts: Vec<&str> = text.trim().split(':').collect();
        let [entry, entry_hash, at, key, signature] = parts.as_slice() else {
            return Err(NotAMark);
        };
        Ok(Self {
            entry: entry.parse().map_err(|_| NotAMark)?,
            hash: hash(entry_hash)?,
            at: Timestamp::from_millis(at.parse().map_err(|_| NotAMark)?),
            signature: KeyedHash {
                key: (*key).to_owned().try_into().map_err(|_| NotAMark)?,
                hash: Hashed::from_bytes(hash(signature)?.0),
            },
        })
    }
}

/// Where the audit trail is not what it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokenChain {
    /// An entry is missing.
    #[error("entry {0} of the audit trail is missing")]
    Missing(u64),
    /// An entry cannot be read, or is not the one that was hashed.
    #[error("entry {0} of the audit trail was changed")]
    Changed(u64),
    /// A mark does not sign the entry that is there.
    #[error("the mark on entry {0} of the audit trail does not fit: the trail was written anew, or cut")]
    Mark(u64),
}

/// What going through the audit trail found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditReport {
    /// Entries that were looked at.
    pub entries: u64,
    /// Marks that fit and are signed.
    pub marks: u64,
    /// Marks whose key is not in the ring any more, so that their signature could not be looked at. Their hashes fit.
    pub marks_without_key: u64,
    /// The first fault, if there is one.
    pub broken: Option<BrokenChain>,
}

/// Entries behind a number, each with the hash before it.
pub(super) fn entries(shared: &Shared, after: u64, limit: usize) -> Result<Vec<AuditEntry>, StoreError> {
    let mut previous = match after {
        0 => [0; 32],
        _ => {
            let value = shared.one(AUDIT, &key_of(after))?;
            value.and_then(|value| AuditEntry::hash_in(&value)).unwrap_or_default()
        }
    };
    let mut entries = Vec::new();
    for (key, value) in shared.slice(AUDIT, Some(&key_of(after)), limit)? {
        let entry = AuditEntry::decode(&key, &value, previous).ok_or(UNREADABLE)?;
        previous = entry.hash.0;
        entries.push(entry);
    }
    Ok(entries)
}

/// Goes through the whole trail in slices.
pub(super) fn verify(shared: &Shared, keyring: &Keyring, seen: Option<Mark>) -> Result<AuditReport, StoreError> {
    const SLICE: usize = 1000;
    let mut report = AuditReport::default();
    // A mark that is made meanwhile lies beyond what has been read, so the marks are read first.
    let mut marks = marks(shared)?;
    marks.extend(seen);
    marks.sort_by_key(|mark| mark.entry);
    let mut marks = marks.into_iter().peekable();
    let mut hash = [0; 32];
    loop {
        let rows = shared.slice(AUDIT, Some(&key_of(report.entries)), SLICE)?;
        if rows.is_empty() {
            break;
        }
        for (key, value) in rows {
            let number = report.entries + 1;
            match link(&key, &value, number, hash) {
                Ok(next) => hash = next,
                Err(broken) => {
                    report.broken = Some(broken);
                    return Ok(report);
                }
            }
            report.entries = number;
            while let Some(mark) = marks.next_if(|mark| mark.entry <= number) {
                let signed = mark.is_signed(keyring);
                if mark.entry != number || mark.hash.0 != hash || signed == Some(false) {
                    report.broken = Some(BrokenChain::Mark(mark.entry));
                    return Ok(report);
                }
                report.marks += u64::from(signed.is_some());
                report.marks_without_key += u64::from(signed.is_none());
            }
        }
    }
    report.broken = marks.next().map(|mark| BrokenChain::Mark(mark.entry));
    Ok(report)
}

/// The hash of an entry, if it is that number and hangs on the hash before it.
fn link(key: &[u8], value: &[u8], number: u64, before: [u8; 32]) -> Result<[u8; 32], BrokenChain> {
    if number_of(key) != Some(number) {
        return Err(BrokenChain::Missing(number));
    }
    let entry = AuditEntry::decode(key, value, before).ok_or(BrokenChain::Changed(number))?;
    if link_hash(&before, &entry.json) != entry.hash.0 {
        return Err(BrokenChain::Changed(number));
    }
    Ok(entry.hash.0)
}

fn marks(shared: &Shared) -> Result<Vec<Mark>, StoreError> {
    let rows = shared.slice(MARKS, None, usize::MAX)?;
    rows.iter().map(|(_, value)| Mark::decode(value).ok_or(UNREADABLE)).collect()
}

/// What an entry or mark that is damaged is reported as.
const UNREADABLE: StoreError = StoreError::Unavailable(Cause::AuditTrail);
