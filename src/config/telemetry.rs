//! The table of traces for OpenTelemetry.

use http::Uri;

use crate::base::diagnostic::Diagnostic;
use crate::base::grammar::Flaw;
use crate::base::reader::Reader;
use crate::model::name::is_unprintable;

use super::parse::Parser;
use super::settings::Traces;

/// Where a collector takes traces if its address says no more (OTLP specification, "OTLP/HTTP Request").
const PATH: &str = "/v1/traces";

impl Parser<'_> {
    pub(super) fn traces(&mut self, top: &mut Reader<'_>) -> Option<Traces> {
        let mut telemetry = top.table("telemetry")?;
        let table = telemetry.table("traces");
        telemetry.finish();
        let mut traces = table?;
        if !cfg!(feature = "otel") {
            self.problems.push(
                Diagnostic::error("E127", "this portcullis was built without traces")
                    .at(traces.place().clone())
                    .help("build it with `cargo build --release --features otel`, or remove `telemetry.traces`"),
            );
        }
        traces.need("otlp", "a collector's address, such as \"http://127.0.0.1:4318\"");
        let otlp = traces.parsed("otlp", collector);
        let sampling = traces.share("sampling");
        let service_name = traces.parsed("service_name", service_name);
        let ca = traces.text("ca_file");
        traces.finish();
        Some(Traces {
            otlp: otlp?.value,
            sampling: sampling.map_or(1.0, |share| share.value),
            service_name: service_name.map_or_else(|| "portcullis".to_owned(), |name| name.value),
            ca_file: self.file_path(ca),
        })
    }
}

fn collector(text: &str) -> Result<Uri, Flaw> {
    let flaw = |what: &str| {
        Err(Flaw::malformed(format!("\"{text}\" {what}")).help(
            "write it as http://127.0.0.1:4318, a collector on this machine that sends on, or https://collector.example.org:4318/v1/traces",
        ))
    };
    let Ok(mut url) = url::Url::parse(text) else {
        return flaw("is no address of a collector");
    };
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return flaw("is no http or https address");
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(Flaw::malformed("a collector's address has no user, password, query or fragment")
            .help("a collector on this machine can hold them and send on"));
    }
    if url.path() == "/" {
        url.set_path(PATH);
    }
    url.as_str().parse().or_else(|_| flaw("is no address of a collector"))
}

fn service_name(text: &str) -> Result<String, Flaw> {
    if text.trim().is_empty() || text.chars().count() > 100 || text.chars().any(is_unprintable) {
        return Err(Flaw::malformed("a service's name has 1 to 100 printable characters"));
    }
    Ok(text.trim().to_owned())
}
