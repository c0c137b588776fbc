//! `portcullis doctor`: what is wrong with the installation, grouped by what it is about.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::json;

use crate::base::random::Random;
use crate::base::time::Clock;
use crate::server::doctor::{Area, Fault, Reach, Report, Severity, examine};
use crate::server::files::Files;

use super::Outcome;
use super::arguments::DoctorOptions;
use super::output::{Output, complain};

pub(super) fn run(config: &Path, options: &DoctorOptions, output: &Output) -> Outcome {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("the examination cannot be started: {error}"));
            return Outcome::Wrong;
        }
    };
    let reach = if options.offline { Reach::ThisMachine } else { Reach::Network };
    let mut report = runtime.block_on(examine(&Files::at(config), &Clock::System, &Random::System, reach));
    let before = report.faults.len();
    report
        .faults
        .retain(|fault| !options.accept.iter().any(|meant| covers(meant, fault)));
    let accepted = before - report.faults.len();
    let (errors, warnings) = (report.count(Severity::Error), report.count(Severity::Warning));
    let sound = errors == 0 && (warnings == 0 || !options.strict);
    if output.is_json() {
        let answer = json!({
            "sound": sound, "errors": errors, "warnings": warnings, "accepted": accepted,
            "running": report.running, "looked_at": report.looked_at, "left_out": report.left_out, "faults": report.faults,
        });
        output.answer(&answer, ToString::to_string);
    } else {
        output.answer(&(), |()| to_text(&report, accepted, output));
    }
    if sound { Outcome::Sound } else { Outcome::Wrong }
}

/// Whether `CODE` or `CODE:PLACE` means this fault.
fn covers(meant: &str, fault: &Fault) -> bool {
    match meant.split_once(':') {
        Some((code, place)) => code == fault.code && fault.at.starts_with(place),
        None => meant == fault.code,
    }
}

fn to_text(report: &Report, accepted: usize, output: &Output) -> String {
    let mut text = String::new();
    let server = if report.running {
        "a server is running"
    } else {
        "no server is running"
    };
    let _ = writeln!(text, "{server}\n");
    for area in Area::ALL {
        let faults: Vec<&Fault> = report.faults.iter().filter(|fault| fault.area == *area).collect();
        let left_out = report.left_out.iter().find(|left| left.area == *area);
        if !report.looked_at.contains(area) && faults.is_empty() && left_out.is_none() {
            continue;
        }
        let state = match (faults.is_empty(), left_out) {
            (false, _) => String::new(),
            (true, Some(left)) => format!("not looked at: {}", left.why),
            (true, None) => output.good("sound"),
        };
        let _ = writeln!(text, "{}", format!("{:<14}{state}", area.word()).trim_end());
        for fault in faults {
            let severity = match fault.severity {
                Severity::Error => output.bad("error"),
                Severity::Warning => output.strong("warning"),
            };
            let _ = writeln!(text, "  {severity} {}  {}", fault.code, fault.at);
            let _ = writeln!(text, "      {}", fault.what);
            let _ = writeln!(text, "      -> {}", fault.help);
        }
    }
    let (errors, warnings) = (report.count(Severity::Error), report.count(Severity::Warning));
    let plural = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let _ = write!(text, "\n{}, {}", plural(errors, "error"), plural(warnings, "warning"));
    if accepted > 0 {
        let _ = write!(text, ", {accepted} accepted");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_accepted_by_its_code_or_by_code_and_place() {
        let fault = Fault {
            area: Area::Upstreams,
            severity: Severity::Error,
            code: "upstream-believes".to_owned(),
            at: "app.notebook http://10.0.0.7:8080".to_owned(),
            what: String::new(),
            help: String::new(),
        };
        for (meant, expected) in [
            ("upstream-believes", true),
            ("upstream-believes:app.notebook", true),
            ("upstream-believes:app.wiki", false),
            ("upstream", false),
        ] {
            assert_eq!(covers(meant, &fault), expected, "{meant}");
        }
    }
}
