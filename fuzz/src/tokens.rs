//! Tokens as people type them: one reading however they are spelled, and no slip passes.
//!
//! Input: a digit for the style (4 to 9 digits, anything else the code with its check symbol), then what was typed.

use portcullis::base::encoding::{CROCKFORD, base64url, from_base64url, number_from_text, number_to_text};
use portcullis::base::random::Random;
use portcullis::model::session::SessionValue;
use portcullis::model::token::{InvalidToken, TokenStyle, TokenText};

/// Reads what was typed, and what it becomes with a slip in it.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    other_texts_read_back(text);
    let mut chars = text.chars();
    let style = match chars.next() {
        Some(digit @ '4'..='9') => TokenStyle::Digits(digit.to_digit(10).and_then(|digit| u8::try_from(digit).ok()).unwrap_or(4)),
        Some(_) => TokenStyle::Code,
        None => return,
    };
    let typed = chars.as_str();
    match TokenText::parse(typed, style) {
        Ok(token) => is_read_the_same_however_spelled(&token, typed, style),
        Err(InvalidToken::CheckSymbol) => assert_eq!(style, TokenStyle::Code),
        Err(InvalidToken::Length(length)) => assert_eq!(length, style.length()),
        Err(InvalidToken::Characters) => {
            assert!(typed.chars().any(|c| !c.is_ascii_digit()), "digits are in every style: {typed:?}");
        }
    }
    let seed = data.iter().take(8).fold(0, |seed: u64, byte| seed << 8 | u64::from(*byte));
    let made = TokenText::generate(style, &Random::seeded(seed));
    assert_eq!(
        read(&made.to_shown(), style).as_deref(),
        Ok(made.expose()),
        "what is shown can be typed"
    );
}

fn read(typed: &str, style: TokenStyle) -> Result<String, InvalidToken> {
    TokenText::parse(typed, style).map(|token| token.expose().to_owned())
}

fn is_read_the_same_however_spelled(token: &TokenText, typed: &str, style: TokenStyle) {
    let text = token.expose();
    let allowed: &[u8] = if style == TokenStyle::Code { CROCKFORD } else { b"0123456789" };
    assert_eq!(text.len(), style.length(), "{typed:?}");
    assert!(text.bytes().all(|byte| allowed.contains(&byte)), "{typed:?}");
    for spelling in [
        text.to_owned(),
        token.to_shown(),
        text.to_lowercase(),
        text.replace('0', "O"),
        text.replace('1', "l"),
        format!(" {text}\u{2011}"),
    ] {
        assert_eq!(read(&spelling, style).as_deref(), Ok(text), "{spelling:?}");
    }
    if style != TokenStyle::Code {
        return;
    }
    let symbols: Vec<char> = text.chars().collect();
    for at in 0..symbols.len() {
        for wrong in CROCKFORD.iter().map(|byte| char::from(*byte)).filter(|wrong| *wrong != symbols[at]) {
            let mut slip = symbols.clone();
            slip[at] = wrong;
            assert_eq!(
                read(&slip.iter().collect::<String>(), style),
                Err(InvalidToken::CheckSymbol),
                "{slip:?}"
            );
        }
        for other in (0..at).filter(|other| symbols[*other] != symbols[at]) {
            let mut slip = symbols.clone();
            slip.swap(at, other);
            assert_eq!(
                read(&slip.iter().collect::<String>(), style),
                Err(InvalidToken::CheckSymbol),
                "{slip:?}"
            );
        }
    }
}

/// Secrets in cookies and addresses, and identifiers, have one spelling each.
fn other_texts_read_back(text: &str) {
    if let Some(bytes) = from_base64url(text) {
        assert_eq!(base64url(&bytes), text);
    }
    if let Some(value) = SessionValue::parse(text) {
        assert_eq!(value.to_cookie_text(), text);
    }
    if let Some(number) = number_from_text(text) {
        assert_eq!(number_to_text(number), text);
    }
}
