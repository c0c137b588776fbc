//! What a form sent, and what is wrong with it, told beside each field.

use std::collections::HashSet;

use crate::model::password::Password;

/// The longest a single field may be, in bytes: a directory's password may be that long (CONTRACT section 10).
pub const FIELD_BYTES: usize = 16 * 1024;

/// The longest a whole form may be, in bytes.
pub const FORM_BYTES: usize = 64 * 1024;

/// A box for each permission and a choice for each project stand in one form.
const MOST_FIELDS: usize = 1000;

/// Why a body is no form of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableForm {
    /// More than [`FORM_BYTES`], or a field of more than [`FIELD_BYTES`].
    #[error("the form or one of its fields is too large")]
    TooLarge,
    /// Not UTF-8, a name given twice, or too many names.
    #[error("the form cannot be read in one way only")]
    Malformed,
}

/// Something wrong with what was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The field it belongs to; empty if it is about the form as a whole.
    pub field: &'static str,
    /// The stable code of `ui/README.md`.
    pub code: &'static str,
    /// What to tell the person.
    pub words: String,
}

/// A form as sent, together with what is wrong with it. A fresh page has an empty one.
#[derive(Clone, Debug, Default)]
pub struct Form {
    fields: Vec<(String, String)>,
    problems: Vec<Problem>,
}

impl Form {
    /// Reads `application/x-www-form-urlencoded`.
    ///
    /// # Errors
    /// [`UnreadableForm`] says what to answer: 413 or 400.
    pub fn parse(body: &[u8]) -> Result<Self, UnreadableForm> {
        if body.len() > FORM_BYTES {
            return Err(UnreadableForm::TooLarge);
        }
        let mut fields: Vec<(String, String)> = Vec::new();
        let mut names = HashSet::new();
        for pair in body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair
                .iter()
                .position(|byte| *byte == b'=')
                .and_then(|at| pair.split_at_checked(at))
                .map_or((pair, &[][..]), |(name, rest)| (name, rest.get(1..).unwrap_or_default()));
            let (name, value) = (decode(name)?, decode(value)?);
            if value.len() > FIELD_BYTES || name.len() > FIELD_BYTES {
                return Err(UnreadableForm::TooLarge);
            }
            if fields.len() == MOST_FIELDS || !names.insert(name.clone()) {
                return Err(UnreadableForm::Malformed);
            }
            fields.push((name, value));
        }
        Ok(Self {
            fields,
            problems: Vec::new(),
        })
    }

    /// What was typed into a field; empty if it was not sent.
    #[must_use]
    pub fn value(&self, name: &str) -> &str {
        self.fields.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// What was typed into a field, without blanks around it.
    #[must_use]
    pub fn trimmed(&self, name: &str) -> &str {
        self.value(name).trim()
    }

    /// Whether a field was sent with something in it: a ticked box.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        !self.value(name).is_empty()
    }

    /// The fields whose names begin so: the rest of each name, and what was sent.
    pub fn beginning<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let fields = self.fields.iter();
        fields.filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, value.as_str())))
    }

    /// Takes a password out, so that no page can show it again.
    pub fn take_password(&mut self, name: &str) -> Password {
        let taken = self.fields.iter_mut().find(|(known, _)| known == name);
        Password::new(taken.map(|(_, value)| std::mem::take(value)).unwrap_or_default())
    }

    /// Puts a value into a field that the page shows.
    pub fn set(&mut self, name: &str, value: String) {
        self.fields.retain(|(known, _)| known != name);
        self.fields.push((name.to_owned(), value));
    }

    /// Notes something wrong; it is shown in the summary and at its field.
    pub fn fail(&mut self, field: &'static str, code: &'static str, words: impl Into<String>) {
        self.problems.push(Problem {
            field,
            code,
            words: words.into(),
        });
    }

    /// Whether anything is wrong.
    #[must_use]
    pub fn failed(&self) -> bool {
        !self.problems.is_empty()
    }

    /// All that is wrong, in the order it was found.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// What is wrong with one field; empty if nothing is.
    #[must_use]
    pub fn error(&self, field: &str) -> &str {
        self.problems
            .iter()
            .find(|problem| problem.field == field)
            .map_or("", |problem| &problem.words)
    }
}

/// A name or value: `+` is a blank, `%XX` a byte, and all of it UTF-8.
fn decode(bytes: &[u8]) -> Result<String, UnreadableForm> {
    let blanks: Vec<u8> = bytes.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    percent_encoding::percent_decode(&blanks)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| UnreadableForm::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_in_one_way_or_not_at_all() {
        for (name, body, expected) in [
            ("plain", "a=1&b=2", Ok(("1", "2"))),
            ("blanks and bytes", "a=x+y&b=%C3%A9%2B", Ok(("x y", "é+"))),
            ("no value", "a&b=", Ok(("", ""))),
            ("an equals sign in a value", "a=b=c", Ok(("b=c", ""))),
            ("empty pairs", "&&a=1&", Ok(("1", ""))),
            ("empty", "", Ok(("", ""))),
            ("a name twice", "a=1&a=2", Err(UnreadableForm::Malformed)),
            ("a name twice, spelled differently", "a=1&%61=2", Err(UnreadableForm::Malformed)),
            ("not UTF-8", "a=%ff", Err(UnreadableForm::Malformed)),
        ] {
            let form = Form::parse(body.as_bytes());
            let read = form.as_ref().map(|form| (form.value("a"), form.value("b"))).map_err(|error| *error);
            assert_eq!(read, expected, "{name}");
        }
    }

    #[test]
    fn a_field_has_sixteen_kibibytes_and_no_more() {
        let at_most = format!("a={}", "x".repeat(FIELD_BYTES));
        assert_eq!(Form::parse(at_most.as_bytes()).unwrap().value("a").len(), FIELD_BYTES);
        let more = format!("a={}", "x".repeat(FIELD_BYTES + 1));
        assert_eq!(Form::parse(more.as_bytes()).unwrap_err(), UnreadableForm::TooLarge);
        let whole = format!("a={0}&b={0}&c={0}&d={0}", "x".repeat(FIELD_BYTES));
        assert_eq!(Form::parse(whole.as_bytes()).unwrap_err(), UnreadableForm::TooLarge);
        let many: String = (0..1001).map(|n| format!("f{n}=&")).collect();
        assert_eq!(Form::parse(many.as_bytes()).unwrap_err(), UnreadableForm::Malformed);
    }

    #[test]
    fn a_password_is_taken_out_and_never_shown_again() {
        let mut form = Form::parse(b"password=+x+").unwrap();
        assert_eq!(form.take_password("password").expose(), " x ", "nothing is trimmed");
        assert_eq!(form.value("password"), "");
        assert_eq!(form.take_password("new-password").expose(), "");
    }

    #[test]
    fn problems_stand_in_the_summary_and_at_their_field() {
        let mut form = Form::default();
        assert!(!form.failed());
        form.fail("token", "invalid_characters", "Invalid characters found");
        form.fail("", "csrf", "This page was open too long.");
        assert!(form.failed());
        assert_eq!(form.error("token"), "Invalid characters found");
        assert_eq!(form.error("email"), "");
        assert_eq!(form.problems().len(), 2);
    }
}
