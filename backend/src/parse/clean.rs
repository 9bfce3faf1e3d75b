//! What encodings, spreadsheets and mail programs leave behind in a text is undone before anything else looks at it.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::characters::plain;

/// Characters considered of one input; the endpoints refuse more before they get here.
pub(crate) const MAX_CHARS: usize = 500;

/// Letters of the longest entity or tag that is undone.
const LONGEST: usize = 24;
/// UTF-8 read as Windows-1252: what was meant.
const MISREAD: &[(&str, &str)] = &[
    ("\u{e2}\u{20ac}\u{2122}", "'"),
    ("\u{e2}\u{20ac}\u{2dc}", "'"),
    ("\u{e2}\u{20ac}\u{201c}", "-"),
    ("\u{e2}\u{20ac}\u{201d}", "-"),
    ("\u{c2}\u{a0}", " "),
    ("\u{ef}\u{bb}\u{bf}", ""),
];
const ENTITIES: &[(&str, &str)] = &[
    ("nbsp", " "),
    ("ensp", " "),
    ("emsp", " "),
    ("amp", "&"),
    ("apos", "'"),
    ("rsquo", "'"),
    ("lsquo", "'"),
    ("quot", "\""),
    ("lt", "<"),
    ("gt", ">"),
    ("ndash", "-"),
    ("mdash", "-"),
    ("minus", "-"),
    ("comma", ","),
    ("sol", "/"),
    ("num", "#"),
    ("newline", "\n"),
];

/// The text that was meant, of at most [`MAX_CHARS`] characters of what was given.
pub(super) fn clean(text: &str) -> String {
    let text: String = text.chars().take(MAX_CHARS).collect();
    let text = percent_decoded(&text);
    let mut text = text.into_owned();
    for (misread, meant) in MISREAD {
        text = text.replace(misread, meant);
    }
    // What was encoded twice (`&amp;nbsp;`) is decoded twice.
    for _ in 0..2 {
        text = decoded(&text);
    }
    text = without_coordinates(&separated(&plain(&text)));
    let words = text.split(char::is_whitespace).filter(|word| is_link(word)).map(str::to_owned).collect::<Vec<_>>();
    for word in words {
        text = text.replace(&word, " ");
    }
    without_decimals(&text).chars().take(MAX_CHARS).collect()
}

/// `9SmithStreetHorsham` has its words apart, `12..14` and `18(B)` are a range and one number.
fn separated(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let at = |index: usize| chars.get(index).copied().unwrap_or(' ');
    let rises = |index: usize| at(index).is_ascii_lowercase() && at(index + 1).is_ascii_uppercase();
    let glued = !text.contains(char::is_whitespace) && (0..chars.len()).filter(|&index| rises(index)).count() > 1;
    let mut out = String::with_capacity(text.len());
    let mut index = 0;
    while index < chars.len() {
        let (digit, after) = (at(index).is_ascii_digit(), index + 1);
        out.push(chars[index]);
        index = after;
        if digit && at(after) == '.' && at(after + 1) == '.' {
            let dots = (after..).take_while(|&index| at(index) == '.').count();
            if at(after + dots).is_ascii_digit() {
                out.push('-');
                index += dots;
            }
        } else if digit && at(after) == '(' && at(after + 1).is_ascii_alphabetic() && at(after + 2) == ')' {
            out.push(at(after + 1));
            index += 3;
        } else if glued
            && (rises(index - 1) || digit && at(after).is_ascii_uppercase() && at(after + 1).is_ascii_lowercase())
        {
            out.push(' ');
        }
    }
    out
}

/// Two decimals side by side are a position, which says nothing about how an address is written.
fn without_coordinates(text: &str) -> String {
    let places = |word: &str| {
        let word = word.trim_matches(|c: char| matches!(c, '(' | ')' | '[' | ']' | ',' | ';' | '-' | '+' | '\u{b0}'));
        let (whole, part) = word.split_once('.')?;
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        (whole.len() <= 3 && digits(whole) && digits(part)).then_some(part.len())
    };
    let parts: Vec<&str> = text.split_inclusive([' ', ',']).collect();
    let real: Vec<usize> =
        (0..parts.len()).filter(|&index| !parts[index].trim_matches([' ', ',']).is_empty()).collect();
    let mut dropped = vec![false; parts.len()];
    for pair in real.windows(2) {
        let [Some(one), Some(other)] = [pair[0], pair[1]].map(|index| places(parts[index].trim())) else { continue };
        if one.max(other) > 1 {
            pair.iter().for_each(|&index| dropped[index] = true);
        }
    }
    parts.iter().zip(&dropped).map(|(part, dropped)| if *dropped { "," } else { part }).collect()
}

/// `%20`; and `+` for a blank where there is no other.
fn percent_decoded(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let escaped = bytes.windows(3).any(|w| w[0] == b'%' && w[1..].iter().all(u8::is_ascii_hexdigit));
    let text = match escaped {
        true => percent_decode_str(text).decode_utf8_lossy(),
        false => Cow::Borrowed(text),
    };
    let form = text.matches('+').count() >= 2 && !text.contains(char::is_whitespace);
    if form { Cow::Owned(text.replace('+', " ")) } else { text }
}

/// Entities (`&nbsp;`, `&#39;`), tags (`<br/>`) and escapes (a literal `\n`) become what they stand for.
fn decoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['&', '<', '\\']) {
        out.push_str(&rest[..at]);
        let found = match rest.as_bytes()[at] {
            b'&' => entity(&rest[at..]),
            b'<' => tag(&rest[at..]).map(|used| (Cow::Borrowed("\n"), used)),
            _ => escape(&rest[at..]),
        };
        let (meant, used) = found.unwrap_or_else(|| (Cow::Borrowed(&rest[at..at + 1]), 1));
        out.push_str(&meant);
        rest = &rest[at + used..];
    }
    out + rest
}

fn until(text: &str, end: char) -> Option<&str> {
    text.get(1..)?.split_once(end).map(|(inside, _)| inside).filter(|inside| inside.len() <= LONGEST)
}

fn entity(text: &str) -> Option<(Cow<'static, str>, usize)> {
    let name = until(text, ';')?;
    let used = name.len() + 2;
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16),
            None => number.parse(),
        };
        return Some((Cow::Owned(char::from_u32(code.ok()?)?.to_string()), used));
    }
    let (_, meant) = ENTITIES.iter().find(|(known, _)| name.eq_ignore_ascii_case(known))?;
    Some((Cow::Borrowed(*meant), used))
}

fn tag(text: &str) -> Option<usize> {
    let inside = until(text, '>')?;
    let name = inside.trim_start_matches('/');
    name.starts_with(|c: char| c.is_ascii_alphabetic()).then_some(inside.len() + 2)
}

fn escape(text: &str) -> Option<(Cow<'static, str>, usize)> {
    match text.as_bytes().get(1)? {
        b'n' | b'r' => Some((Cow::Borrowed("\n"), 2)),
        b't' => Some((Cow::Borrowed(" "), 2)),
        b'u' => {
            let code = u32::from_str_radix(text.get(2..6)?, 16).ok()?;
            Some((Cow::Owned(char::from_u32(code)?.to_string()), 6))
        }
        _ => None,
    }
}

/// An e-mail address or a link says nothing about where something is.
fn is_link(word: &str) -> bool {
    let lower = word.to_ascii_lowercase();
    let mail = lower.split_once('@').is_some_and(|(name, host)| !name.is_empty() && host.contains('.'));
    mail || lower.starts_with("http:") || lower.starts_with("https:") || lower.starts_with("www.")
}

/// `12.0` is what a spreadsheet makes of 12.
fn without_decimals(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(".0") {
        let (before, after) = (&rest[..at], rest[at + 1..].trim_start_matches('0'));
        let ends = !after.starts_with(|c: char| c.is_alphanumeric() || c == '.');
        let word = before.rsplit(|c: char| !c.is_alphanumeric() && c != '.').next().unwrap_or_default();
        let number = !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
        if ends && number {
            out.push_str(before);
            rest = after;
        } else {
            out.push_str(&rest[..at + 2]);
            rest = &rest[at + 2..];
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case("1%20Olga%20Ave%2C%20Horsham", "1 Olga Ave, Horsham")]
    #[case("1+Olga+Ave+Horsham", "1 Olga Ave Horsham")]
    #[case("1 + 2 Olga Ave", "1 + 2 Olga Ave")]
    #[case("100% Pure, 2 Olga Ave", "100% Pure, 2 Olga Ave")]
    #[case("\u{feff}1 Olga\u{200b} Ave", "1 Olga Ave")]
    #[case("１２／３ Ｏｌｇａ", "12/3 Olga")]
    #[case("1&nbsp;Olga&#160;Ave", "1 Olga Ave")]
    #[case("1&amp;nbsp;Olga", "1 Olga")]
    #[case("O&#39;Connell O&#x27;Neil", "O'Connell O'Neil")]
    #[case("1 Olga Ave<br/>Horsham<BR>VIC</p>", "1 Olga Ave\nHorsham\nVIC\n")]
    #[case("1 Olga Ave\\nHorsham\\r\\nVIC", "1 Olga Ave\nHorsham\n\nVIC")]
    #[case("1\\2 Olga Ave \\u00a0x", "1\\2 Olga Ave  x")]
    #[case("O\u{e2}\u{20ac}\u{2122}Connell", "O'Connell")]
    #[case("5.0 Olga Ave, 3400.0", "5 Olga Ave, 3400")]
    #[case("5.05 No.07 v1.0.0", "5.05 No.07 v1.0.0")]
    #[case("12 Olga Ave, me@example.com", "12 Olga Ave,  ")]
    #[case("a < b & c > d", "a < b & c > d")]
    #[case("9OlgaAveHorshamVIC3400", "9 Olga Ave Horsham VIC3400")]
    #[case("McDonald", "McDonald")]
    #[case("12..14 Olga Ave, 18(B) Olga Ave... (A) 5 (x)", "12-14 Olga Ave, 18B Olga Ave... (A) 5 (x)")]
    #[case("5 Olga Ave (-33.12, 151.2)", "5 Olga Ave , ,")]
    #[case("Suite 2.01, 5 Olga Ave", "Suite 2.01, 5 Olga Ave")]
    fn what_was_meant(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(clean(text), expected);
    }

    proptest! {
        #[test]
        fn any_text_is_cleaned_and_none_grows_long(text in "\\PC{0,700}") {
            prop_assert!(clean(&text).chars().count() <= MAX_CHARS);
        }

        #[test]
        fn text_with_leftovers_too(text in "([0-9]{1,3}|%20|%|&nbsp;|&#|;|<br>|<|\\\\n|\\\\u|\\.0|a@b.c| ){0,60}") {
            prop_assert!(clean(&text).len() <= 4 * MAX_CHARS);
        }
    }
}
