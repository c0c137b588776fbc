//! How answers are printed: JSON for scripts, tables and colour for a terminal, plain text when piped.

use std::io::{self, IsTerminal, Write};

use comfy_table::{Attribute, Cell, ContentArrangement, Table, presets};
use serde::Serialize;

/// Where a command's answer goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    json: bool,
    terminal: bool,
}

impl Output {
    /// Prints JSON if asked for; colour only to a terminal that wants it (<https://no-color.org>).
    pub(super) fn of(json: bool) -> Self {
        let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self {
            json,
            terminal: colour && io::stdout().is_terminal(),
        }
    }

    pub(super) const fn is_json(self) -> bool {
        self.json
    }

    /// Prints `answer` as JSON, or what `human` makes of it.
    pub(super) fn answer<T: Serialize>(self, answer: &T, human: impl FnOnce(&T) -> String) {
        if self.json {
            match serde_json::to_string_pretty(answer) {
                Ok(text) => print(&text),
                Err(error) => complain(&format!("the answer has no JSON form: {error}")),
            }
        } else {
            print(human(answer).trim_end_matches('\n'));
        }
    }

    /// Rows under a head. Long cells wrap in a terminal; piped, every row is one line.
    pub(super) fn table(self, head: &[&str], rows: Vec<Vec<String>>) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        if self.terminal {
            table.set_content_arrangement(ContentArrangement::Dynamic);
            table.set_header(head.iter().map(|word| Cell::new(word).add_attribute(Attribute::Bold)));
        } else {
            table.set_content_arrangement(ContentArrangement::Disabled);
            table.set_header(head.iter().map(Cell::new));
        }
        table.add_rows(rows);
        let text = table.to_string();
        text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
    }

    pub(super) fn good(self, words: &str) -> String {
        self.paint("32", words)
    }

    pub(super) fn bad(self, words: &str) -> String {
        self.paint("1;31", words)
    }

    pub(super) fn strong(self, words: &str) -> String {
        self.paint("1", words)
    }

    fn paint(self, code: &str, words: &str) -> String {
        if self.terminal {
            format!("\x1b[{code}m{words}\x1b[0m")
        } else {
            words.to_owned()
        }
    }
}

/// One line or more to standard output. A reader that went away (`| head`) is no error.
pub(super) fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// One line or more to standard error.
pub(super) fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "portcullis: {text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piped_table_has_one_line_a_row_and_no_colour() {
        let output = Output {
            json: false,
            terminal: false,
        };
        let text = output.table(
            &["NAME", "EMAIL"],
            vec![vec!["ada".into(), "ada@example.org".into()], vec!["bo".into(), String::new()]],
        );
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(lines[1].contains("ada") && lines[1].contains("ada@example.org"), "{text}");
        assert!(!text.contains('\x1b') && !output.bad("no").contains('\x1b'), "{text}");
    }
}
