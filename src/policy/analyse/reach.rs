//! Which rules can be reached: `W220` never, `W221` public over protected, `W222` ties, `W223` methods left out.

use std::cmp::Ordering;

use http::Method;

use crate::base::diagnostic::Diagnostic;

use super::super::application::{Application, Effect, PlacedPattern, Rule, names_method};
use super::super::definitions::Definitions;
use super::super::pattern::PathPattern;
use super::finding;
use super::paths::{covers, find, shared};

pub(super) fn analyse(definitions: &Definitions, found: &mut Vec<Diagnostic>) {
    for app in &definitions.applications {
        let patterns = Patterns::of(app, definitions);
        patterns.never_matched(found);
        patterns.public_over_protected(found);
        patterns.ties(found);
        patterns.methods_left_out(found);
    }
}

/// The patterns of one application as they are matched, each with its rule.
struct Patterns<'a> {
    app: &'a Application,
    all: Vec<Pattern<'a>>,
    /// Paths that are another's on every host of this application.
    taken: Vec<PathPattern>,
    /// Where the application lies.
    home: Option<PathPattern>,
}

struct Pattern<'a> {
    pattern: PathPattern,
    placed: &'a PlacedPattern,
    rule: &'a Rule,
    number: usize,
}

fn below(path: &str) -> Option<PathPattern> {
    format!("{}/**", path.trim_end_matches('/')).parse().ok()
}

impl<'a> Patterns<'a> {
    fn of(app: &'a Application, definitions: &Definitions) -> Self {
        let fold = |pattern: &PathPattern| {
            if app.case_insensitive {
                pattern.to_lowercase()
            } else {
                pattern.clone()
            }
        };
        let all = app
            .rules
            .iter()
            .enumerate()
            .flat_map(|(number, rule)| {
                rule.paths.iter().map(move |placed| Pattern {
                    pattern: fold(&placed.pattern),
                    placed,
                    rule,
                    number,
                })
            })
            .collect();
        let deeper = definitions
            .applications
            .iter()
            .filter(|other| other.name != app.name && other.path.len() > app.path.len())
            .filter(|other| app.hosts.iter().all(|host| other.hosts.contains(host)))
            .filter_map(|other| below(&other.path));
        Self {
            app,
            all,
            taken: deeper.chain(below("/.portcullis")).collect(),
            home: below(&app.path),
        }
    }

    /// Patterns of other rules that win over this one wherever both match, and what is not this application's at all.
    fn above<'s>(&'s self, pattern: &PathPattern, except: &[usize]) -> Vec<&'s PathPattern> {
        self.all
            .iter()
            .filter(|other| !except.contains(&other.number) && other.pattern.specificity(pattern) == Ordering::Greater)
            .map(|other| &other.pattern)
            .chain(&self.taken)
            .collect()
    }

    fn never_matched(&self, found: &mut Vec<Diagnostic>) {
        let Some(home) = &self.home else { return };
        for (number, rule) in self.app.rules.iter().enumerate() {
            let own: Vec<&Pattern<'_>> = self.all.iter().filter(|pattern| pattern.number == number).collect();
            let lives = |pattern: &Pattern<'_>| {
                let mut overruled = self.above(&pattern.pattern, &[number]);
                overruled.extend(
                    self.all
                        .iter()
                        .filter(|other| overrules(other, pattern))
                        .map(|other| &other.pattern),
                );
                find(&[&pattern.pattern, home], &overruled).is_some()
            };
            if own.iter().any(|pattern| lives(pattern)) {
                continue;
            }
            let mut problem = finding("W220", format!("rule \"{}\" of `{}` can never match", rule.name, self.app.name));
            if let Some(first) = own.first() {
                problem = problem.at(first.placed.at.span());
                if shared(&first.pattern, home).is_none() {
                    problem = problem.label(format!("the application lies below {}", self.app.path));
                } else {
                    let covering = self
                        .all
                        .iter()
                        .filter(|other| other.number != number && other.pattern.specificity(&first.pattern) != Ordering::Less)
                        .find(|other| shared(&other.pattern, &first.pattern).is_some());
                    problem = problem.label("what it names is decided elsewhere");
                    if let Some(covering) = covering {
                        problem = problem.also(covering.placed.at.span(), format!("\"{}\" decides there", covering.placed.pattern));
                    }
                }
            }
            found.push(problem.help("take the rule away, or name paths that no other rule has"));
        }
    }

    fn public_over_protected(&self, found: &mut Vec<Diagnostic>) {
        for public in self.all.iter().filter(|pattern| pattern.rule.access == Effect::Public) {
            for protected in self.all.iter().filter(|pattern| pattern.rule.access != Effect::Public) {
                let Some(path) = shared(&public.pattern, &protected.pattern) else {
                    continue;
                };
                if covers(&protected.pattern, &public.pattern) {
                    continue;
                }
                let wins = match public.pattern.specificity(&protected.pattern) {
                    Ordering::Greater => "wins",
                    Ordering::Equal => "ties",
                    Ordering::Less => "loses",
                };
                found.push(
                    finding("W221", "a public path overlaps a protected one")
                        .at(public.placed.at.span())
                        .label(format!(
                            "{wins} for {path}, which \"{}\" means to protect",
                            protected.placed.pattern
                        ))
                        .also(protected.placed.at.span(), "the protected pattern")
                        .help("make the public pattern lie inside the protected one or beside it"),
                );
            }
        }
    }

    fn ties(&self, found: &mut Vec<Diagnostic>) {
        for (at, one) in self.all.iter().enumerate() {
            for two in self.all.iter().skip(at + 1) {
                if one.number == two.number || one.pattern.specificity(&two.pattern) != Ordering::Equal {
                    continue;
                }
                // Of rules with one and the same pattern, one that names the method beats one that names none.
                if one.pattern == two.pattern && !same_method(one.rule, two.rule) {
                    continue;
                }
                let Some(path) = find(&[&one.pattern, &two.pattern], &self.above(&one.pattern, &[one.number, two.number])) else {
                    continue;
                };
                found.push(
                    finding(
                        "W222",
                        format!("two patterns of `{}` tie on {path}: both rules are required there", self.app.name),
                    )
                    .at(one.placed.at.span())
                    .also(two.placed.at.span(), "the other one")
                    .help("make one of them more specific, or write one rule"),
                );
            }
        }
    }

    fn methods_left_out(&self, found: &mut Vec<Diagnostic>) {
        for one in &self.all {
            let beside: Vec<&Rule> = self
                .all
                .iter()
                .filter(|other| other.pattern == one.pattern)
                .map(|other| other.rule)
                .collect();
            if one.rule.access == Effect::Deny || beside.iter().any(|rule| rule.methods.is_empty()) {
                continue;
            }
            // Told once for a pattern that several rules share.
            if self
                .all
                .iter()
                .find(|other| other.pattern == one.pattern)
                .is_some_and(|first| first.number != one.number)
            {
                continue;
            }
            let listed: Vec<Method> = beside.iter().flat_map(|rule| rule.methods.iter().cloned()).collect();
            let wider = self.all.iter().find(|other| {
                other.rule.access != Effect::Deny
                    && other.pattern.specificity(&one.pattern) == Ordering::Less
                    && (other.rule.methods.is_empty() || other.rule.methods.iter().any(|method| !names_method(&listed, method)))
                    && find(&[&one.pattern, &other.pattern], &self.above(&one.pattern, &[one.number])).is_some()
            });
            let Some(wider) = wider else { continue };
            let methods: Vec<&str> = listed.iter().map(Method::as_str).collect();
            found.push(
                finding(
                    "W223",
                    format!(
                        "\"{}\" lists {}: other methods are denied there",
                        one.placed.pattern,
                        methods.join(" ")
                    ),
                )
                .at(one.placed.at.span())
                .also(wider.placed.at.span(), format!("\"{}\" would allow them", wider.placed.pattern))
                .help("say what the other methods need in a second rule of the same path"),
            );
        }
    }
}

/// Whether a rule that ties is stricter for every method, so that the other never has a say where both match.
fn overrules(other: &Pattern<'_>, one: &Pattern<'_>) -> bool {
    let every_method = if other.rule.methods.is_empty() {
        // Of one and the same pattern the rule that names the method is taken alone.
        one.rule.methods.is_empty() || other.pattern != one.pattern
    } else {
        !one.rule.methods.is_empty() && one.rule.methods.iter().all(|method| names_method(&other.rule.methods, method))
    };
    other.number != one.number
        && every_method
        && other.rule.access < one.rule.access
        && other.pattern.specificity(&one.pattern) == Ordering::Equal
}

/// Whether some method picks both rules of one pattern.
fn same_method(one: &Rule, two: &Rule) -> bool {
    match (one.methods.is_empty(), two.methods.is_empty()) {
        (true, true) => true,
        (false, false) => {
            one.methods.iter().any(|method| two.names_method(method)) || two.methods.iter().any(|method| one.names_method(method))
        }
        _ => false,
    }
}
