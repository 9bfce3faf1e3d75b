//! The table of hit rates, and the failures in a file for study.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use super::ask::{Answer, Ask};

/// Class and the least share of first hits, in percent. Classes without a bar are for information. `unit`, `level` and
/// `typo` stand for all classes that begin so; the latter are held to their bar together.
const BARS: &[(&str, Option<f64>)] = &[
    ("clean", Some(99.0)),
    ("lower case", Some(99.0)),
    ("abbreviated", Some(97.0)),
    ("unit", Some(97.0)),
    ("level", Some(97.0)),
    ("range end points", Some(97.0)),
    ("lot", Some(97.0)),
    ("typo", Some(95.0)),
    ("habits", None),
    ("no postcode", None),
    ("no state", None),
    ("swapped order", None),
    ("locality alias", None),
    ("neighbour locality", None),
    ("trailing junk", None),
];

/// The least share of each habit of writing that is found first, in percent.
const LEAST_HABIT: f64 = 97.0;

/// Classes of fewer questions are held to less, since one failure is a large share of them.
const FEW: usize = 100;
const LEAST_OF_FEW: f64 = 85.0;

/// The largest share that may validate all the same (or be geocoded), in percent, of the classes that begin so.
const MOST_VALID: &[(&str, f64)] =
    &[("vague", 0.0), ("no street", 0.0), ("postal", 0.0), ("contradiction", 0.1), ("", 0.5)];

fn most_valid(class: &str) -> f64 {
    MOST_VALID.iter().find(|(start, _)| class.starts_with(start)).map_or(0.0, |(_, most)| *most)
}

fn percent(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { 100.0 * part as f64 / whole as f64 }
}

fn row(class: &str, asked: usize, shares: &str, bar: &str, good: Option<bool>) {
    let verdict = good.map_or("", |good| if good { "ok" } else { "MISSED" });
    println!("{}", format!("{class:<22} {asked:>8} {shares:>17} {bar:>9}  {verdict}").trim_end());
}

/// Top-1 and top-5 hits in percent, and both as text.
fn shares(answers: &[&Answer]) -> (f64, f64, String) {
    let top = |most: usize| answers.iter().filter(|answer| answer.rank.is_some_and(|rank| rank < most)).count();
    let (top1, top5) = (percent(top(1), answers.len()), percent(top(5), answers.len()));
    (top1, top5, format!("{top1:>8.2} {top5:>8.2}"))
}

/// Prints the table; whether every bar is reached.
pub(crate) fn print(answers: &[Answer]) -> bool {
    let mut all_good = true;
    println!("\n{:<22} {:>8} {:>8} {:>8} {:>9}", "class", "asked", "top-1 %", "top-5 %", "bar");
    for (group, bar) in BARS {
        let mut classes: BTreeMap<&str, Vec<&Answer>> = BTreeMap::new();
        for answer in answers.iter().filter(|answer| answer.question.ask == Ask::Search) {
            let class = answer.question.class;
            if class.split_once(':').map_or(class, |(group, _)| group) == *group {
                classes.entry(class).or_default().push(answer);
            }
        }
        if classes.len() > 1 {
            for (class, of_class) in &classes {
                row(class, of_class.len(), &shares(of_class).2, "", None);
            }
        }
        let whole: Vec<&Answer> = classes.into_values().flatten().collect();
        if whole.is_empty() {
            continue;
        }
        let (top1, _, shown) = shares(&whole);
        let good = bar.is_none_or(|bar| top1 >= bar);
        all_good &= good;
        row(group, whole.len(), &shown, &bar.map_or("-".to_owned(), |bar| format!(">= {bar}")), bar.map(|_| good));
    }
    all_good & habits(answers) & refused(answers)
}

/// Habits of writing, each held to its bar; no other address may be called valid for any.
fn habits(answers: &[Answer]) -> bool {
    let mut classes: BTreeMap<&str, Vec<&Answer>> = BTreeMap::new();
    for answer in answers.iter().filter(|answer| answer.question.ask == Ask::Written) {
        classes.entry(answer.question.class).or_default().push(answer);
        classes.entry("habits, all").or_default().push(answer);
    }
    let mut all_good = true;
    println!("\n{:<34} {:>8} {:>8} {:>8} {:>8}", "habit of writing", "asked", "top-1 %", "valid %", "another");
    for (class, of_class) in &classes {
        let count = |test: fn(&Answer) -> bool| of_class.iter().filter(|answer| test(answer)).count();
        let (found, another) = (percent(count(|a| a.rank == Some(0)), of_class.len()), count(|a| a.another));
        let valid = percent(count(|a| a.valid && !a.another), of_class.len());
        // A class of a few hundred addresses can't tell 97 from 96 percent.
        let good = another == 0 && (found >= LEAST_HABIT || of_class.len() < FEW && found >= LEAST_OF_FEW);
        all_good &= good;
        let verdict = if good { "ok" } else { "MISSED" };
        println!("{class:<34} {:>8} {found:>8.2} {valid:>8.2} {another:>8}  {verdict}", of_class.len());
    }
    all_good
}

/// What must not validate, nor have a place.
fn refused(answers: &[Answer]) -> bool {
    let mut classes: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for answer in answers.iter().filter(|answer| answer.question.expected.is_none()) {
        let class = answer.question.class;
        let group = if class.starts_with("contradiction") { "contradictions, all" } else { "all that don't exist" };
        for class in [class, group] {
            let (asked, valid) = classes.entry(class).or_default();
            *asked += 1;
            *valid += usize::from(answer.valid);
        }
    }
    let mut all_good = true;
    println!("\n{:<34} {:>8} {:>17} {:>9}", "must be refused", "asked", "called valid %", "bar");
    for (class, (asked, valid)) in classes {
        let (share, most) = (percent(valid, asked), most_valid(class));
        let good = share <= most || asked < FEW && valid <= 1 && most > 0.0;
        all_good &= good;
        let verdict = if good { "ok" } else { "MISSED" };
        println!("{class:<34} {asked:>8} {share:>17.3} {:>9}  {verdict}", format!("<= {most}"));
    }
    all_good
}

/// One line per failure: class, what was asked, what was meant, what came first.
pub(crate) fn write_failures(path: &Path, answers: &[Answer]) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
    writeln!(file, "CLASS|RANK|ASKED|MEANT|FIRST")?;
    for answer in answers {
        let meant = answer.question.expected.as_ref().map_or("", |expected| expected.label.as_str());
        let failed = if meant.is_empty() { answer.valid } else { answer.another || answer.rank != Some(0) };
        if failed {
            let rank = answer.rank.map_or(String::new(), |rank| rank.to_string());
            let text = answer.question.text.replace(['\n', '\r', '|'], "\u{b6}");
            let class = answer.question.class;
            let another = if answer.another { " ANOTHER VALID" } else { "" };
            writeln!(file, "{class}{another}|{rank}|{text}|{meant}|{}", answer.first)?;
        }
    }
    file.flush()?;
    Ok(())
}
