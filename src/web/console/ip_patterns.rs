//! IP patterns: what they cover, who is bound to them, an address tried, and one checked before it is written into a file.

use std::net::IpAddr;

use askama::Template;
use http::StatusCode;

use crate::accounts::Reach;
use crate::model::ip_pattern::{AddressRange, InvalidRange, fold_mapped};
use crate::model::name::IpPatternName;
use crate::policy::definitions::IpPattern;

use super::super::cx::{Cx, Outcome, Stop};
use super::super::form::Form;
use super::super::view::{Frame, Me};
use super::written::string;

const HERE: &str = "/admin/ip-patterns";
/// Ranges of a pattern that the list shows; the file has all of them.
const SHOWN: usize = 6;

/// A pattern.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its title.
    pub title: String,
    /// Its name.
    pub name: String,
    /// File and line.
    pub at: String,
    /// What it covers, merged.
    pub ranges: Vec<String>,
    /// How many ranges there are besides.
    pub more: usize,
    /// Who uses it, in words.
    pub used: String,
}

/// How an address stands to a pattern.
#[derive(Clone, Debug)]
pub struct Tried {
    /// The pattern's title.
    pub title: String,
    /// Whether it contains the address.
    pub inside: bool,
}

/// The page.
#[derive(Template)]
#[template(path = "console/ip-patterns.html")]
pub struct IpPatternsPage {
    /// The outside of the page.
    pub frame: Frame,
    /// Who looks.
    pub me: Me,
    /// Which page of the console this is.
    pub here: &'static str,
    /// What was typed, and what is wrong with it.
    pub form: Form,
    /// The patterns.
    pub rows: Vec<Row>,
    /// The address that was tried.
    pub ip: String,
    /// How it stands to each.
    pub tried: Vec<Tried>,
    /// What to put into a file; empty where nothing was checked.
    pub toml: String,
}

/// GET `/admin/ip-patterns`.
pub async fn show(cx: &mut Cx<'_>) -> Outcome {
    let ip = tried_address(cx);
    let toml = checked(&mut cx.query);
    let rows = rows(cx).await?;
    let tried = ip.map_or_else(Vec::new, |ip| {
        let patterns = &cx.live.policies.definitions().ip_patterns;
        let one = |pattern: &IpPattern| Tried {
            title: pattern.title.clone(),
            inside: pattern.addresses.contains(ip),
        };
        patterns.iter().map(one).collect()
    });
    let page = IpPatternsPage {
        frame: cx.frame(),
        me: cx.me(),
        here: HERE,
        form: cx.query.clone(),
        rows,
        ip: ip.map(|ip| fold_mapped(ip).to_string()).unwrap_or_default(),
        tried,
        toml: toml.unwrap_or_default(),
    };
    if page.form.failed() {
        cx.form = page.form.clone();
        return Ok(cx.not_taken(StatusCode::UNPROCESSABLE_ENTITY, &page));
    }
    Ok(cx.page(&page))
}

fn tried_address(cx: &mut Cx<'_>) -> Option<IpAddr> {
    let text = cx.query.trimmed("ip").to_owned();
    if text.is_empty() {
        return None;
    }
    let read = text.parse().ok();
    if read.is_none() {
        cx.query
            .fail("ip", "invalid_characters", "Enter an address like 203.0.113.7 or 2001:db8::7");
    }
    read
}

/// The TOML of what was typed, if it is a pattern: fields `name`, `title` and `nets`, a range in each line.
pub fn checked(form: &mut Form) -> Option<String> {
    if !form.has("name") && !form.has("nets") {
        return None;
    }
    let name: Option<IpPatternName> = form.trimmed("name").parse().ok();
    if name.is_none() {
        form.fail(
            "name",
            "name",
            "Enter a name of lower-case letters, digits and dashes, like guest-lab",
        );
    }
    let lines: Vec<String> = form.value("nets").lines().map(|line| line.trim().to_owned()).collect();
    let mut include = Vec::new();
    for (number, line) in lines.iter().enumerate().filter(|(_, line)| !line.is_empty()) {
        match AddressRange::parse(line) {
            Ok(_) => include.push(string(line)),
            Err(error) => {
                let (code, told) = match &error {
                    InvalidRange::HostBits { written, meant } => (
                        "cidr_host_bits",
                        format!("{written} has bits after the prefix. Did you mean {meant}?"),
                    ),
                    InvalidRange::Unreadable if line.chars().any(|one| !"0123456789abcdefABCDEF.:/-* ".contains(one)) => {
                        ("invalid_characters", "Invalid characters found".to_owned())
                    }
                    _ => ("invalid_range", error.to_string()),
                };
                form.fail("nets", code, format!("Line {}: {told}", number + 1));
            }
        }
    }
    if include.is_empty() && form.error("nets").is_empty() {
        form.fail("nets", "nets_missing", "Enter at least one address");
    }
    let name = name.filter(|_| !form.failed())?;
    let title = form.trimmed("title");
    let title = if title.is_empty() { name.as_str() } else { title };
    Some(format!(
        "[ip_pattern.{name}]\ntitle = {}\ninclude = [\n  {},\n]",
        string(title),
        include.join(",\n  ")
    ))
}

async fn rows(cx: &Cx<'_>) -> Result<Vec<Row>, Stop> {
    let by = cx.acting()?;
    let held = cx.app.accounts.held(cx.facts.now).await;
    let policies = &cx.live.policies;
    let row = |pattern: &IpPattern| {
        let ranges: Vec<String> = pattern.addresses.ranges().map(|range| in_words(&range)).collect();
        let mut used = match held.with_pattern(&pattern.name, &by) {
            None => vec!["being counted".to_owned()],
            Some(0) => Vec::new(),
            Some(1) => vec!["1 membership".to_owned()],
            Some(count) => vec![format!("{count} memberships")],
        };
        if by.reach != Reach::All {
            return Row {
                used: used.join(", "),
                ..written(pattern, ranges)
            };
        }
        let applications = policies
            .applications()
            .iter()
            .filter(|application| application.ip_pattern.contains(&pattern.name));
        used.extend(applications.map(|application| application.title.clone()));
        let definitions = policies.definitions();
        let teams = definitions.teams.iter().filter(|team| team.ip_pattern.contains(&pattern.name));
        used.extend(teams.map(|team| format!("team {}", team.title)));
        let services = definitions
            .services
            .iter()
            .filter(|service| service.ip_pattern.contains(&pattern.name));
        used.extend(services.map(|service| format!("service {}", service.title)));
        Row {
            used: used.join(", "),
            ..written(pattern, ranges)
        }
    };
    Ok(policies.definitions().ip_patterns.iter().map(row).collect())
}

/// A pattern as the files have it.
fn written(pattern: &IpPattern, ranges: Vec<String>) -> Row {
    Row {
        title: pattern.title.clone(),
        name: pattern.name.to_string(),
        at: pattern.at.line(),
        more: ranges.len().saturating_sub(SHOWN),
        ranges: ranges.into_iter().take(SHOWN).collect(),
        used: String::new(),
    }
}

/// A range as a network where it is one, else from its first to its last address.
fn in_words(range: &AddressRange) -> String {
    let (first, last, network) = match range {
        AddressRange::V4(range) => {
            let (first, last) = (*range.start(), *range.end());
            let span = first ^ last;
            let whole = span & span.wrapping_add(1) == 0 && first & span == 0;
            let length = span.leading_zeros();
            (
                IpAddr::V4(first.into()),
                IpAddr::V4(last.into()),
                whole.then_some(length).filter(|length| *length < 32),
            )
        }
        AddressRange::V6(range) => {
            let (first, last) = (*range.start(), *range.end());
            let span = first ^ last;
            let whole = span & span.wrapping_add(1) == 0 && first & span == 0;
            let length = span.leading_zeros();
            (
                IpAddr::V6(first.into()),
                IpAddr::V6(last.into()),
                whole.then_some(length).filter(|length| *length < 128),
            )
        }
    };
    match network {
        Some(length) => format!("{first}/{length}"),
        None if first == last => first.to_string(),
        None => format!("{first} – {last}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_shown_as_it_would_be_written() {
        for (written, expected) in [
            ("203.0.113.64/26", "203.0.113.64/26"),
            ("192.0.2.16-192.0.2.47", "192.0.2.16 – 192.0.2.47"),
            ("10.1.2.3", "10.1.2.3"),
            ("10.1.*.*", "10.1.0.0/16"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:db8:10::/48", "2001:db8:10::/48"),
        ] {
            assert_eq!(in_words(&AddressRange::parse(written).unwrap()), expected);
        }
    }

    #[test]
    fn what_was_typed_becomes_toml_or_is_told_line_by_line() {
        let mut good = Form::parse(b"name=guest-lab&title=Guest+%22lab%22&nets=198.51.100.200/29%0A%0A10.0.0.7").unwrap();
        assert_eq!(
            checked(&mut good).unwrap(),
            "[ip_pattern.guest-lab]\ntitle = \"Guest \\\"lab\\\"\"\ninclude = [\n  \"198.51.100.200/29\",\n  \"10.0.0.7\",\n]"
        );
        let mut wrong = Form::parse(b"name=x+y&nets=198.51.100.200/29%0A198.51.1O0.7%0A203.0.113.7/26").unwrap();
        assert_eq!(checked(&mut wrong), None);
        let told: Vec<&str> = wrong.problems().iter().map(|one| one.words.as_str()).collect();
        assert_eq!(
            told[1..],
            [
                "Line 2: Invalid characters found",
                "Line 3: 203.0.113.7/26 has bits after the prefix. Did you mean 203.0.113.0/26?"
            ]
        );
        assert_eq!(checked(&mut Form::default()), None);
    }
}
