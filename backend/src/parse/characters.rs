//! The common character that is meant by one that only looks like it or is a variant of it.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Cyrillic and Greek letters that look like Latin ones, and Latin letters that no decomposition makes plain.
const LOOK_ALIKES: &[(char, &str)] = &[
    ('а', "a"),
    ('А', "A"),
    ('В', "B"),
    ('с', "c"),
    ('С', "C"),
    ('е', "e"),
    ('Е', "E"),
    ('Н', "H"),
    ('һ', "h"),
    ('і', "i"),
    ('І', "I"),
    ('ј', "j"),
    ('Ј', "J"),
    ('К', "K"),
    ('к', "k"),
    ('М', "M"),
    ('о', "o"),
    ('О', "O"),
    ('р', "p"),
    ('Р', "P"),
    ('ѕ', "s"),
    ('Ѕ', "S"),
    ('Т', "T"),
    ('т', "t"),
    ('у', "y"),
    ('У', "Y"),
    ('х', "x"),
    ('Х', "X"),
    ('ԁ', "d"),
    ('ԝ', "w"),
    ('Α', "A"),
    ('Β', "B"),
    ('Ε', "E"),
    ('Ζ', "Z"),
    ('Η', "H"),
    ('Ι', "I"),
    ('Κ', "K"),
    ('Μ', "M"),
    ('Ν', "N"),
    ('Ο', "O"),
    ('Ρ', "P"),
    ('Τ', "T"),
    ('Υ', "Y"),
    ('Χ', "X"),
    ('ο', "o"),
    ('ν', "v"),
    ('ι', "i"),
    ('α', "a"),
    ('ρ', "p"),
    ('ı', "i"),
    ('ø', "o"),
    ('Ø', "O"),
    ('ł', "l"),
    ('Ł', "L"),
    ('đ', "d"),
    ('Đ', "D"),
    ('ß', "ss"),
    ('æ', "ae"),
    ('Æ', "AE"),
    ('œ', "oe"),
    ('Œ', "OE"),
];
/// Zeros of the scripts whose decimal digits people type; the nine digits follow each.
const ZEROS: &[char] = &['\u{660}', '\u{6f0}', '\u{966}', '\u{9e6}', '\u{e50}'];

/// `text` in common characters: full-width, bold, circled and ligature forms, accents and look-alikes are the plain letters and
/// digits; marks without a width are nothing. A fraction or a raised digit stays apart from the number beside it.
pub(super) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            ' '..='~' => out.push(c),
            // Marks without a width or of a direction, variants, keycaps.
            '\u{feff}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{20e3}'
            | '\u{ad}' => {}
            // `12½` and `12²` are not 12, nor 121 or 122.
            '\u{bc}'..='\u{be}' | '\u{2150}'..='\u{215f}' | '\u{2189}' => out.push_str(" FRACTION "),
            '\u{b2}' | '\u{b3}' | '\u{b9}' | '\u{2070}'..='\u{208e}' => out.push_str(" RAISED "),
            // `N° 7`
            '°' if out.ends_with(['n', 'N']) => out.push('o'),
            '\u{3001}' => out.push(','),
            // They have a meaning of their own.
            '´' | '№' => out.push(c),
            _ => match LOOK_ALIKES.iter().find(|(alike, _)| *alike == c) {
                Some((_, meant)) => out.push_str(meant),
                None => match digit(c) {
                    Some(digit) => out.push(digit),
                    None => out.extend(std::iter::once(c).nfkd().filter(|&c| !is_combining_mark(c))),
                },
            },
        }
    }
    out
}

fn digit(c: char) -> Option<char> {
    let value = ZEROS.iter().find_map(|&zero| (c as u32).checked_sub(zero as u32).filter(|value| *value < 10))?;
    char::from_digit(value, 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("１２／３ Ｏｌｇａ", "12/3 Olga")]
    #[case("\u{feff}1 Olga\u{200b} Ave", "1 Olga Ave")]
    #[case("Hоrshаm", "Horsham")]
    #[case("Kilkié Avénué", "Kilkie Avenue")]
    #[case("Kilkie\u{301} A\u{308}ve", "Kilkie Ave")]
    #[case("𝐊𝐨𝐤𝐨𝐝𝐚 paciﬁc", "Kokoda pacific")]
    #[case("٣٤ ①②", "34 12")]
    #[case("1\u{fe0f}\u{20e3}2\u{fe0f}\u{20e3}", "12")]
    #[case("12½ 3² N° 7 Nº 8 30°", "12 FRACTION  3 RAISED  No 7 No 8 30°")]
    #[case("O´Hara №5 1–2", "O´Hara №5 1–2")]
    fn what_it_looks_like(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(plain(text), expected);
    }
}
