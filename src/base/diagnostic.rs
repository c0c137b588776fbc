//! What is wrong with a file, where, and how to put it right.

use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write;
use std::ops::Range;
use std::sync::Arc;

use serde::Serialize;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Worth knowing.
    Info,
    /// Probably not what was meant; refused under `--strict`.
    Warning,
    /// The files are not used.
    Error,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// A stretch of a file, in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// Name of the file, as people should see it: `policies/roles.toml`.
    pub file: Arc<str>,
    /// First byte and the one after the last.
    pub bytes: Range<usize>,
}

/// A place as people name it. Lines and columns count from 1; columns count characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Location {
    /// Name of the file.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How much it matters.
    pub level: Level,
    /// Stable code, such as `E111` or `W221`.
    pub code: &'static str,
    /// What is wrong: small first letter, no full stop.
    pub message: String,
    /// Where, if it has a place.
    pub at: Option<Span>,
    /// What stands beside the caret.
    pub label: String,
    /// Other places that belong to it, each with what it is.
    pub also: Vec<(Span, String)>,
    /// How to put it right.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error: the files are not used.
    #[must_use]
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Level::Error, code, message)
    }

    /// A warning.
    #[must_use]
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Level::Warning, code, message)
    }

    /// A finding of that level.
    #[must_use]
    pub fn new(level: Level, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            level,
            code,
            message: message.into(),
            at: None,
            label: String::new(),
            also: Vec::new(),
            help: None,
        }
    }

    /// Says where.
    #[must_use]
    pub fn at(mut self, span: Span) -> Self {
        self.at = Some(span);
        self
    }

    /// Says what stands beside the caret.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Adds another place that belongs to it.
    #[must_use]
    pub fn also(mut self, span: Span, what: impl Into<String>) -> Self {
        self.also.push((span, what.into()));
        self
    }

    /// Says how to put it right.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The finding as people read it on a terminal, with the line and a caret below it.
    #[must_use]
    pub fn render(&self, texts: &Texts) -> String {
        let mut out = format!("{}[{}]: {}\n", self.level, self.code, self.message);
        if let Some(span) = &self.at {
            render_place(&mut out, texts, span, &self.label);
        }
        for (span, what) in &self.also {
            let _ = writeln!(out, "   = {what}: {}", texts.locate(span));
        }
        if let Some(help) = &self.help {
            let _ = writeln!(out, "   = help: {help}");
        }
        out
    }

    /// The finding on one line, for logs: `policies/roles.toml:4:7: error[E111]: unknown role …`.
    #[must_use]
    pub fn one_line(&self, texts: &Texts) -> String {
        let place = self
            .at
            .as_ref()
            .map_or_else(String::new, |span| format!("{}: ", texts.locate(span)));
        let label = if self.label.is_empty() {
            String::new()
        } else {
            format!(" ({})", self.label)
        };
        let help = self.help.as_ref().map_or_else(String::new, |help| format!("; {help}"));
        format!("{place}{}[{}]: {}{label}{help}", self.level, self.code, self.message)
    }
}

fn render_place(out: &mut String, texts: &Texts, span: &Span, label: &str) {
    let location = texts.locate(span);
    let gutter = location.line.to_string().len().max(2);
    let _ = writeln!(out, "{:gutter$}--> {location}", "");
    let Some(line) = texts.line(&span.file, location.line) else {
        return;
    };
    // Tabs become one space so that the caret stands below what it means.
    let shown: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let rest = shown.chars().count().saturating_sub(location.column - 1);
    let written = texts
        .slice(span)
        .map_or(1, |text| text.lines().next().unwrap_or("").chars().count());
    let carets = written.clamp(1, rest.max(1));
    let _ = writeln!(out, "{:gutter$} |", "");
    let _ = writeln!(out, "{:>gutter$} | {shown}", location.line);
    let _ = writeln!(
        out,
        "{:gutter$} | {:indent$}{} {label}",
        "",
        "",
        "^".repeat(carets),
        indent = location.column - 1
    );
    while out.ends_with(" \n") {
        out.truncate(out.len() - 2);
        out.push('\n');
    }
}

/// The texts that findings point into, by file name.
#[derive(Clone, Debug, Default)]
pub struct Texts(BTreeMap<Arc<str>, Text>);

/// A text, and where its lines begin: finding the place of each of many rules takes no walk from the top.
#[derive(Clone, Debug)]
struct Text {
    text: Arc<str>,
    /// The byte that each line begins at, in order; the first is 0.
    lines: Arc<[usize]>,
}

impl Text {
    fn of(text: Arc<str>) -> Self {
        let after_ends = text.match_indices('\n').map(|(end, _)| end + 1);
        let lines = std::iter::once(0).chain(after_ends).collect();
        Self { text, lines }
    }

    /// The text from a line on, counted from 0.
    fn rest_of(&self, number: usize) -> Option<&str> {
        self.text.get(*self.lines.get(number)?..)
    }
}

impl Texts {
    /// Adds a file.
    pub fn add(&mut self, file: impl Into<Arc<str>>, text: impl Into<Arc<str>>) {
        self.0.insert(file.into(), Text::of(text.into()));
    }

    /// The text of a file.
    #[must_use]
    pub fn text(&self, file: &str) -> Option<&str> {
        self.0.get(file).map(|text| text.text.as_ref())
    }

    /// What stands at a span.
    #[must_use]
    pub fn slice(&self, span: &Span) -> Option<&str> {
        self.text(&span.file)?.get(span.bytes.clone())
    }

    /// A line of a file, counted from 1, without its end.
    #[must_use]
    pub fn line(&self, file: &str, number: usize) -> Option<&str> {
        let rest = self.0.get(file)?.rest_of(number.checked_sub(1)?)?;
        rest.split('\n').next().map(|line| line.trim_end_matches('\r'))
    }

    /// Line and column of the start of a span; line 1, column 1 where the text is not known.
    #[must_use]
    pub fn locate(&self, span: &Span) -> Location {
        let found = self.0.get(&span.file).and_then(|text| {
            let line = text.lines.partition_point(|start| *start <= span.bytes.start);
            let start = *text.lines.get(line.checked_sub(1)?)?;
            let before = text.text.get(start..span.bytes.start)?;
            Some((line, before.chars().count() + 1))
        });
        let (line, column) = found.unwrap_or((1, 1));
        Location {
            file: Arc::clone(&span.file),
            line,
            column,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts() -> Texts {
        let mut texts = Texts::default();
        texts.add("policies/lab.toml", "a = 1\nrequire = { roles = [\"läb\", \"lab-admn\"] }\n");
        texts
    }

    fn span_of(texts: &Texts, what: &str) -> Span {
        let start = texts.text("policies/lab.toml").unwrap().find(what).unwrap();
        Span {
            file: "policies/lab.toml".into(),
            bytes: start..start + what.len(),
        }
    }

    #[test]
    fn a_finding_shows_its_line_and_points_below_what_it_means() {
        let texts = texts();
        let finding = Diagnostic::error("E111", "unknown role \"lab-admn\"")
            .at(span_of(&texts, "\"lab-admn\""))
            .label("did you mean \"lab-admin\"?")
            .help("roles are defined by [role.NAME]");
        let expected = "error[E111]: unknown role \"lab-admn\"\n  --> policies/lab.toml:2:31\n   |\n 2 | require = { roles = [\"läb\", \"lab-admn\"] }\n   |                              ^^^^^^^^^^ did you mean \"lab-admin\"?\n   = help: roles are defined by [role.NAME]\n";
        let rendered = finding.render(&texts);
        let caret = rendered.lines().find(|line| line.contains('^')).unwrap().find('^').unwrap();
        let target = rendered.lines().find(|line| line.contains("require")).unwrap();
        let under = target.char_indices().nth(caret).unwrap().0;
        assert!(target[under..].starts_with("\"lab-admn\""), "{rendered}");
        assert_eq!(rendered.lines().count(), expected.lines().count());
        assert!(finding.one_line(&texts).starts_with("policies/lab.toml:2:"));
    }

    #[test]
    fn a_span_beyond_its_text_still_renders() {
        let finding = Diagnostic::warning("W220", "x").at(Span {
            file: "policies/lab.toml".into(),
            bytes: 9_000..9_001,
        });
        assert!(finding.render(&texts()).contains("policies/lab.toml:1:1"));
        let gone = Diagnostic::warning("W220", "x").at(Span {
            file: "gone.toml".into(),
            bytes: 0..1,
        });
        assert!(gone.render(&texts()).contains("gone.toml"));
    }
}
