//! The files that pages ask for: ours, and the operator's logo and stylesheet.

use bytes::Bytes;

use crate::base::encoding::hex;
use crate::base::secret::sha256;
use crate::config::{Site, SiteFile};

use super::answer;
use super::assets;
use super::cx::{Cx, Outcome, Stop};

/// GET `/assets/{folder}/{name}`.
pub async fn asset(cx: &mut Cx<'_>) -> Outcome {
    let (folder, name) = (cx.param("folder"), cx.param("name"));
    let found = assets::find(folder, name).or_else(|| site_file(&cx.live.settings.site, folder, name));
    let (kind, body) = found.ok_or(Stop::NotFound)?;
    Ok(answer::asset(kind, body))
}

/// The address of the operator's logo, which changes with its content.
#[must_use]
pub fn logo_address(site: &Site) -> Option<String> {
    let file = site.logo.as_ref()?;
    let ending = file.path.extension()?.to_str()?.to_ascii_lowercase();
    assets::picture_kind(&format!("logo.{ending}"))?;
    Some(format!("/.portcullis/assets/{}/logo.{ending}", folder_of(file)))
}

/// The address of the operator's stylesheet, which changes with its content.
#[must_use]
pub fn style_address(site: &Site) -> Option<String> {
    let file = site.style.as_ref()?;
    Some(format!("/.portcullis/assets/{}/site.css", folder_of(file)))
}

fn folder_of(file: &SiteFile) -> String {
    hex(sha256(&file.content).get(..8).unwrap_or_default())
}

fn site_file(site: &Site, folder: &str, name: &str) -> Option<(&'static str, Bytes)> {
    let (kind, file) = if name == "site.css" {
        ("text/css; charset=utf-8", site.style.as_ref()?)
    } else if name.starts_with("logo.") {
        (assets::picture_kind(name)?, site.logo.as_ref()?)
    } else {
        return None;
    };
    (folder == folder_of(file)).then(|| (kind, Bytes::copy_from_slice(&file.content)))
}
