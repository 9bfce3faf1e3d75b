//! The table of hit rates, and the failures in a file for study.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use crate::ask::Answer;

/// Class and the least share of first hits, in percent. Classes without a bar are for information.
const BARS: &[(&str, Option<f64>)] = &[
    ("clean", Some(99.0)),
    ("lower case", Some(97.0)),
    ("abbreviations", Some(97.0)),
    ("unit forms", Some(97.0)),
    ("range end points", Some(97.0)),
    ("one typo", Some(95.0)),
    ("no postcode", None),
    ("no state", None),
    ("swapped order", None),
    ("alias or neighbour", None),
    ("trailing junk", None),
];

/// The largest share of addresses that don't exist and yet validate, in percent.
const MOST_FALSE: f64 = 0.5;

fn percent(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { 100.0 * part as f64 / whole as f64 }
}

fn row(class: &str, asked: usize, shares: &str, bar: &str, good: bool) {
    println!("{class:<20} {asked:>8} {shares:>17} {bar:>9}  {}", if good { "ok" } else { "BELOW THE BAR" });
}

/// Prints the table; whether every bar is reached.
pub(crate) fn print(answers: &[Answer]) -> bool {
    let mut all_good = true;
    println!("\n{:<20} {:>8} {:>8} {:>8} {:>9}", "class", "asked", "top-1 %", "top-5 %", "bar");
    for (class, bar) in BARS {
        let of_class: Vec<&Answer> = answers.iter().filter(|answer| answer.question.class == *class).collect();
        if of_class.is_empty() {
            continue;
        }
        let top = |most: usize| of_class.iter().filter(|answer| answer.rank.is_some_and(|rank| rank < most)).count();
        let (top1, top5) = (percent(top(1), of_class.len()), percent(top(5), of_class.len()));
        let good = bar.is_none_or(|bar| top1 >= bar);
        all_good &= good;
        let bar = bar.map_or("-".to_owned(), |bar| format!(">= {bar}"));
        row(class, of_class.len(), &format!("{top1:>8.2} {top5:>8.2}"), &bar, good);
    }
    let mut impossible: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for answer in answers.iter().filter(|answer| answer.question.expected.is_none()) {
        for class in [answer.question.class, "all that don't exist"] {
            let (asked, valid) = impossible.entry(class).or_default();
            *asked += 1;
            *valid += usize::from(answer.valid);
        }
    }
    println!("\n{:<20} {:>8} {:>17} {:>9}", "does not exist", "asked", "called valid %", "bar");
    for (class, (asked, valid)) in impossible {
        let share = percent(valid, asked);
        let good = share <= MOST_FALSE;
        all_good &= good;
        row(class, asked, &format!("{share:.3}"), &format!("<= {MOST_FALSE}"), good);
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
        let failed = if meant.is_empty() { answer.valid } else { answer.rank != Some(0) };
        if failed {
            let rank = answer.rank.map_or(String::new(), |rank| rank.to_string());
            writeln!(file, "{}|{rank}|{}|{meant}|{}", answer.question.class, answer.question.text, answer.first)?;
        }
    }
    file.flush()?;
    Ok(())
}
