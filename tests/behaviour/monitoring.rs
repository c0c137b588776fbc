//! The dashboard and the alerts ask for figures that there are.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::support::house::House;

/// Every name of a figure of ours in a text.
fn names_in(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for piece in text.split("portcullis_").skip(1) {
        let name: String = piece.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        names.insert(format!("portcullis_{name}"));
    }
    names
}

#[tokio::test]
async fn every_figure_of_dashboard_alerts_and_documentation_exists() {
    let house = House::new().await;
    let metrics = house.management("/metrics").await.text();
    let exported: BTreeSet<&str> = metrics
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect();
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in [
        "packaging/grafana/portcullis.json",
        "packaging/prometheus/alerts.yml",
        "docs/logs-and-metrics.md",
    ] {
        let asked = names_in(&fs::read_to_string(top.join(file)).unwrap());
        assert!(asked.len() > 8, "{file}: only {asked:?} were found");
        let missing: Vec<_> = asked
            .iter()
            // Documentation names a histogram without what its parts are called.
            .filter(|name| !exported.contains(name.as_str()) && !exported.contains(format!("{name}_bucket").as_str()))
            .collect();
        assert!(missing.is_empty(), "{file} asks for what is not there: {missing:?}");
    }
}

#[test]
fn the_dashboard_is_one() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(top.join("packaging/grafana/portcullis.json")).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "two panels are {}", panel["id"]);
        let place = &panel["gridPos"];
        assert!(
            place["x"].as_u64().unwrap() + place["w"].as_u64().unwrap() <= 24,
            "{} hangs over",
            panel["title"]
        );
        if panel["type"] != "row" {
            let targets = panel["targets"].as_array().unwrap();
            assert!(
                !targets.is_empty()
                    && targets
                        .iter()
                        .all(|target| target["expr"].as_str().unwrap().contains("portcullis_"))
            );
        }
    }
}
