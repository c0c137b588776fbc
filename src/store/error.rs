//! What can go wrong between a use case and the store, in the words a caller can act on.

use std::path::PathBuf;

use super::rows::{Kind, Unique};

/// Why a read or a commit did not happen.
///
/// The first four are answers: nothing was written, and the store is well. The others mean that nobody may be let in by what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// A row that the commit read has moved since, or is gone. Read again and decide again.
    #[error("a row of `{0}` changed after it was read")]
    Conflict(Kind),
    /// Another row has what must be unique.
    #[error("`{0}` is taken by another row")]
    Taken(Unique),
    /// One commit writes the same row twice, which only a mistake in a use case can ask for.
    #[error("one commit writes the same row of `{0}` twice")]
    Twice(Kind),
    /// The disk has no room. Nothing of this commit was written; what was acknowledged before stays.
    #[error("the disk that holds the store is full: make room, nothing was lost")]
    Full,
    /// The store does not answer: it was closed, or its disk failed. Whether a commit that was under way was kept is not known.
    #[error("the store is not available: {0}")]
    Unavailable(Cause),
    /// A row is not what this version writes.
    #[error("a row of `{0}` cannot be read by this version")]
    Unreadable(Kind),
}

/// Why the store does not answer, for the operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// It was closed.
    #[error("it was closed")]
    Closed,
    /// The disk reported an error; the process has to be started anew, after the disk has been looked at.
    #[error("its disk failed ({0}); look at the disk, then start the server again")]
    Disk(String),
    /// An entry or a mark of the audit trail cannot be read.
    #[error("its audit trail is damaged; `portcullis audit verify` says where")]
    AuditTrail,
    /// The file is damaged.
    #[error("its file is damaged ({0}); restore the last backup")]
    Damaged(String),
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process holds the file.
    #[error(
        "the store `{0}` is in use by another process: stop that server, or give the command while it runs so that it goes through the control socket"
    )]
    InUse(PathBuf),
    /// The file was written by a newer version.
    #[error(
        "the store was written by a newer portcullis (schema {found}, this one knows {known}): start that version again, or restore a backup made before the upgrade"
    )]
    Newer {
        /// Schema of the file.
        found: u32,
        /// Newest schema that this program knows.
        known: u32,
    },
    /// The master key is not the one the store was made with.
    #[error(
        "the master key does not belong to this store: give the key it was made with as keys.master_file, or name it in keys.previous_files"
    )]
    WrongMasterKey,
    /// The file or its folder cannot be used.
    #[error("the store `{path}` cannot be opened")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file is no store, or is damaged.
    #[error("the store `{path}` cannot be read ({detail}): restore the last backup with `portcullis restore`")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the engine said.
        detail: String,
    },
    /// A step of the migration failed; the file is as it was.
    #[error("the store could not be brought to schema {to}")]
    Migration {
        /// The schema that could not be reached.
        to: u32,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// The copy that is made before a migration could not be written.
    #[error("the copy before the migration could not be written")]
    CopyBefore(#[source] Box<super::backup::BackupError>),
}
