//! What stands after the locality: state and postcode, in either order, and the country.

use super::codes::STATE;
use super::head::is_number;
use super::normal::Word;

/// The part of an address after its locality.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Tail {
    /// The states it may be in; empty when none was written. Several only while the last word is being typed.
    pub states: Vec<&'static str>,
    pub postcode: Option<String>,
    /// The postcode is still being typed: its first digits.
    pub postcode_open: bool,
    /// Words after the address that say nothing about where it is, and whether a comma, state or postcode sets them apart.
    pub junk: Vec<String>,
    pub junk_apart: bool,
}

const COUNTRY: &[&str] = &["AUSTRALIA", "AUS", "AU"];
/// Names of states that are also names of streets and localities.
const ALSO_NAMES: &[&str] = &["VICTORIA", "QUEENSLAND", "TASMANIA", "SA", "WA", "NT", "OT"];

fn has_letters(words: &[Word]) -> bool {
    words.iter().any(|w| w.text.bytes().any(|b| b.is_ascii_uppercase()) && !is_number(&w.text))
}

/// Four digits after words.
pub(super) fn is_postcode(text: &str) -> bool {
    text.len() == 4 && text.bytes().all(|b| b.is_ascii_digit())
}

/// A state or postcode is never passed over: it may contradict the rest.
pub(crate) fn says_where(text: &str) -> bool {
    is_postcode(text) || (text.len() <= 3 && STATE.code(text).is_some())
}

/// A state written in the last words before `end`: its code and where it begins.
fn state_before(words: &[Word], end: usize) -> Option<(&'static str, usize)> {
    (1..=STATE.longest().min(end)).rev().find_map(|count| {
        let from = end - count;
        let form = words[from..end].iter().map(|w| w.text.as_str()).collect::<Vec<_>>().join(" ");
        Some((STATE.code(&form)?, from)).filter(|_| has_letters(&words[..from]))
    })
}

/// The ways to read the end of `words`, likeliest first, each with the index after the last word that is not part of it.
/// `open`: the last word is still being typed.
pub(super) fn tails(words: &[Word], open: bool) -> Vec<(Tail, usize)> {
    let mut end = words.len();
    while end > 1
        && words.get(end - 1).is_some_and(|w| COUNTRY.contains(&w.text.as_str()))
        && has_letters(&words[..end - 1])
    {
        end -= 1;
    }
    let mut tail = Tail::default();
    let before_state = end;
    let mut state_from = None;
    for _ in 0..2 {
        let Some(last) = end.checked_sub(1).and_then(|at| words.get(at)) else { break };
        if tail.postcode.is_none() && is_postcode(&last.text) && follows_words(words, end - 1) {
            tail.postcode = Some(last.text.clone());
            end -= 1;
        } else if tail.states.is_empty()
            && let Some((state, from)) = state_before(words, end)
        {
            tail.states.push(state);
            state_from = Some((from, end));
            end = from;
        }
    }
    let whole = before_state == words.len();
    let unfinished = if open && whole { unfinished(words) } else { Vec::new() };
    let mut tails = vec![(tail.clone(), end)];
    // `12 Queen Victoria`, and `6 Collins St Vic` on the way to a suburb's name.
    if let Some((from, to)) = state_from {
        let word = words[from].text.as_str();
        let being_typed = open && to == words.len();
        if to == from + 1 && (being_typed || ALSO_NAMES.contains(&word)) {
            let end = if to == words.len() { to } else { words.len() };
            let without = if to == words.len() { Tail::default() } else { tail };
            tails.push((Tail { states: Vec::new(), ..without }, if to == words.len() { end } else { to }));
        }
    }
    tails.extend(unfinished);
    tails
}

/// A postcode stands after words, and neither after a slash or hyphen nor as the number of a lot.
fn follows_words(words: &[Word], at: usize) -> bool {
    use super::normal::Mark;
    let apart = !matches!(words[at].mark, Mark::Slash | Mark::Hyphen);
    let lot = at > 0 && words[at - 1].text == "LOT";
    apart && !lot && has_letters(&words[..at])
}

/// Readings of a last word that is still being typed: the beginning of a postcode or of a state's name.
fn unfinished(words: &[Word]) -> Vec<(Tail, usize)> {
    let Some((last, before)) = words.split_last() else { return Vec::new() };
    let mut tails = Vec::new();
    let digits = last.text.len() < 4 && last.text.bytes().all(|b| b.is_ascii_digit());
    if digits && follows_words(words, before.len()) {
        let (mut tail, mut end) = (Tail::default(), before.len());
        if let Some((state, from)) = state_before(words, end) {
            tail.states.push(state);
            end = from;
        }
        tails.push((Tail { postcode: Some(last.text.clone()), postcode_open: true, ..tail }, end));
    }
    for count in (1..=STATE.longest().min(words.len())).rev() {
        let from = words.len() - count;
        let form = words[from..].iter().map(|w| w.text.as_str()).collect::<Vec<_>>().join(" ");
        let states = STATE.codes_from(&form);
        if !states.is_empty() && STATE.code(&form).is_none() && has_letters(&words[..from]) {
            tails.push((Tail { states, ..Tail::default() }, from));
        }
    }
    tails
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::normal::words;
    use rstest::rstest;

    fn shown(text: &str, open: bool) -> Vec<String> {
        let words = words(text).list;
        let show = |(tail, end): (Tail, usize)| {
            let rest: Vec<_> = words[..end].iter().map(|w| w.text.as_str()).collect();
            let postcode = tail.postcode.unwrap_or_default() + if tail.postcode_open { "*" } else { "" };
            format!("{};{};{postcode}", rest.join(" "), tail.states.join("+"))
        };
        tails(&words, open).into_iter().map(show).collect()
    }

    #[rstest]
    #[case("12 Smith St Horsham VIC 3400", &["12 SMITH ST HORSHAM;VIC;3400"])]
    #[case("12 Smith St Horsham 3400 vic", &["12 SMITH ST HORSHAM;VIC;3400"])]
    #[case("12 Smith St Horsham, Victoria, 3400, Australia", &["12 SMITH ST HORSHAM;VIC;3400", "12 SMITH ST HORSHAM VICTORIA;;3400"])]
    #[case("12 Smith St 3400", &["12 SMITH ST;;3400"])]
    #[case("12 Smith St New South Wales", &["12 SMITH ST;NSW;"])]
    #[case("12 Queen Victoria", &["12 QUEEN;VIC;", "12 QUEEN VICTORIA;;"])]
    #[case("12 Victoria", &["12 VICTORIA;;"])]
    #[case("1 3400", &["1 3400;;"])]
    #[case("Lot 1234", &["LOT 1234;;"])]
    #[case("3400", &["3400;;"])]
    #[case("", &[";;"])]
    fn finished_text(#[case] text: &str, #[case] expected: &[&str]) {
        assert_eq!(shown(text, false), expected);
    }

    #[rstest]
    #[case("6 collins st vic", &["6 COLLINS ST;VIC;", "6 COLLINS ST VIC;;"])]
    #[case("6 collins st v", &["6 COLLINS ST V;;", "6 COLLINS ST;VIC;"])]
    #[case("6 collins st vic 30", &["6 COLLINS ST VIC 30;;", "6 COLLINS ST;VIC;30*"])]
    #[case("6 collins st 3000", &["6 COLLINS ST;;3000"])]
    #[case("6 coll", &["6 COLL;;"])]
    #[case("6", &["6;;"])]
    fn text_being_typed(#[case] text: &str, #[case] expected: &[&str]) {
        assert_eq!(shown(text, true), expected);
    }
}
