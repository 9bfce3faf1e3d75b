//! The normal form under which names are compared, and the words of a text together with what stood before each.
//!
//! `search_form` in `migrations/V6__apostrophes.sql` makes the same form of every name in the data; a test
//! below holds the two together.

/// Characters considered of one input; the endpoints refuse more before they get here.
pub(crate) const MAX_CHARS: usize = 500;
/// Words considered of one input. The longest address of the country has about fifteen.
pub(crate) const MAX_WORDS: usize = 24;

/// What stood between a word and the one before it; the strongest mark wins (`1 / 23` is a slash).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mark {
    /// Blanks or punctuation without a meaning of its own, also the start of the text.
    Space,
    /// A comma, semicolon, bracket or line break: a part of the address ends here.
    Comma,
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
}

/// A text cut into words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Words {
    pub list: Vec<Word>,
    /// Whether anything follows the last word, so that it can't be half typed.
    pub closed: bool,
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
        ',' | ';' | '\n' | '\r' | '(' | ')' | '[' | ']' | '|' => Mark::Comma,
        '-' | '–' | '—' | '‐' | '‑' => Mark::Hyphen,
        '/' | '\\' => Mark::Slash,
        _ => Mark::Space,
    }
}

/// The words of `text`, bounded by [`MAX_CHARS`] and [`MAX_WORDS`].
pub(crate) fn words(text: &str) -> Words {
    let mut list: Vec<Word> = Vec::new();
    let mut open = false;
    let mut between = Mark::Space;
    let mut cut = false;
    for (index, c) in text.chars().enumerate() {
        if index == MAX_CHARS {
            cut = true;
            break;
        }
        if is_apostrophe(c) {
            continue;
        }
        let Some(folded) = folded(c) else {
            between = if open { mark(c) } else { between.max(mark(c)) };
            open = false;
            continue;
        };
        if !open && list.len() == MAX_WORDS {
            cut = true;
            break;
        }
        match list.last_mut() {
            Some(word) if open => word.text.push(folded),
            _ => {
                list.push(Word { text: folded.to_string(), mark: if list.is_empty() { Mark::Space } else { between } })
            }
        }
        open = true;
    }
    Words { list, closed: !open || cut }
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
