//! The house has floors: a module uses only floors below its own.

#![expect(clippy::unwrap_used, reason = "tests may stop on the spot")]

use std::fs;
use std::path::{Path, PathBuf};

const FLOORS: &[(u8, &[&str])] = &[
    (8, &["cli"]),
    (7, &["server"]),
    (6, &["gateway", "web"]),
    (5, &["app"]),
    (4, &["accounts"]),
    (3, &["store", "mail", "signin", "audit", "upstream"]),
    (2, &["policy", "config"]),
    (1, &["model"]),
    (0, &["base"]),
];

fn floor_of(module: &str) -> Option<u8> {
    FLOORS
        .iter()
        .find(|(_, modules)| modules.contains(&module))
        .map(|(floor, _)| *floor)
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn no_module_uses_a_neighbour_or_a_floor_above() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    assert!(files.len() > 10, "the sources were not found below {}", src.display());
    let mut upward = Vec::new();
    for file in files {
        let inside = file.strip_prefix(&src).unwrap();
        let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
        let home = first.trim_end_matches(".rs");
        if home == "lib" || home == "main" {
            continue;
        }
        let floor = floor_of(home).unwrap_or_else(|| panic!("{} stands on no floor", file.display()));
        for (number, line) in fs::read_to_string(&file).unwrap().lines().enumerate() {
            for used in line.split("crate::").skip(1) {
                let name: String = used.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                let below = floor_of(&name).is_some_and(|other| other < floor);
                if name != home && !below {
                    upward.push(format!("{}:{}: crate::{name}", inside.display(), number + 1));
                }
            }
        }
    }
    assert!(upward.is_empty(), "uses that do not point down:\n{}", upward.join("\n"));
}
