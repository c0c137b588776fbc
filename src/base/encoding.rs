//! Bytes as text: base64url for secrets in addresses and cookies, Crockford base 32 for what people read and type.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The 32 symbols of Crockford's base 32, in the order of their values. There is no I, L, O or U.
pub const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Base64url without padding (RFC 4648 section 5).
#[must_use]
pub fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads base64url without padding; `None` for anything that would not be written the same way again.
#[must_use]
pub fn from_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Reads exactly `N` bytes of base64url without padding.
#[must_use]
pub fn array_from_base64url<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let written = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
    (written == N).then_some(bytes)
}

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from(if value < 10 { b'0' + value } else { b'a' + value - 10 });
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// A 128-bit number as 26 lower-case Crockford symbols, so that texts sort as the numbers do.
#[must_use]
pub fn number_to_text(number: u128) -> String {
    number_symbols(number).map(char::from).into_iter().collect()
}

/// The same, as the bytes of ASCII symbols and without a piece of memory for them.
#[must_use]
pub fn number_symbols(number: u128) -> [u8; 26] {
    let mut left = number;
    let mut symbols = [b'0'; 26];
    for symbol in symbols.iter_mut().rev() {
        *symbol = CROCKFORD.get((left & 31) as usize).copied().unwrap_or(b'0').to_ascii_lowercase();
        left >>= 5;
    }
    symbols
}

/// Reads what [`number_to_text`] wrote; `None` for anything else.
#[must_use]
pub fn number_from_text(text: &str) -> Option<u128> {
    if text.len() != 26 {
        return None;
    }
    let mut number: u128 = 0;
    for symbol in text.bytes() {
        if symbol.is_ascii_uppercase() {
            return None;
        }
        let value = CROCKFORD.iter().position(|known| *known == symbol.to_ascii_uppercase())?;
        if number >> 123 != 0 {
            return None;
        }
        number = (number << 5) | value as u128;
    }
    Some(number)
}

/// A cell of comma-separated values, quoted where RFC 4180 wants it. A cell a spreadsheet would run as a formula gets an apostrophe in front (OWASP: CSV injection).
#[must_use]
pub fn csv_cell(cell: &str) -> String {
    let armed = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let cell = if armed { format!("'{cell}") } else { cell.to_owned() };
    if cell.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_back_and_nothing_else_does() {
        for number in [0, 1, 31, 32, u128::MAX, 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef] {
            assert_eq!(number_from_text(&number_to_text(number)), Some(number));
        }
        for text in [
            "",
            "0",
            "zzzzzzzzzzzzzzzzzzzzzzzzzz",
            "0000000000000000000000000I",
            "0000000000000000000000000A",
        ] {
            assert_eq!(number_from_text(text), None, "{text}");
        }
    }

    #[test]
    fn base64url_has_one_spelling() {
        assert_eq!(array_from_base64url::<2>("AAE"), Some([0, 1]));
        assert_eq!(array_from_base64url::<2>("AAF"), None, "trailing bits");
        assert_eq!(array_from_base64url::<2>("AAE="), None, "padding");
        assert_eq!(array_from_base64url::<3>("AAE"), None, "length");
        assert_eq!(hex(&[0, 255]), "00ff");
    }

    #[test]
    fn cells_of_comma_separated_values_stay_cells() {
        for (name, cell, expected) in [
            ("plain", "ada", "ada"),
            ("a comma", "Lovelace, Ada", "\"Lovelace, Ada\""),
            ("a quote", "the \"first\"", "\"the \"\"first\"\"\""),
            ("a formula", "=HYPERLINK(1)", "'=HYPERLINK(1)"),
            ("a formula with a comma", "+1,2", "\"'+1,2\""),
        ] {
            assert_eq!(csv_cell(cell), expected, "{name}");
        }
    }
}
