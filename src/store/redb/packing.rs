//! Rows as they lie on the disk: the JSON of a record packed, and given back as it was.
//!
//! A row is plain or packed, and its first byte says which: below 128 it is the shape of a plain row ([`Row`](crate::store::rows::Row)),
//! with 128 added that of a packed one. A packed row goes on with the revision, seven bits a byte, the lowest first, and then a Zstandard
//! frame without its magic number, which was made with a fixed dictionary of what rows of ours have in common. What the key of a row says
//! already is left out of it: there a byte stands that no JSON has.
//!
//! Everything above the tables sees plain rows only, and so does a backup. A row that does not unpack is handed on as it lies, and nobody
//! can read it: [`StoreError::Unreadable`](crate::store::StoreError::Unreadable).

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt::Write;
use std::sync::LazyLock;

use zstd::bulk::{Compressor, Decompressor};
use zstd::dict::{DecoderDictionary, EncoderDictionary};
use zstd::zstd_safe::CParameter;

use crate::model::id::{SessionId, UserId};
use crate::store::rows::Kind;

/// What tells a packed row from a plain one.
const PACKED: u8 = 0x80;
/// What a frame begins with (RFC 8878, 3.1.1), and is not kept.
const MAGIC: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();
/// Stands for what the key says. JSON has no such byte.
const OWN: u8 = 0x01;
/// Larger bodies lie plain, and nothing unpacks to more.
const LARGEST: usize = 64 * 1024;
/// How hard Zstandard tries. Beyond it rows of some hundred bytes gain nothing and cost several times as much.
const LEVEL: i32 = 3;
/// Trained by `zstd --train` on rows of made-up people. Rows cannot be read without it, so it stays as it is: another one would need
/// another mark than [`PACKED`].
const DICTIONARY: &[u8] = include_bytes!("packing.dict");

static PACKING: LazyLock<Option<EncoderDictionary<'static>>> = LazyLock::new(|| EncoderDictionary::try_copy(DICTIONARY, LEVEL).ok());
static UNPACKING: LazyLock<Option<DecoderDictionary<'static>>> = LazyLock::new(|| DecoderDictionary::try_copy(DICTIONARY).ok());

thread_local! {
    static PACKER: RefCell<Option<Compressor<'static>>> = RefCell::new(packer());
    static UNPACKER: RefCell<Option<Unpacker>> = RefCell::new(unpacker());
}

/// What unpacks, with the room that it uses again and again.
struct Unpacker {
    engine: Decompressor<'static>,
    frame: Vec<u8>,
    body: Vec<u8>,
}

fn packer() -> Option<Compressor<'static>> {
    let mut packer = Compressor::with_prepared_dictionary(PACKING.as_ref()?).ok()?;
    packer.set_parameter(CParameter::DictIdFlag(false)).ok()?;
    Some(packer)
}

fn unpacker() -> Option<Unpacker> {
    Some(Unpacker {
        engine: Decompressor::with_prepared_dictionary(UNPACKING.as_ref()?).ok()?,
        frame: Vec::new(),
        body: Vec::with_capacity(LARGEST),
    })
}

/// The row of a table as it goes to the disk: packed if that is shorter. Rows of other tables than those of records stay as they are.
pub(super) fn pack<'r>(table: &str, key: &[u8], row: &'r [u8]) -> Cow<'r, [u8]> {
    let packed = Kind::named(table).and_then(|kind| try_pack(kind, key, row));
    packed
        .filter(|packed| packed.len() < row.len())
        .map_or(Cow::Borrowed(row), Cow::Owned)
}

/// The row of a table as it was given to [`pack`].
pub(super) fn unpack(table: &str, key: &[u8], row: &[u8]) -> Vec<u8> {
    let packed = row.first().is_some_and(|first| first & PACKED != 0);
    let kind = if packed { Kind::named(table) } else { None };
    kind.and_then(|kind| try_unpack(kind, key, row)).unwrap_or_else(|| row.to_vec())
}

fn try_pack(kind: Kind, key: &[u8], row: &[u8]) -> Option<Vec<u8>> {
    let (shape, rest) = row.split_first().filter(|(shape, _)| **shape & PACKED == 0)?;
    let (revision, body) = rest.split_first_chunk::<8>()?;
    if body.len() > LARGEST || memchr::memchr(OWN, body).is_some() {
        return None;
    }
    let body = without_own(kind, key, body);
    let frame = PACKER.with_borrow_mut(|packer| packer.as_mut()?.compress(&body).ok())?;
    let frame = frame.strip_prefix(&MAGIC)?;
    let mut packed = Vec::with_capacity(frame.len() + 11);
    packed.push(PACKED | shape);
    push_number(&mut packed, u64::from_be_bytes(*revision));
    packed.extend_from_slice(frame);
    Some(packed)
}

fn try_unpack(kind: Kind, key: &[u8], row: &[u8]) -> Option<Vec<u8>> {
    let (shape, rest) = row.split_first()?;
    let (revision, frame) = take_number(rest)?;
    UNPACKER.with_borrow_mut(|unpacker| {
        let unpacker = unpacker.as_mut()?;
        unpacker.frame.clear();
        unpacker.frame.extend_from_slice(&MAGIC);
        unpacker.frame.extend_from_slice(frame);
        unpacker.body.clear();
        unpacker.engine.decompress_to_buffer(&unpacker.frame, &mut unpacker.body).ok()?;
        let body = unpacker.body.as_slice();
        let mut plain = Vec::with_capacity(body.len() + 128);
        plain.push(shape & !PACKED);
        plain.extend_from_slice(&revision.to_be_bytes());
        match memchr::memchr(OWN, body).and_then(|place| body.split_at_checked(place)) {
            Some((before, rest)) => {
                plain.extend_from_slice(before);
                plain.extend_from_slice(own(kind, key)?.as_bytes());
                plain.extend_from_slice(rest.get(1..)?);
            }
            None => plain.extend_from_slice(body),
        }
        Some(plain)
    })
}

/// A body without what its key says.
fn without_own<'b>(kind: Kind, key: &[u8], body: &'b [u8]) -> Cow<'b, [u8]> {
    let Some(own) = own(kind, key) else {
        return Cow::Borrowed(body);
    };
    let place = memchr::memmem::find(body, own.as_bytes());
    let parts = place.and_then(|place| Some((body.get(..place)?, body.get(place + own.len()..)?)));
    parts.map_or(Cow::Borrowed(body), |(before, behind)| {
        Cow::Owned([before, &[OWN], behind].concat())
    })
}

/// What the JSON of a row repeats of its key.
fn own(kind: Kind, key: &[u8]) -> Option<String> {
    let number = |bytes: Option<&[u8; 16]>| bytes.map(|bytes| u128::from_be_bytes(*bytes));
    match kind {
        Kind::Users => Some(format!("\"{}\"", UserId::from_number(number(key.try_into().ok())?))),
        Kind::Memberships => Some(format!("\"{}\"", UserId::from_number(number(key.last_chunk())?))),
        Kind::Sessions => Some(format!("\"{}\"", SessionId::from_number(number(key.try_into().ok())?))),
        Kind::SessionValues => {
            let mut digits = String::with_capacity(key.len() * 4 + 2);
            for (place, byte) in key.iter().enumerate() {
                let before = if place == 0 { '[' } else { ',' };
                write!(digits, "{before}{byte}").ok()?;
            }
            digits.push(']');
            Some(digits)
        }
        _ => None,
    }
}

/// Appends a number by seven bits a byte, the lowest first, each but the last with its highest bit set.
fn push_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number > 0x7F {
        bytes.push((number & 0x7F) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// The number in front, and what is behind it.
fn take_number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let last = bytes.iter().take(10).position(|byte| byte & 0x80 == 0)?;
    let (digits, rest) = bytes.split_at_checked(last + 1)?;
    let number = digits.iter().rev().try_fold(0_u64, |number, byte| {
        let shifted = number.checked_mul(128)?;
        Some(shifted | u64::from(byte & 0x7F))
    })?;
    Some((number, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::rows::Row;

    fn plain(revision: u64, json: &str) -> Vec<u8> {
        let mut row = vec![1];
        row.extend_from_slice(&revision.to_be_bytes());
        row.extend_from_slice(json.as_bytes());
        row
    }

    fn a_user() -> (Vec<u8>, Vec<u8>) {
        let key = 17_u128.to_be_bytes().to_vec();
        let json = "{\"id\":\"u-0000000000000000000000000h\",\"email\":\"ada@lab.example\",\"username\":\"ada\",\"given_name\":\"Ada\",\
            \"family_name\":\"Lovelace\",\"status\":\"active\",\"roles\":[],\"password\":null,\"external\":[],\"epoch\":0,\"gains\":0,\
            \"created\":1796119235568,\"last_sign_in\":null}";
        (key, plain(300, json))
    }

    #[test]
    fn a_row_comes_back_as_it_was_from_a_third_of_the_room() {
        let (key, row) = a_user();
        let packed = pack("users", &key, &row);
        assert!(packed.len() * 3 < row.len(), "{} of {}", packed.len(), row.len());
        assert_eq!(unpack("users", &key, &packed), row);
    }

    #[test]
    fn a_digest_is_not_kept_twice() {
        let key: Vec<u8> = (0..32).map(|number| number * 8).collect();
        let digits: Vec<String> = key.iter().map(u8::to_string).collect();
        let json = format!("{{\"digest\":[{}],\"host\":\"portal.example\"}}", digits.join(","));
        let row = plain(1, &json);
        let packed = pack("session_values", &key, &row);
        assert!(packed.len() < 48, "{}", packed.len());
        assert_eq!(unpack("session_values", &key, &packed), row);
    }

    #[test]
    fn a_plain_row_reads_back_as_it_lies_and_other_tables_are_left_alone() {
        let (key, row) = a_user();
        assert_eq!(unpack("users", &key, &row), row);
        assert_eq!(*pack("audit", &key, &row), *row);
        let large = plain(1, &"x".repeat(LARGEST + 1));
        assert_eq!(*pack("trees", b"live", &large), *large);
    }

    #[test]
    fn a_row_of_another_form_of_packing_is_unreadable() {
        let (key, row) = a_user();
        let mut packed = pack("users", &key, &row).into_owned();
        packed.truncate(packed.len() - 1);
        assert_eq!(unpack("users", &key, &packed), packed);
        assert_eq!(Row::decode(&packed), None);
        // Packed a second time it would not be told from one that was whole.
        assert_eq!(*pack("users", &key, &packed), *packed);
    }

    #[test]
    fn what_unpacks_to_more_than_the_largest_body_is_refused() {
        let bomb = Compressor::with_prepared_dictionary(PACKING.as_ref().unwrap())
            .unwrap()
            .compress(&vec![b' '; 64 * LARGEST])
            .unwrap();
        let mut packed = vec![PACKED | 1, 1];
        packed.extend_from_slice(bomb.strip_prefix(&MAGIC).unwrap());
        assert_eq!(unpack("users", &[0; 16], &packed), packed);
    }

    proptest! {
        #[test]
        fn every_row_comes_back_as_it_was(shape in 0_u8..128, revision: u64, body: Vec<u8>, key: Vec<u8>, which in 0..Kind::ALL.len()) {
            let mut row = vec![shape];
            row.extend_from_slice(&revision.to_be_bytes());
            row.extend_from_slice(&body);
            let table = Kind::ALL[which].table();
            prop_assert_eq!(unpack(table, &key, &pack(table, &key, &row)), row);
        }

        #[test]
        fn no_bytes_unpack_to_a_panic(row: Vec<u8>, key: Vec<u8>, which in 0..Kind::ALL.len()) {
            unpack(Kind::ALL[which].table(), &key, &row);
        }

        #[test]
        fn a_damaged_row_is_another_one_or_none(place in 0_usize..60, bit in 0_u32..8) {
            let (key, row) = a_user();
            let mut packed = pack("users", &key, &row).into_owned();
            if let Some(byte) = packed.get_mut(place) {
                *byte ^= 1 << bit;
            }
            let _ = Row::decode(&unpack("users", &key, &packed));
        }
    }
}
