//! Laws of reading: order never matters, spelling never matters, no text panics.

use proptest::prelude::*;

use super::*;
use crate::base::document::{self, Entry, Table, Value};

/// The examples as one text each, by tree.
fn trees() -> Vec<PolicyTexts> {
    ["A", "B", "C"].into_iter().map(|name| with_named_files(example(name))).collect()
}

/// A tree written again: every table inline, entries and lists of tables in another order, spread over as many files.
fn rewritten(texts: &PolicyTexts, seed: &[usize]) -> PolicyTexts {
    let mut turn = seed.iter().cycle().copied();
    let mut files = Vec::new();
    for file in &texts.files {
        let (table, _) = document::read(&file.name, &file.text);
        let mut lines: Vec<String> = Vec::new();
        for Entry { key, node } in &table.entries {
            match &node.value {
                Value::Table(family) if !matches!(key.value.as_str(), "signin" | "defaults" | "checks") => {
                    for member in &family.entries {
                        lines.push(format!(
                            "{}.{} = {}",
                            key.value,
                            member.key.value,
                            inline(&member.node.value, &mut turn)
                        ));
                    }
                }
                other => lines.push(format!("{} = {}", key.value, inline(other, &mut turn))),
            }
        }
        shuffle(&mut lines, &mut turn);
        files.push(SourceText {
            name: format!("{}-{}", turn.next().unwrap_or(0), file.name).into(),
            text: lines.join("\n").into(),
        });
    }
    shuffle(&mut files, &mut turn);
    PolicyTexts {
        files,
        named: texts.named.clone(),
        strays: Vec::new(),
    }
}

fn shuffle<T>(list: &mut [T], turn: &mut impl Iterator<Item = usize>) {
    for at in (1..list.len()).rev() {
        list.swap(at, turn.next().unwrap_or(0) % (at + 1));
    }
}

fn inline(value: &Value, turn: &mut impl Iterator<Item = usize>) -> String {
    match value {
        Value::Text(text) => format!("{text:?}"),
        Value::Integer(number) => number.unwrap_or(0).to_string(),
        Value::Float(text) | Value::Loose(text) => text.clone(),
        Value::Boolean(yes) => yes.to_string(),
        Value::Datetime(at) => at.to_string(),
        Value::List(items) => {
            let mut parts: Vec<String> = items.iter().map(|item| inline(&item.value, turn)).collect();
            // `headers.choose` is the one list whose order counts; its entries are tables with a value.
            if !items
                .iter()
                .any(|item| matches!(&item.value, Value::Table(table) if table.get("value").is_some() || table.get("header").is_some()))
            {
                shuffle(&mut parts, turn);
            }
            format!("[{}]", parts.join(", "))
        }
        Value::Table(Table { entries }) => {
            let mut parts: Vec<String> = entries
                .iter()
                .map(|Entry { key, node }| format!("{:?} = {}", key.value, inline(&node.value, turn)))
                .collect();
            shuffle(&mut parts, turn);
            format!("{{ {} }}", parts.join(", "))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn neither_order_nor_spelling_changes_an_answer(seed in proptest::collection::vec(0_usize..1000, 7..40)) {
        for texts in trees() {
            let again = rewritten(&texts, &seed);
            let (one, two) = (check(&texts, &context()), check(&again, &context()));
            prop_assert!(two.policies.is_some(), "{}", rendered(&again, &two.findings));
            prop_assert!(two.tests.iter().all(TestOutcome::passed));
            prop_assert_eq!(two.tests.len(), one.tests.len());
            let codes = |checked: &Checked| {
                let mut codes: Vec<String> = checked.findings.iter().map(|finding| format!("{} {}", finding.code, finding.message)).collect();
                codes.sort();
                codes
            };
            prop_assert_eq!(codes(&one), codes(&two));
        }
    }

    /// Lines of real policies, put together anyhow, with a value replaced here and there.
    #[test]
    fn no_text_panics(picks in proptest::collection::vec((0_usize..3, 0_usize..200, 1_usize..12), 1..6), junk in "[\\PC\n]{0,40}", at in 0_usize..60) {
        let sources: Vec<String> = trees().iter().map(|tree| tree.files.iter().map(|file| &*file.text).collect::<Vec<_>>().join("\n")).collect();
        let mut lines: Vec<String> = Vec::new();
        for (tree, start, length) in picks {
            let source: Vec<&str> = sources.get(tree).map_or_else(Vec::new, |source| source.lines().collect());
            lines.extend(source.iter().skip(start % source.len().max(1)).take(length).map(|line| (*line).to_owned()));
        }
        if let Some(line) = lines.get_mut(at) {
            *line = match line.split_once('=') {
                Some((key, _)) => format!("{key} = {junk:?}"),
                None => junk,
            };
        }
        let text = lines.join("\n");
        let mut texts = PolicyTexts::default();
        texts.files.push(SourceText { name: "t.toml".into(), text: text.into() });
        let checked = check(&texts, &context());
        let _ = rendered(&texts, &checked.findings);
        let _ = wanted(&texts);
    }
}

/// What decisions rest on is the same, entry for entry, whichever file comes first.
#[test]
fn files_in_any_order_make_the_same_rules() {
    for texts in trees() {
        let mut backwards = texts.clone();
        backwards.files.reverse();
        let (one, _) = load(&texts, &context()).unwrap();
        let (two, _) = load(&backwards, &context()).unwrap();
        assert_eq!(one.definitions(), two.definitions());
    }
}

#[test]
fn the_generation_moves_with_every_byte_that_counts_and_no_other() {
    let texts = with_named_files(example("A"));
    let first = generation(&texts);
    let mut renamed = texts.clone();
    renamed.files.first_mut().unwrap().name = "other.toml".into();
    assert_ne!(generation(&renamed), first);
    let mut changed = texts.clone();
    let file = changed.files.first_mut().unwrap();
    file.text = format!("{}\n", file.text).into();
    assert_ne!(generation(&changed), first);
    let mut named = texts.clone();
    named.named.insert("ca.pem".to_owned(), NamedFile::Plain(Arc::from(&b"x"[..])));
    assert_ne!(generation(&named), first);
    let mut secret = texts;
    secret
        .named
        .insert("key".to_owned(), NamedFile::Secret(Arc::new(Secret::new(b"x".to_vec()))));
    assert_eq!(generation(&secret), first);
}
