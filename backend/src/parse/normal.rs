//! The normal form under which names are compared, and the words of a text together with what stood before each. What
//! encodings left behind is gone before (`clean`).
//!
//! `search_form` in `migrations/V6__apostrophes.sql` makes the same form of every name in the data; a test
//! below holds the two together.

use super::clean::clean;
use super::codes::{FLAT_TYPE, LEVEL_TYPE, STATE};
use super::words::lists;

/// Words considered of one input. The longest address of the country has about fifteen; people write about as many around it.
pub(crate) const MAX_WORDS: usize = 40;

/// What stood between a word and the one before it; the strongest mark wins (`1 / 23` is a slash).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mark {
    /// Blanks or punctuation without a meaning of its own, also the start of the text.
    Space,
    /// A comma, semicolon, bracket, tab or line break: a part of the address ends here.
    Comma,
    /// An ampersand, plus sign or tilde: a range between two numbers, `and` elsewhere.
    And,
    /// A hyphen or dash: a range between two numbers.
    Hyphen,
    /// A slash: unit before number.
    Slash,
}

/// One word: letters A-Z and digits only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    pub text: String,
    pub mark: Mark,
    /// A number sign stands before it.
    pub hash: bool,
    /// The comma before it may group thousands: `1,234`.
    pub thousands: bool,
}

/// A text cut into words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Words {
    pub list: Vec<Word>,
    /// Whether anything follows the last word, so that it can't be half typed.
    pub closed: bool,
    /// There were more words than are considered.
    pub cut: bool,
}

/// Apostrophes vanish inside a word (`O'Connell` is `OCONNELL`), in all the shapes that keyboards produce.
fn is_apostrophe(c: char) -> bool {
    matches!(c, '\'' | '’' | '`' | '‘' | 'ʼ' | '´')
}

/// The upper-case ASCII letter or digit that stands for `c`, if one does.
fn folded(c: char) -> Option<char> {
    if c.is_ascii_alphanumeric() {
        return Some(c.to_ascii_uppercase());
    }
    let mut upper = c.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(single), None) if single.is_ascii_alphanumeric() => Some(single),
        _ => None,
    }
}

fn mark(c: char) -> Mark {
    match c {
        ',' | ';' | '\n' | '\r' | '\t' | '(' | ')' | '[' | ']' | '{' | '}' | '|' | '•' | '·' => Mark::Comma,
        '&' | '+' | '~' | '〜' => Mark::And,
        '-' | '\u{2010}'..='\u{2015}' | '\u{2043}' | '\u{2212}' | '\u{2e3a}' | '\u{2e3b}' | '\u{fe58}' | '\u{fe63}' => {
            Mark::Hyphen
        }
        '/' | '\\' | '\u{2044}' | '\u{2215}' => Mark::Slash,
        _ => Mark::Space,
    }
}

/// The words of `text`, bounded by [`super::clean::MAX_CHARS`] and [`MAX_WORDS`].
pub(crate) fn words(text: &str) -> Words {
    let text = clean(text);
    let mut list: Vec<Word> = Vec::new();
    let (mut open, mut hash, mut between, mut gap) = (false, false, Mark::Space, String::new());
    let push = |word: Word, list: &mut Vec<Word>| list.extend(unglued(word));
    let mut current: Option<Word> = None;
    for c in text.chars() {
        if is_apostrophe(c) {
            continue;
        }
        let Some(folded) = folded(c) else {
            between = if open { mark(c) } else { between.max(mark(c)) };
            hash = (hash && !open) || c == '#' || c == '№';
            if open {
                gap.clear();
            }
            gap.push(c);
            open = false;
            continue;
        };
        match &mut current {
            Some(word) if open => word.text.push(folded),
            _ => {
                let first = current.is_none();
                current.take().into_iter().for_each(|word| push(word, &mut list));
                let mark = if first { Mark::Space } else { between };
                current = Some(Word { text: folded.to_string(), mark, hash, thousands: gap == "," });
                hash = false;
            }
        }
        open = true;
    }
    current.into_iter().for_each(|word| push(word, &mut list));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    for at in 0..list.len() {
        let grouped = at > 0
            && digits(&list[at].text)
            && list[at].text.len() == 3
            && digits(&list[at - 1].text)
            && list[at - 1].text.len() <= 3;
        list[at].thousands &= grouped;
    }
    let cut = list.len() > MAX_WORDS;
    list.truncate(MAX_WORDS);
    Words { list, closed: !open || cut, cut }
}

/// Words that were written without the blank between them: `NSW2170`, `HORSHAM3400`, `12Smith`.
fn unglued(word: Word) -> Vec<Word> {
    let text = word.text.as_str();
    let digit = |b: &u8| b.is_ascii_digit();
    // `NSW2170Australia`
    if let Some(stem) = text.strip_suffix("AUSTRALIA").filter(|stem| stem.as_bytes().last().is_some_and(digit)) {
        let country = Word { text: "AUSTRALIA".to_owned(), mark: Mark::Space, hash: false, thousands: false };
        let stem = Word { text: stem.to_owned(), ..word };
        return unglued(stem).into_iter().chain([country]).collect();
    }
    let letters_first = text.bytes().take_while(|b| !digit(b)).count();
    let digits_first = text.bytes().take_while(digit).count();
    let (front, back) = text.split_at(letters_first.max(digits_first));
    let is_postcode = back.len() == 4 && back.bytes().all(|b| digit(&b));
    let no_keyword = || FLAT_TYPE.code(front).is_none() && LEVEL_TYPE.code(front).is_none() && lists(front).is_none();
    let of_a_place = front.len() >= 3 && front != "LOT" && no_keyword();
    let postcode = letters_first >= 2 && is_postcode && (STATE.code(front).is_some() || of_a_place);
    // `158Mt Napier Rd`, `22De Castella Dr`; with other two letters it is a number's own, or an ordinal.
    let begins = match back {
        "MT" | "DE" | "DU" | "LA" | "LE" | "MC" => true,
        "ST" => !front.ends_with('1') || front.ends_with("11"),
        _ => back.len() >= 3,
    };
    let street = digits_first > 0 && begins && back.bytes().all(|b| !digit(&b));
    if !(postcode || street) {
        return vec![word];
    }
    let after = Word { text: back.to_owned(), mark: Mark::Space, hash: false, thousands: false };
    vec![Word { text: front.to_owned(), ..word }, after]
}

/// The form under which names are stored and compared: words joined by one space.
pub(crate) fn search_form(name: &str) -> String {
    let mut form = String::with_capacity(name.len());
    for c in name.chars().filter(|&c| !is_apostrophe(c)) {
        match folded(c) {
            Some(c) => form.push(c),
            None if form.ends_with(' ') || form.is_empty() => {}
            None => form.push(' '),
        }
    }
    form.truncate(form.trim_end().len());
    form
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case("O'Connell", "OCONNELL")]
    #[case("  Yandina - Bli  Bli ", "YANDINA BLI BLI")]
    #[case("St. Kilda's", "ST KILDAS")]
    #[case("’’", "")]
    #[case("Dartmoor-Hamilton", "DARTMOOR HAMILTON")]
    fn names_are_brought_to_one_form(#[case] name: &str, #[case] form: &str) {
        assert_eq!(search_form(name), form);
    }

    /// What is typed and what is stored must come to the same form: every name of the sample, and some that it hasn't.
    #[tokio::test]
    async fn the_database_makes_the_same_form() {
        let given = |name| std::env::var(name).unwrap_or_else(|_| panic!("{name} is set by `make test`"));
        let server = given("TEST_DATABASE_URL");
        let url = format!("{}/{}", server.rsplit_once('/').unwrap().0, given("TEST_SAMPLE"));
        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        let odd = [
            "O'Connell",
            "D’Arcy",
            "O‘Brien",
            "Oʼ Hara´s",
            "12 St. Mary`s (Upper)",
            "  ",
            "",
            "--",
            "Ché\tGuevara",
            "1/2-3",
            "Ünder\u{a0}way",
            "a_b%c",
        ];
        let rows = client
            .query(
                "SELECT name, search_form(name) FROM (SELECT name FROM street UNION SELECT name FROM street_alias
                   UNION SELECT name FROM locality UNION SELECT name FROM locality_alias UNION SELECT unnest($1::text[])) names",
                &[&odd.as_slice()],
            )
            .await
            .unwrap();
        assert!(rows.len() > 1_000, "{}", rows.len());
        for row in rows {
            let (name, form): (String, String) = (row.get(0), row.get(1));
            assert_eq!(search_form(&name), form, "{name:?}");
        }
    }

    #[test]
    fn marks_are_kept_and_the_strongest_wins() {
        let words = words("Unit 1 / 23-25 Smith St., Horsham ");
        let seen: Vec<_> = words.list.iter().map(|w| (w.text.as_str(), w.mark)).collect();
        assert_eq!(
            seen,
            [
                ("UNIT", Mark::Space),
                ("1", Mark::Space),
                ("23", Mark::Slash),
                ("25", Mark::Hyphen),
                ("SMITH", Mark::Space),
                ("ST", Mark::Space),
                ("HORSHAM", Mark::Comma),
            ]
        );
        assert!(words.closed);
    }

    #[rstest]
    #[case("NSW2170", "NSW 2170")]
    #[case("Horsham3400", "HORSHAM 3400")]
    #[case("12Smith St", "12 SMITH ST")]
    #[case("4th Ave 12th", "4TH AVE 12TH")]
    #[case("12A U5 LG3 Unit1002", "12A U5 LG3 UNIT1002")]
    fn what_was_glued_together_is_taken_apart(#[case] text: &str, #[case] expected: &str) {
        let seen: Vec<_> = words(text).list.into_iter().map(|word| word.text).collect();
        assert_eq!(seen.join(" "), expected);
    }

    #[test]
    fn marks_of_numbers_are_kept() {
        let words = words("#3, 1,234 − 5&6~7 Lot 1, 234").list;
        let seen: Vec<_> = words.iter().map(|w| (w.text.as_str(), w.mark, w.hash, w.thousands)).collect();
        assert_eq!(
            seen,
            [
                ("3", Mark::Space, true, false),
                ("1", Mark::Comma, false, false),
                ("234", Mark::Comma, false, true),
                ("5", Mark::Hyphen, false, false),
                ("6", Mark::And, false, false),
                ("7", Mark::And, false, false),
                ("LOT", Mark::Space, false, false),
                ("1", Mark::Space, false, false),
                ("234", Mark::Comma, false, false),
            ]
        );
    }

    #[test]
    fn a_word_at_the_very_end_is_open() {
        assert!(!words("6 coll").closed);
        assert!(words("6 coll,").closed);
        assert!(words("").closed);
    }

    proptest! {
        #[test]
        fn any_text_gives_bounded_plain_words(text in "\\PC{0,700}") {
            let words = words(&text);
            prop_assert!(words.list.len() <= MAX_WORDS);
            for word in &words.list {
                prop_assert!(!word.text.is_empty());
                prop_assert!(word.text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()));
            }
        }

        #[test]
        fn the_form_of_a_form_is_itself(text in any::<String>()) {
            let form = search_form(&text);
            prop_assert_eq!(search_form(&form), form);
        }
    }
}
