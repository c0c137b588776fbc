//! Comma-separated values as people and spreadsheets write them (RFC 4180), read to the letter, with the line each record begins on.

/// A record: the line it begins on, from 1, and its cells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// From 1.
    pub number: usize,
    /// What stands between the separators.
    pub cells: Vec<String>,
}

/// Why a text cannot be read as comma-separated values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// A quoted cell that does not end.
    #[error("line {0}: a quoted cell does not end")]
    Open(usize),
    /// Something behind the end of a quoted cell, or a quote within one that is not quoted.
    #[error("line {0}: a quote stands where none may")]
    Quote(usize),
}

/// Reads records; empty lines are left out. The separator is the comma, or the semicolon where the first line has one and no comma, as
/// spreadsheets of many countries write it. An apostrophe that keeps a cell from being a formula is taken off.
///
/// # Errors
/// [`Unreadable`] names the line.
pub fn read(text: &str) -> Result<Vec<Line>, Unreadable> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let first = text.lines().next().unwrap_or("");
    let separator = if first.contains(';') && !first.contains(',') { ';' } else { ',' };
    let mut lines = Vec::new();
    let mut letters = text.chars().peekable();
    let mut number = 1;
    while letters.peek().is_some() {
        let begun = number;
        let mut cells = Vec::new();
        loop {
            let mut cell = String::new();
            if letters.next_if_eq(&'"').is_some() {
                let opened = number;
                loop {
                    match letters.next() {
                        Some('"') if letters.next_if_eq(&'"').is_some() => cell.push('"'),
                        Some('"') => break,
                        Some(letter) => {
                            number += usize::from(letter == '\n');
                            cell.push(letter);
                        }
                        None => return Err(Unreadable::Open(opened)),
                    }
                }
                if letters
                    .peek()
                    .is_some_and(|next| *next != separator && *next != '\r' && *next != '\n')
                {
                    return Err(Unreadable::Quote(number));
                }
            } else {
                while let Some(letter) = letters.next_if(|next| *next != separator && *next != '\r' && *next != '\n') {
                    if letter == '"' {
                        return Err(Unreadable::Quote(number));
                    }
                    cell.push(letter);
                }
            }
            cells.push(disarmed(&cell).to_owned());
            if letters.next_if_eq(&separator).is_none() {
                break;
            }
        }
        letters.next_if_eq(&'\r');
        letters.next_if_eq(&'\n');
        number += 1;
        if cells.iter().any(|cell| !cell.is_empty()) {
            lines.push(Line { number: begun, cells });
        }
    }
    Ok(lines)
}

/// The cell that [`super::encoding::csv_cell`] armed against formulas, as it was.
fn disarmed(cell: &str) -> &str {
    match cell.strip_prefix('\'') {
        Some(rest) if rest.starts_with(['=', '+', '-', '@', '\t', '\r']) => rest,
        _ => cell.trim(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::encoding::csv_cell;

    fn cells(text: &str) -> Vec<(usize, Vec<String>)> {
        read(text).unwrap().into_iter().map(|line| (line.number, line.cells)).collect()
    }

    #[test]
    fn records_are_read_with_the_line_they_begin_on() {
        let owned = |cells: &[&str]| cells.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            cells("\u{feff}a,b\r\n\r\n\"x\ny\",\"say \"\"hi\"\"\"\r\n1, 2 "),
            [
                (1, owned(&["a", "b"])),
                (3, owned(&["x\ny", "say \"hi\""])),
                (5, owned(&["1", "2"]))
            ]
        );
        assert_eq!(cells("a;b\n1;2,5\n"), [(1, owned(&["a", "b"])), (2, owned(&["1", "2,5"]))]);
        assert_eq!(cells(""), []);
        assert_eq!(cells(",,\n"), []);
    }

    #[test]
    fn what_cannot_be_read_in_one_way_is_told_with_its_line() {
        assert_eq!(read("a,b\n\"open,c\n"), Err(Unreadable::Open(2)));
        assert_eq!(read("a,b\nx\"y,c\n"), Err(Unreadable::Quote(2)));
        assert_eq!(read("a,b\n\"x\"y,c\n"), Err(Unreadable::Quote(2)));
    }

    #[test]
    fn what_was_written_reads_back() {
        for cell in ["ada", "=HYPERLINK(1)", "a,b", "a \"b\"", "x\r\ny", "-1", "'tis"] {
            assert_eq!(cells(&format!("{},end", csv_cell(cell)))[0].1[0], cell, "{cell}");
        }
    }
}
