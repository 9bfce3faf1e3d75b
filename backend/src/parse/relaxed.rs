//! Readings that bend the usual order or pass words over.

use std::sync::Arc;

use super::head::{heads, is_number};
use super::middle::{localities, streets};
use super::normal::{Mark, Word};
use super::tail::{Tail, is_postcode, says_where, tails};
use super::{Head, Reading, in_order};

/// Words passed over after an address that has no state or postcode to mark its end.
const JUNK_WORDS: usize = 4;
/// Words of a locality in front.
const LOCALITY_WORDS: usize = 5;

/// All of them, in no particular order.
pub(super) fn readings(words: &[Word], open: bool) -> Vec<Reading> {
    let mut readings = Vec::new();
    locality_in_front(words, open, &mut readings);
    locality_before_street(words, open, &mut readings);
    number_after_street(words, open, &mut readings);
    junk_after_end(words, &mut readings);
    junk_after_locality(words, &mut readings);
    postcode_inside(words, open, &mut readings);
    readings
}

/// State and postcode may stand at either of two places.
fn joined(front: &Tail, back: &Tail) -> Arc<Tail> {
    let mut tail = back.clone();
    if tail.states.is_empty() {
        tail.states.clone_from(&front.states);
    }
    if tail.postcode.is_none() {
        tail.postcode.clone_from(&front.postcode);
    }
    Arc::new(tail)
}

/// `Horsham VIC 3400, 12 Smith St` and `Horsham, 12 Smith St VIC 3400`.
fn locality_in_front(words: &[Word], open: bool, readings: &mut Vec<Reading>) {
    for from in 1..words.len() {
        let number_starts = is_number(&words[from].text)
            || (words[from].mark == Mark::Comma && heads(&words[from..])[0].0.has_number());
        if !number_starts {
            continue;
        }
        let (front, front_end) = tails(&words[..from], false).swap_remove(0);
        for (back, back_end) in tails(words, open) {
            if back_end <= from {
                continue;
            }
            let tail = joined(&front, &back);
            for (head, rest) in heads(&words[from..back_end]) {
                let head = Arc::new(head);
                let street = &words[from + rest..back_end];
                for street in streets(street, open && back_end == words.len()) {
                    for locality in localities(&words[..front_end], false) {
                        readings.push(Reading {
                            head: head.clone(),
                            street: Some(street.clone()),
                            locality: Some(locality),
                            tail: tail.clone(),
                            swapped: true,
                            oddity: 6,
                        });
                    }
                }
            }
        }
    }
}

/// `12 Horsham, Smith St`.
fn locality_before_street(words: &[Word], open: bool, readings: &mut Vec<Reading>) {
    let (tail, end) = tails(words, open).swap_remove(0);
    let (head, rest) = heads(&words[..end]).swap_remove(0);
    let (tail, head, middle) = (Arc::new(tail), Arc::new(head), &words[rest..end]);
    for at in 1..middle.len().min(LOCALITY_WORDS + 1) {
        for locality in localities(&middle[..at], false) {
            for street in streets(&middle[at..], open && end == words.len()) {
                readings.push(Reading {
                    head: head.clone(),
                    street: Some(street),
                    locality: Some(locality.clone()),
                    tail: tail.clone(),
                    swapped: true,
                    oddity: 8,
                });
            }
        }
    }
}

/// `Smith St 12, Horsham`.
fn number_after_street(words: &[Word], open: bool, readings: &mut Vec<Reading>) {
    let (tail, end) = tails(words, open).swap_remove(0);
    let Some(at) = (1..end).find(|&at| is_number(&words[at].text)) else { return };
    let (head, rest) = heads(&words[at..end]).swap_remove(0);
    let (tail, head) = (Arc::new(tail), Arc::new(Head { ignored: Vec::new(), ..head }));
    let rest = &words[at + rest..end];
    let after = match localities(rest, open && end == words.len()) {
        list if list.is_empty() && !rest.is_empty() => return,
        list if list.is_empty() => vec![None],
        list => list.into_iter().map(Some).collect(),
    };
    for street in streets(&words[..at], false) {
        for locality in &after {
            readings.push(Reading {
                head: head.clone(),
                street: Some(street.clone()),
                locality: locality.clone(),
                tail: tail.clone(),
                swapped: true,
                oddity: 7,
            });
        }
    }
}

/// `12 Smith St Horsham VIC 3400 near the pool`: the last state or postcode ends the address.
fn junk_after_end(words: &[Word], readings: &mut Vec<Reading>) {
    let ends = |at: &usize| says_where(&words[*at].text) && !says_where(&words[at + 1].text);
    for at in (2..words.len().saturating_sub(1)).rev().filter(ends).take(2) {
        let junk = words[at + 1..].iter().map(|w| w.text.clone()).collect();
        let junk = Tail { junk, junk_apart: true, ..Tail::default() };
        let inside = in_order(&words[..=at], false, &junk);
        let ended = |r: &Reading| r.tail.postcode.is_some() || !r.tail.states.is_empty();
        readings.extend(inside.into_iter().filter(ended).map(|r| Reading { oddity: r.oddity.saturating_add(6), ..r }));
    }
}

/// `12 Smith St Horsham, near the pool`, and without the comma, which says much less.
fn junk_after_locality(words: &[Word], readings: &mut Vec<Reading>) {
    for count in 1..=JUNK_WORDS.min(words.len().saturating_sub(2)) {
        let (inside, junk) = words.split_at(words.len() - count);
        if junk.iter().any(|word| says_where(&word.text)) {
            break;
        }
        let junk_apart = junk[0].mark == Mark::Comma;
        let junk = Tail { junk: junk.iter().map(|w| w.text.clone()).collect(), junk_apart, ..Tail::default() };
        let oddity = if junk_apart { 6 } else { 9 };
        let likely = in_order(inside, false, &junk).into_iter().filter(|r| r.locality.is_some() && r.street.is_some());
        readings.extend(likely.take(24).map(|r| Reading { oddity: r.oddity.saturating_add(oddity), ..r }));
    }
}

/// `12 Smith St 3400 Horsham`.
fn postcode_inside(words: &[Word], open: bool, readings: &mut Vec<Reading>) {
    let is_word = |word: &Word| !is_number(&word.text);
    let inside = (1..words.len().saturating_sub(1))
        .find(|&at| is_postcode(&words[at].text) && is_word(&words[at - 1]) && is_word(&words[at + 1]));
    let Some(at) = inside else { return };
    let mut without = words.to_vec();
    let postcode = without.remove(at).text;
    without[at].mark = Mark::Comma;
    for reading in in_order(&without, open, &Tail::default()) {
        if reading.tail.postcode.is_none() {
            let tail = Tail { postcode: Some(postcode.clone()), ..(*reading.tail).clone() };
            readings.push(Reading { tail: Arc::new(tail), oddity: reading.oddity.saturating_add(5), ..reading });
        }
    }
}
