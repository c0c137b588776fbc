//! From form 1 to 2: rows lie packed, and what is kept beside them is written shorter.
//!
//! Form 1 kept unique values and groups behind long names, the key of the row behind each entry of a group once more, an entry for every
//! membership of a team, whose keys begin with it anyway, and lengths in four bytes. The records themselves are the same in both.

use crate::model::membership::Membership;
use crate::store::error::StoreError;
use crate::store::record::{Record, decode};
use crate::store::records::describe;
use crate::store::redb::{INDEXES, Tables, UNIQUES};
use crate::store::rows::{Kind, Row};

/// Where a table stands while it is written anew.
const ASIDE: &str = "aside";
/// Rows that are read at a time.
const SLICE: usize = 1000;
/// Entries beside the rows that are held in memory, to be written in their order: that fills the pages of the engine best.
const GATHERED: usize = 200_000;

/// Writes every row anew and everything beside it.
pub(super) fn run(tables: &mut Tables<'_>) -> Result<(), StoreError> {
    tables.clear(UNIQUES)?;
    tables.clear(INDEXES)?;
    let mut beside = Vec::new();
    for kind in Kind::ALL {
        rewrite(tables, kind, &mut beside)?;
    }
    write(tables, &mut beside)
}

type Beside = Vec<(&'static str, Vec<u8>, Vec<u8>)>;

fn rewrite(tables: &mut Tables<'_>, kind: Kind, beside: &mut Beside) -> Result<(), StoreError> {
    tables.set_aside(kind.table(), ASIDE)?;
    let mut after: Option<Vec<u8>> = None;
    loop {
        let rows = tables.slice(ASIDE, kind.table(), after.as_deref(), SLICE)?;
        let Some((last, _)) = rows.last() else { break };
        after = Some(last.clone());
        for (key, value) in rows {
            let row = Row::decode(&value).ok_or(StoreError::Unreadable(kind))?;
            let (marks, _) = describe(kind, &key, &row.body)?;
            let key = match kind {
                Kind::Memberships => Membership::key_bytes(&decode::<Membership>(&row.body)?.key()),
                _ => key,
            };
            tables.put(kind.table(), &key, &value)?;
            let uniques = marks.uniques.iter().map(|unique| (UNIQUES, unique.stored(), key.clone()));
            beside.extend(uniques);
            let groups = marks.indexes.iter().filter(|index| index.is_kept());
            beside.extend(groups.map(|index| (INDEXES, index.entry(&key), Vec::new())));
        }
        if beside.len() > GATHERED {
            write(tables, beside)?;
        }
    }
    Ok(tables.clear(ASIDE)?)
}

fn write(tables: &mut Tables<'_>, beside: &mut Beside) -> Result<(), StoreError> {
    beside.sort();
    for (table, key, value) in beside.drain(..) {
        tables.put(table, &key, &value)?;
    }
    Ok(())
}
