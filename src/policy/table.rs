//! Names as small numbers, and sets of them as bits.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::marker::PhantomData;

/// A number that stands for one `T` of one policy set.
pub(super) struct Id<T> {
    number: u32,
    kind: PhantomData<fn() -> T>,
}

impl<T> Id<T> {
    pub(super) fn of(number: usize) -> Self {
        Self {
            number: u32::try_from(number).unwrap_or(u32::MAX),
            kind: PhantomData,
        }
    }

    pub(super) const fn index(self) -> usize {
        self.number as usize
    }
}

// Written by hand, since deriving would ask the same of `T`.
impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Id<T> {}

impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl<T> Eq for Id<T> {}

impl<T> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.number)
    }
}

/// A set of ids, one bit each.
pub(super) struct Bits<T> {
    words: Vec<u64>,
    kind: PhantomData<fn() -> T>,
}

impl<T> Bits<T> {
    pub(super) fn insert(&mut self, id: Id<T>) {
        let index = id.index() / 64;
        if self.words.len() <= index {
            self.words.resize(index + 1, 0);
        }
        if let Some(word) = self.words.get_mut(index) {
            *word |= 1 << (id.index() % 64);
        }
    }

    pub(super) fn remove(&mut self, id: Id<T>) {
        if let Some(word) = self.words.get_mut(id.index() / 64) {
            *word &= !(1 << (id.index() % 64));
        }
    }

    pub(super) fn insert_all(&mut self, other: &Self) {
        if self.words.len() < other.words.len() {
            self.words.resize(other.words.len(), 0);
        }
        for (word, more) in self.words.iter_mut().zip(&other.words) {
            *word |= more;
        }
    }

    pub(super) fn contains(&self, id: Id<T>) -> bool {
        self.words
            .get(id.index() / 64)
            .is_some_and(|word| word >> (id.index() % 64) & 1 == 1)
    }

    pub(super) fn intersects(&self, other: &Self) -> bool {
        self.words.iter().zip(&other.words).any(|(one, two)| one & two != 0)
    }

    pub(super) fn contains_all(&self, other: &Self) -> bool {
        other
            .words
            .iter()
            .enumerate()
            .all(|(index, word)| word & !self.words.get(index).copied().unwrap_or(0) == 0)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Id<T>> + '_ {
        self.words.iter().enumerate().flat_map(|(index, word)| {
            (0..64)
                .filter(move |bit| word >> bit & 1 == 1)
                .map(move |bit| Id::of(index * 64 + bit))
        })
    }

    pub(super) fn words(&self) -> &[u64] {
        &self.words
    }
}

impl<T> Default for Bits<T> {
    fn default() -> Self {
        Self {
            words: Vec::new(),
            kind: PhantomData,
        }
    }
}

impl<T> Clone for Bits<T> {
    fn clone(&self) -> Self {
        Self {
            words: self.words.clone(),
            kind: PhantomData,
        }
    }
}

impl<T> Extend<Id<T>> for Bits<T> {
    fn extend<I: IntoIterator<Item = Id<T>>>(&mut self, ids: I) {
        for id in ids {
            self.insert(id);
        }
    }
}

impl<T> FromIterator<Id<T>> for Bits<T> {
    fn from_iter<I: IntoIterator<Item = Id<T>>>(ids: I) -> Self {
        let mut bits = Self::default();
        bits.extend(ids);
        bits
    }
}

impl<T> fmt::Debug for Bits<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// Keys with their numbers. A key may be known under several names.
#[derive(Debug)]
pub(super) struct Numbers<K: Eq + Hash, T> {
    by_key: HashMap<K, Id<T>>,
    next: usize,
}

impl<K: Eq + Hash, T> Default for Numbers<K, T> {
    fn default() -> Self {
        Self {
            by_key: HashMap::new(),
            next: 0,
        }
    }
}

impl<K: Eq + Hash + Clone, T> Numbers<K, T> {
    /// Numbers things in their order, under their names and then, where nothing else has that name, under their former ones.
    pub(super) fn of<'t>(names: impl Iterator<Item = (&'t K, &'t [K])> + Clone) -> Self
    where
        K: 't + Ord,
    {
        let mut numbers = Self::default();
        for (number, (name, _)) in names.clone().enumerate() {
            numbers.by_key.entry(name.clone()).or_insert_with(|| Id::of(number));
            numbers.next = number + 1;
        }
        // Where two claim one former name, the first by name has it, whatever the order of files.
        let mut former: Vec<(&K, &K, usize)> = names
            .enumerate()
            .flat_map(|(number, (name, formerly))| formerly.iter().map(move |former| (former, name, number)))
            .collect();
        former.sort();
        for (former, _, number) in former {
            numbers.by_key.entry(former.clone()).or_insert_with(|| Id::of(number));
        }
        numbers
    }

    /// The number of a key, a new one if it has none yet.
    pub(super) fn intern(&mut self, key: K) -> Id<T> {
        let next = self.next;
        let id = *self.by_key.entry(key).or_insert_with(|| Id::of(next));
        if id.index() == next {
            self.next += 1;
        }
        id
    }

    pub(super) fn find<Q: ?Sized + Eq + Hash>(&self, key: &Q) -> Option<Id<T>>
    where
        K: Borrow<Q>,
    {
        self.by_key.get(key).copied()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_behave_as_sets() {
        let bits = |numbers: &[usize]| numbers.iter().map(|&number| Id::<()>::of(number)).collect::<Bits<()>>();
        let set = bits(&[1, 64, 200]);
        assert!(set.contains(Id::of(64)) && !set.contains(Id::of(65)) && !set.contains(Id::of(100_000)));
        assert!(set.intersects(&bits(&[200])) && !set.intersects(&bits(&[2])) && !set.intersects(&bits(&[])));
        assert!(set.contains_all(&bits(&[1, 200])) && !set.contains_all(&bits(&[1, 201])) && set.contains_all(&bits(&[])));
        assert!(!bits(&[1]).contains_all(&bits(&[400])));
        assert_eq!(set.iter().map(Id::index).collect::<Vec<_>>(), [1, 64, 200]);
        let mut less = set;
        less.remove(Id::of(64));
        assert!(!less.contains(Id::of(64)) && !less.is_empty());
    }

    #[test]
    fn a_former_name_never_hides_a_present_one() {
        let names = [("a".to_owned(), vec!["b".to_owned(), "c".to_owned()]), ("b".to_owned(), vec![])];
        let numbers: Numbers<String, ()> = Numbers::of(names.iter().map(|(name, formerly)| (name, formerly.as_slice())));
        assert_eq!(numbers.find("b"), Some(Id::of(1)));
        assert_eq!(numbers.find("c"), Some(Id::of(0)));
        assert_eq!(numbers.find("d"), None);
    }
}
