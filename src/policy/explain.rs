//! The same walk, told step by step: what was looked at, where it is written, and what would allow it.

use std::fmt::{self, Write};

use serde::Serialize;

use crate::model::principal::Principal;

use super::decide::{Record, walk};
use super::decision::{Decision, Verdict};
use super::facts::RequestFacts;
use super::set::PolicySet;
use super::subject::Memo;

mod hints;
mod step;

pub use hints::titles_of;
pub(super) use step::Step;

use hints::to_allow;

/// One thing that was asked of the person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Such as `app.require.assigned`.
    pub what: String,
    /// Whether it held.
    pub ok: bool,
    /// What would have been enough, in names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub need: Vec<String>,
}

/// One line of an explanation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Which step: `path`, `address`, `app`, `rule`, `guards`, `session`, `facts`, `require`, …
    pub step: &'static str,
    /// What was found.
    pub found: String,
    /// Where it is written, file and line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// What else is worth knowing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A decision with its steps, for people ([`fmt::Display`]) and for scripts (serde).
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// The word of the verdict.
    pub decision: &'static str,
    /// The code of the reason.
    pub reason: &'static str,
    /// Which state of the policies decided.
    pub generation: String,
    /// The application, if one is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// The rules that spoke, as `name at file:line:column`.
    pub rules: Vec<Spoken>,
    /// The steps in their order.
    pub steps: Vec<Line>,
    /// What was asked of the person.
    pub checks: Vec<Check>,
    /// What would have to change for a yes; empty if it is one. Callers that know the store may add who could change it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub to_allow: Vec<String>,
}

/// A rule that spoke.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Spoken {
    /// Its name.
    pub name: String,
    /// `file:line:column`
    pub at: String,
}

/// Decides one request and tells how.
#[must_use]
pub fn explain(policies: &PolicySet, principal: &Principal, facts: &RequestFacts) -> Explanation {
    let mut listener = Listener::default();
    let decision = walk(policies, principal, facts, &Memo::new(), &mut listener);
    let steps = listener.steps_of(&decision);
    let mut lines = vec![path_line(facts), address_line(facts)];
    lines.extend(guards_folded(steps.iter().map(Step::line)));
    let checks = steps.into_iter().flat_map(Step::into_checks).collect();
    Explanation {
        decision: decision.verdict.word(),
        reason: decision.reason.code(),
        generation: policies.generation().short(),
        app: decision.application.map(|application| application.name.to_string()),
        rules: decision
            .rules
            .iter()
            .map(|rule| Spoken {
                name: rule.name.to_string(),
                at: rule.at.to_string(),
            })
            .collect(),
        steps: lines,
        checks,
        to_allow: to_allow(policies, principal, facts, &decision),
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answer = format!("{} {}", self.decision.to_uppercase(), self.reason);
        writeln!(f, "{answer:<68} generation {}", self.generation)?;
        for (number, line) in self.steps.iter().enumerate() {
            let mut text = format!("{:>3} {:<9} ", number + 1, line.step);
            match &line.at {
                Some(at) => {
                    let _ = write!(text, "{:<42} {at}", line.found);
                }
                None => text.push_str(&line.found),
            }
            if let Some(note) = &line.note {
                let _ = write!(text, "   ({note})");
            }
            writeln!(f, "{}", text.trim_end())?;
        }
        for (number, hint) in self.to_allow.iter().enumerate() {
            writeln!(f, "  {:<9} {hint}", if number == 0 { "to allow:" } else { "" })?;
        }
        Ok(())
    }
}

/// The steps of one reading, and how it was decided.
type Told<'p> = (Vec<Step<'p>>, Option<(Verdict, &'static str)>);

/// Keeps the steps of each reading.
#[derive(Default)]
struct Listener<'p> {
    readings: Vec<Told<'p>>,
}

impl<'p> Listener<'p> {
    /// The steps of the reading whose answer counted.
    fn steps_of(self, decision: &Decision<'_>) -> Vec<Step<'p>> {
        let counted = Some((decision.verdict, decision.reason.code()));
        self.readings
            .into_iter()
            .find(|(_, outcome)| *outcome == counted)
            .map_or_else(Vec::new, |(steps, _)| steps)
    }
}

impl<'p> Record<'p> for Listener<'p> {
    fn next_reading(&mut self) {
        self.readings.push((Vec::new(), None));
    }

    fn step(&mut self, make: impl FnOnce() -> Step<'p>) {
        if let Some((steps, _)) = self.readings.last_mut() {
            steps.push(make());
        }
    }

    fn maybe(&mut self, make: impl FnOnce() -> Option<Step<'p>>) {
        if let Some((steps, _)) = self.readings.last_mut() {
            steps.extend(make());
        }
    }

    fn decided(&mut self, decision: &Decision<'p>) {
        if let Some((_, outcome)) = self.readings.last_mut() {
            *outcome = Some((decision.verdict, decision.reason.code()));
        }
    }
}

/// Guards that were not hit are counted, not listed: a hundred of them hide the one line that matters.
fn guards_folded(lines: impl Iterator<Item = Line>) -> Vec<Line> {
    let mut out: Vec<Line> = Vec::new();
    let mut looked_at = 0;
    for line in lines {
        if line.step != "guards" {
            out.push(line);
            continue;
        }
        looked_at += 1;
        let hit = line.found.ends_with("HIT");
        let summary = Line {
            step: "guards",
            found: format!("{looked_at} looked at, 0 hit"),
            at: None,
            note: None,
        };
        match out.iter_mut().find(|known| known.step == "guards") {
            Some(known) if hit => *known = line,
            Some(known) => *known = summary,
            None => out.push(if hit { line } else { summary }),
        }
    }
    out
}

fn path_line(facts: &RequestFacts) -> Line {
    let readings: Vec<String> = facts.path.readings().map(|reading| reading.to_string()).collect();
    let found = match (facts.path.flaw(), readings.as_slice()) {
        (Some(flaw), _) => format!("{}: {flaw}", facts.path.original()),
        (None, [one]) => format!("{one}, one reading"),
        (None, several) => format!("{}, {} readings: {}", facts.path.original(), several.len(), several.join("  ")),
    };
    Line {
        step: "path",
        found,
        at: None,
        note: None,
    }
}

fn address_line(facts: &RequestFacts) -> Line {
    Line {
        step: "address",
        found: facts
            .client_ip
            .map_or_else(|| "unknown: in no pattern".to_owned(), |ip| ip.to_string()),
        at: None,
        note: None,
    }
}

#[cfg(test)]
mod tests;
