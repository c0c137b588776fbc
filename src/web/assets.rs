//! Stylesheet, script and pictures: compiled in, served under an address that changes with their content.

use bytes::Bytes;

/// One file that every page may ask for.
struct Asset {
    name: &'static str,
    kind: &'static str,
    body: &'static [u8],
}

const ASSETS: &[Asset] = &[
    Asset {
        name: "portcullis.css",
        kind: "text/css; charset=utf-8",
        body: include_bytes!("assets/portcullis.css"),
    },
    Asset {
        name: "portcullis.js",
        kind: "text/javascript; charset=utf-8",
        body: include_bytes!("assets/portcullis.js"),
    },
    Asset {
        name: "mark.svg",
        kind: "image/svg+xml",
        body: include_bytes!("assets/mark.svg"),
    },
    Asset {
        name: "icons.svg",
        kind: "image/svg+xml",
        body: include_bytes!("assets/icons.svg"),
    },
    Asset {
        name: "chevron.svg",
        kind: "image/svg+xml",
        body: include_bytes!("assets/chevron.svg"),
    },
];

const PREFIX: &[u8; 20] = b"/.portcullis/assets/";
const FOLDER_BYTES: [u8; 36] = folder();

/// Where the assets are on every host: the last part is a digest of all of them, so an address never changes its content.
///
/// One folder for all rather than a digest in each name: the stylesheet names its arrow by a relative address.
pub const FOLDER: &str = match std::str::from_utf8(&FOLDER_BYTES) {
    Ok(text) => text,
    Err(_) => "/.portcullis/assets/0",
};

/// The 16 symbols that name the folder.
#[must_use]
pub fn folder_name() -> &'static str {
    FOLDER.rsplit('/').next().unwrap_or("")
}

/// FNV-1a over all assets, in the order of the table. It tells versions apart; nothing is proved by it.
#[expect(
    clippy::indexing_slicing,
    reason = "evaluated by the compiler, where an index beyond the end is a build error"
)]
const fn folder() -> [u8; 36] {
    const SYMBOLS: &[u8; 16] = b"0123456789abcdef";
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut asset = 0;
    while asset < ASSETS.len() {
        let body = ASSETS[asset].body;
        let mut at = 0;
        while at < body.len() {
            hash = (hash ^ body[at] as u64).wrapping_mul(0x0100_0000_01b3);
            at += 1;
        }
        asset += 1;
    }
    let mut out = [0; 36];
    let mut at = 0;
    while at < 20 {
        out[at] = PREFIX[at];
        at += 1;
    }
    while at < 36 {
        out[at] = SYMBOLS[((hash >> (4 * (35 - at))) & 15) as usize];
        at += 1;
    }
    out
}

/// The content type and the bytes of an asset of this build.
#[must_use]
pub fn find(folder: &str, name: &str) -> Option<(&'static str, Bytes)> {
    if folder != folder_name() {
        return None;
    }
    ASSETS
        .iter()
        .find(|asset| asset.name == name)
        .map(|asset| (asset.kind, Bytes::from_static(asset.body)))
}

/// The content type of an operator's own logo, by the ending of its file name; `None` for anything that is no picture.
#[must_use]
pub fn picture_kind(file_name: &str) -> Option<&'static str> {
    let (_, ending) = file_name.rsplit_once('.')?;
    match ending.to_ascii_lowercase().as_str() {
        "svg" => Some("image/svg+xml"),
        "png" => Some("image/png"),
        "jpg" | "jpeg" => Some("image/jpeg"),
        "webp" => Some("image/webp"),
        "gif" => Some("image/gif"),
        "ico" => Some("image/x-icon"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_a_digest_and_only_this_builds_folder_answers() {
        assert_eq!(FOLDER.len(), 36);
        assert!(folder_name().bytes().all(|byte| byte.is_ascii_hexdigit()), "{FOLDER}");
        for asset in ASSETS {
            let (kind, body) = find(folder_name(), asset.name).unwrap();
            assert_eq!((kind, body.len()), (asset.kind, asset.body.len()), "{}", asset.name);
        }
        assert!(find("0000000000000000", "portcullis.css").is_none(), "another build's");
        assert!(find(folder_name(), "../mod.rs").is_none());
    }

    #[test]
    fn the_stylesheet_and_the_script_stay_small_and_name_nobody_else() {
        let text = |name: &str| String::from_utf8(find(folder_name(), name).unwrap().1.to_vec()).unwrap();
        let (style, script) = (text("portcullis.css"), text("portcullis.js"));
        assert!(style.len() < 25_000, "{}", style.len());
        assert!(script.len() < 8_192, "{}", script.len());
        for part in [&style, &script] {
            assert!(
                !part.contains("http://") && !part.contains("https://") && !part.contains("data:"),
                "asks nobody else"
            );
        }
        assert!(!script.contains("innerHTML") && !script.contains("eval("), "trusted types hold");
    }

    #[test]
    fn only_pictures_are_logos() {
        for (name, expected) in [
            ("logo.svg", Some("image/svg+xml")),
            ("LOGO.PNG", Some("image/png")),
            ("logo.html", None),
            ("logo", None),
        ] {
            assert_eq!(picture_kind(name), expected, "{name}");
        }
    }
}
