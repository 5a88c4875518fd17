//! Compares this linter's verdicts with those of another engine of the same kind on the same files.
//!
//! The corpus is a directory with `<name>.tar.xz` and `<name>.tsv` (columns `sha256`, `verdict`, `rules`; files are
//! named by the first 16 digits of their digest). `BPMN_CORPUS` is its path; without it, `../shared/corpus` beside the
//! repository is used. Findings of [`Class::EngineCapability`] and [`Class::Style`] are ignored, since they do not
//! apply to other engines.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use bpmn::{Class, Mode, Report};

/// Minimum share of the engine's rejections that this linter also rejects.
const RECALL_FLOOR: f64 = 0.99;

struct Row {
    sha256: String,
    accepted: bool,
    rules: String,
}

#[test]
fn verdicts_agree_with_the_corpus() {
    let Some(corpus) = corpus() else {
        println!("skipped: BPMN_CORPUS not set");
        return;
    };
    let unpacked = tempfile::tempdir().expect("a temporary directory");
    let status = Command::new("tar")
        .arg("-xJf")
        .arg(corpus.with_extension("tar.xz"))
        .arg("-C")
        .arg(unpacked.path())
        .status()
        .expect("tar runs");
    assert!(status.success(), "tar fails on {}", corpus.display());
    let files = files_below(unpacked.path());
    let rows = rows(&std::fs::read_to_string(corpus.with_extension("tsv")).expect("the verdicts"));
    assert!(!rows.is_empty(), "no verdicts in {}", corpus.display());

    let mut found = 0;
    let mut missed: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut false_rejects = Vec::new();
    let mut accepted = 0;
    let started = Instant::now();
    for row in &rows {
        let name = &row.sha256[..16];
        let bytes = std::fs::read(&files[name]).expect("a file of the corpus");
        let report = bpmn::lint(&bytes, Mode::Lenient);
        let rejected = verdict(&report);
        match (row.accepted, rejected) {
            (true, None) => accepted += 1,
            (true, Some(finding)) => false_rejects.push(format!("{name}: {finding}")),
            (false, Some(_)) => found += 1,
            (false, None) => missed.entry(&row.rules).or_default().push(name),
        }
    }
    let elapsed = started.elapsed();
    let missed_count: usize = missed.values().map(Vec::len).sum();
    let recall = f64::from(found) / (f64::from(found) + f64::from(u32::try_from(missed_count).unwrap()));
    println!("{} files in {elapsed:?}", rows.len());
    println!("accepted by both {accepted}, rejected by both {found}");
    println!("rejected by us alone {}, by the engine alone {missed_count}", false_rejects.len());
    println!("recall {:.2} %", recall * 100.0);
    let mut missed: Vec<_> = missed.into_iter().collect();
    missed.sort_by_key(|(_, names)| std::cmp::Reverse(names.len()));
    for (rules, names) in missed.iter().take(40) {
        println!("missed {:4}  {}  {}", names.len(), names[..names.len().min(8)].join(" "), rules);
    }
    assert_eq!(false_rejects, Vec::<String>::new(), "accepted files are rejected");
    assert!(recall >= RECALL_FLOOR, "recall {recall} is below {RECALL_FLOOR}");
}

/// The first finding for which any engine should reject the file.
fn verdict(report: &Report) -> Option<String> {
    report
        .errors()
        .find(|finding| matches!(finding.class(), Class::Xml | Class::Bpmn))
        .map(|finding| format!("{}:{} {} {finding}", finding.line, finding.column, finding.rule_id()))
}

/// The corpus's path without its suffixes.
fn corpus() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let named = std::env::var_os("BPMN_CORPUS").map(PathBuf::from);
    let directory = named.clone().unwrap_or(beside);
    let table = std::fs::read_dir(&directory).ok().and_then(|entries| {
        entries
            .map(|entry| entry.expect("an entry").path())
            .find(|path| path.extension().is_some_and(|extension| extension == "tsv"))
    });
    assert!(named.is_none() || table.is_some(), "BPMN_CORPUS holds no verdicts: {}", directory.display());
    table.map(|path| path.with_extension(""))
}

fn files_below(directory: &Path) -> BTreeMap<String, PathBuf> {
    let mut files = BTreeMap::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in std::fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                waiting.push(path);
            } else if let Some(stem) = path.file_stem() {
                files.insert(stem.to_string_lossy().into_owned(), path);
            }
        }
    }
    files
}

fn rows(table: &str) -> Vec<Row> {
    let mut lines = table.lines();
    let header: Vec<&str> = lines.next().expect("a header").split('\t').collect();
    let column = |name: &str| header.iter().position(|column| *column == name).expect("a column");
    let (sha256, verdict, rules) = (column("sha256"), column("verdict"), column("rules"));
    lines
        .map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            Row {
                sha256: fields[sha256].to_owned(),
                accepted: fields[verdict] == "ACCEPT",
                rules: fields.get(rules).copied().unwrap_or_default().to_owned(),
            }
        })
        .collect()
}
