//! How values that only the settings have are written.

use crate::base::grammar::Flaw;
use crate::model::ip_pattern::{AddressRange, AddressSet, InvalidRange};
use crate::model::name::ApplicationName;

/// One address or network of a list of hops.
pub(super) fn network(text: &str) -> Result<AddressRange, Flaw> {
    AddressRange::parse(text).map_err(|bad| match bad {
        InvalidRange::HostBits { ref meant, .. } => {
            Flaw::new("E131", format!("\"{text}\" has bits after the prefix")).help(format!("did you mean \"{meant}\"?"))
        }
        other => Flaw::new("E130", format!("\"{text}\": {other}")),
    })
}

pub(super) fn loopback() -> AddressSet {
    AddressSet::of(["127.0.0.0/8", "::1"].iter().filter_map(|text| AddressRange::parse(text).ok()))
}

pub(super) fn peer_name(text: &str) -> Result<String, Flaw> {
    let name: ApplicationName = text
        .parse()
        .map_err(|bad: crate::model::name::InvalidName| Flaw::malformed(bad.to_string()))?;
    Ok(name.to_string())
}

pub(super) fn page_url(text: &str) -> Result<url::Url, Flaw> {
    match url::Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "https" | "http" | "mailto") => Ok(url),
        _ => Err(Flaw::malformed(format!("\"{text}\" is no address of a page")).help("write it as https://example.org/help")),
    }
}
