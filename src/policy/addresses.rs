//! All IP patterns at once: one search tells every pattern that an address is in.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use crate::model::ip_pattern::{AddressRange, fold_mapped};

use super::definitions::IpPattern;
use super::table::{Bits, Id};

/// Stretches of addresses that are in the same patterns share a class, so a person's holdings need computing once for each class.
#[derive(Debug)]
pub(super) struct AddressBook {
    /// First number of each stretch, and its class.
    v4: Stretches<u32>,
    v6: Stretches<u128>,
    classes: Vec<Bits<IpPattern>>,
    nowhere: Bits<IpPattern>,
}

#[derive(Debug)]
struct Stretches<N> {
    starts: Box<[N]>,
    classes: Box<[u32]>,
}

/// Which patterns an address is in; equal classes are in the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct AddressClass(u32);

/// In no pattern.
const NOWHERE: u32 = 0;

impl AddressBook {
    pub(super) fn of(patterns: &[IpPattern]) -> Self {
        let mut v4: BTreeMap<u32, Vec<(usize, bool)>> = BTreeMap::new();
        let mut v6: BTreeMap<u128, Vec<(usize, bool)>> = BTreeMap::new();
        for (number, pattern) in patterns.iter().enumerate() {
            for range in pattern.addresses.ranges() {
                match range {
                    AddressRange::V4(range) => {
                        v4.entry(*range.start()).or_default().push((number, true));
                        if let Some(after) = range.end().checked_add(1) {
                            v4.entry(after).or_default().push((number, false));
                        }
                    }
                    AddressRange::V6(range) => {
                        v6.entry(*range.start()).or_default().push((number, true));
                        if let Some(after) = range.end().checked_add(1) {
                            v6.entry(after).or_default().push((number, false));
                        }
                    }
                }
            }
        }
        let mut classes = vec![Bits::default()];
        let mut known = HashMap::from([(Vec::new(), NOWHERE)]);
        Self {
            v4: sweep(v4, &mut classes, &mut known),
            v6: sweep(v6, &mut classes, &mut known),
            classes,
            nowhere: Bits::default(),
        }
    }

    /// No address is in no pattern.
    pub(super) fn class(&self, address: Option<IpAddr>) -> AddressClass {
        AddressClass(match address.map(fold_mapped) {
            Some(IpAddr::V4(v4)) => self.v4.class(v4.into()),
            Some(IpAddr::V6(v6)) => self.v6.class(v6.into()),
            None => NOWHERE,
        })
    }

    /// The first address of each stretch.
    pub(super) fn starts(&self) -> impl Iterator<Item = IpAddr> {
        let v4 = self.v4.starts.iter().map(|start| IpAddr::V4((*start).into()));
        v4.chain(self.v6.starts.iter().map(|start| IpAddr::V6((*start).into())))
    }

    pub(super) fn patterns(&self, class: AddressClass) -> &Bits<IpPattern> {
        self.classes.get(class.0 as usize).unwrap_or(&self.nowhere)
    }
}

impl<N: Ord + Copy> Stretches<N> {
    fn class(&self, number: N) -> u32 {
        self.starts
            .partition_point(|start| *start <= number)
            .checked_sub(1)
            .and_then(|index| self.classes.get(index))
            .copied()
            .unwrap_or(NOWHERE)
    }
}

fn sweep<N>(
    events: BTreeMap<N, Vec<(usize, bool)>>,
    classes: &mut Vec<Bits<IpPattern>>,
    known: &mut HashMap<Vec<u64>, u32>,
) -> Stretches<N> {
    let mut inside: Bits<IpPattern> = Bits::default();
    let mut starts = Vec::with_capacity(events.len());
    let mut numbers = Vec::with_capacity(events.len());
    for (start, changes) in events {
        for (pattern, begins) in changes {
            if begins {
                inside.insert(Id::of(pattern));
            } else {
                inside.remove(Id::of(pattern));
            }
        }
        let words = inside.words();
        let used = words.iter().rposition(|word| *word != 0).map_or(0, |last| last + 1);
        let key = words.get(..used).unwrap_or(words).to_vec();
        let class = *known.entry(key).or_insert_with(|| {
            classes.push(inside.clone());
            u32::try_from(classes.len() - 1).unwrap_or(NOWHERE)
        });
        starts.push(start);
        numbers.push(class);
    }
    Stretches {
        starts: starts.into(),
        classes: numbers.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ip_pattern::AddressSet;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_book_says_what_each_pattern_says(
            ranges in proptest::collection::vec(proptest::collection::vec((0u32..60, 0u32..60), 0..4), 0..70),
            v6 in proptest::collection::vec((0u128..9, 0u128..9), 0..4),
            at in 0u32..64,
        ) {
            let patterns: Vec<IpPattern> = ranges
                .iter()
                .enumerate()
                .map(|(number, ranges)| {
                    let v4 = ranges.iter().map(|(a, b)| AddressRange::V4(*a.min(b)..=*a.max(b)));
                    let v6 = v6.iter().map(|(a, b)| AddressRange::V6(*a.min(b)..=u128::MAX - *a.max(b) - number as u128));
                    IpPattern::plain(format!("p{number}").parse().unwrap(), AddressSet::of(v4.chain(v6)))
                })
                .collect();
            let book = AddressBook::of(&patterns);
            for address in [IpAddr::V4(at.into()), IpAddr::V6(u128::from(at).into()), IpAddr::V6((u128::MAX - u128::from(at)).into())] {
                let class = book.class(Some(address));
                for (number, pattern) in patterns.iter().enumerate() {
                    prop_assert_eq!(book.patterns(class).contains(Id::of(number)), pattern.addresses.contains(address));
                }
            }
            prop_assert!(book.patterns(book.class(None)).is_empty());
        }
    }
}
