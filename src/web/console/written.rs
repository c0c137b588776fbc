//! What the policy files say, quoted.

use crate::base::sources::PolicyTexts;
use crate::policy::place::Place;

/// The lines of a table as they are written, those of its parts with it; empty for what no file says.
#[must_use]
pub(super) fn quoted(texts: &PolicyTexts, place: &Place, table: &str) -> String {
    let file = texts.files.iter().find(|file| file.name == place.location.file);
    let Some(file) = file.filter(|_| place.is_written()) else {
        return String::new();
    };
    let mut lines = file.text.lines().skip(place.location.line.saturating_sub(1));
    let Some(first) = lines.next() else { return String::new() };
    let is_table = first.trim_start().starts_with('[');
    let mut quoted = vec![first];
    for line in lines {
        let header = line.trim_start().strip_prefix('[').map(|rest| rest.trim_start_matches('['));
        let goes_on = match header {
            Some(name) if is_table => name
                .strip_prefix(table)
                .is_some_and(|rest| rest.starts_with('.') || rest.starts_with(']')),
            Some(_) => false,
            // A key in a line of its own ends with its paragraph.
            None => is_table || !line.trim().is_empty(),
        };
        if !goes_on {
            break;
        }
        quoted.push(line);
    }
    quoted.join("\n").trim_end().to_owned()
}

/// A text as TOML writes it.
#[must_use]
pub(super) fn string(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            letter if letter.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(letter))),
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}
