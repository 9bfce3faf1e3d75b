//! The cheapest ways to give every word a role: the K best paths through the lattice, by dynamic programming. A state is the
//! place in the text, the roles given so far and the last of them; per state the few cheapest paths are kept.

use std::collections::HashMap;

use super::lattice::{LONG, Lattice, Role, Span};
use super::normal::Mark;

/// Paths kept per state.
const PER_STATE: usize = 3;
/// How much is kept of what a text may mean.
#[derive(Clone, Copy, Debug)]
pub(super) struct Width {
    /// Labellings of the whole.
    pub labellings: usize,
    /// Paths per place in the text.
    pub paths: usize,
}

/// Before the data was asked: most texts are plain.
pub(super) const NARROW: Width = Width { labellings: 24, paths: 64 };
/// Once it is known which names exist.
pub(super) const WIDE: Width = Width { labellings: 40, paths: 120 };

const FLAT: u16 = 1;
const BLOCK: u16 = 1 << 1;
const LEVEL: u16 = 1 << 2;
const LOT: u16 = 1 << 3;
const NUMBER: u16 = 1 << 4;
const STREET: u16 = 1 << 5;
const LOCALITY: u16 = 1 << 6;
const STATE: u16 = 1 << 7;
const POSTCODE: u16 = 1 << 8;
const POSTAL: u16 = 1 << 9;
const NAME: u16 = 1 << 10;
const BESIDE: u16 = 1 << 11;
const OTHER: u16 = 1 << 12;

#[derive(Clone, Copy)]
struct Path {
    /// The path before and the span that was added, by place and index.
    before: u32,
    from: u16,
    span: u16,
    cost: u16,
    given: u16,
    last: u16,
}

fn bit(role: &Role) -> u16 {
    match role {
        Role::Flat { .. } => FLAT,
        Role::Block(_) => BLOCK,
        Role::Level(_) => LEVEL,
        Role::Lot { .. } => LOT,
        Role::Number { .. } => NUMBER,
        Role::Street => STREET,
        Role::Locality => LOCALITY,
        Role::State(_) => STATE,
        Role::Postcode { .. } => POSTCODE,
        Role::Postal => POSTAL,
        Role::Name => NAME,
        Role::Beside => BESIDE,
        Role::Again
        | Role::Plan
        | Role::Country
        | Role::Foreign
        | Role::Aside { .. }
        | Role::Contact
        | Role::Blank
        | Role::Joint
        | Role::Stray => OTHER,
    }
}

/// The cost of continuing a path with `span` at the word `at`; `None` where the span can't stand there.
fn step(lattice: &Lattice<'_>, path: &Path, at: usize, span: &Span) -> Option<u16> {
    let given = path.given;
    let has = |bits: u16| given & bits != 0;
    let role = bit(&span.role);
    let mark = lattice.words[at].mark;
    let begins = lattice.begins(at);
    let once = FLAT | BLOCK | LEVEL | LOT | NUMBER | STREET | LOCALITY;
    if role & once != 0 && has(role) {
        return None;
    }
    let after_beside = path.last == BESIDE;
    if after_beside && role & (FLAT | BLOCK | LEVEL | LOT | NUMBER | STREET | LOCALITY) == 0 {
        return None;
    }
    let cost = match &span.role {
        Role::Flat { .. } | Role::Block(_) | Role::Level(_) => match () {
            () if has(STREET) && !begins && path.last == LOCALITY => 2,
            () => 0,
        },
        Role::Lot { .. } => u16::from(has(STREET)) * 2,
        Role::Number { .. } => match () {
            // `Smith St 12`
            () if has(STREET) && matches!(mark, Mark::Slash | Mark::Hyphen) => 8,
            () if has(STREET) => 4,
            // The number of something else: `NSW 12`.
            () if path.last == STATE && mark == Mark::Space => 6,
            () => 0,
        },
        Role::Street => {
            let place = match () {
                () if path.last & (NUMBER | LOT) != 0 => 0,
                () if has(NUMBER | LOT) => 3,
                () => 2,
            };
            place + u16::from(has(LOCALITY)) * 3
        }
        Role::Locality => match () {
            () if path.last == STREET && begins => 0,
            () if path.last == STREET => 1,
            () if has(STREET) && begins => 1,
            () if has(STREET) => 2,
            () if given == 0 || given == POSTAL => 1,
            () if path.last & (NUMBER | LOT) != 0 => 4,
            () => 2,
        },
        Role::State(_) => match () {
            () if has(STATE) => 1,
            () if given == 0 => 2,
            () if path.last & (LOCALITY | POSTCODE) != 0 || begins => 0,
            () if path.last == STREET => 1,
            () if path.last & (NUMBER | FLAT) != 0 => 5,
            () => 2,
        },
        Role::Postcode { .. } => match () {
            // `AU-2170`
            () if mark == Mark::Hyphen && lattice.is_country(at - 1) => 0,
            () if matches!(mark, Mark::Slash | Mark::Hyphen) && path.last & (STATE | LOCALITY) == 0 => return None,
            () if has(POSTCODE) => 2,
            () if path.last & (LOCALITY | STATE) != 0 => 0,
            () if path.last == STREET => 1,
            () if given == 0 => 4,
            () if path.last & (NUMBER | FLAT | LOT) != 0 => 6,
            () => 3,
        },
        Role::Name => {
            if lattice.claims[at] {
                return None;
            }
            let digits = super::lattice::has_digit(&lattice.words[at].text);
            let front = !has(NUMBER | LOT | STREET | LOCALITY | STATE | POSTCODE);
            if digits && !front {
                return None;
            }
            let going_on = path.last == NAME && !begins;
            let word = if front { 1 } else { 2 } + u16::from(digits);
            let start = match () {
                () if going_on => 0,
                () if front => 2,
                () if begins || has(STATE | POSTCODE) => 3,
                () => 5,
            };
            word + start
        }
        Role::Again if path.last != LOCALITY || path.from as usize + (span.to - at) != at => return None,
        Role::Again | Role::Stray | Role::Foreign | Role::Beside => 0,
        Role::Aside { after: true } if !(has(NUMBER | LOT) && has(STREET)) => return None,
        Role::Joint if path.last & (NUMBER | STREET | FLAT | NAME) == 0 => return None,
        Role::Plan | Role::Joint | Role::Country | Role::Aside { .. } | Role::Contact | Role::Blank | Role::Postal => 0,
    };
    Some(cost + span.cost)
}

/// What is missing at the end.
fn rest(given: u16) -> u16 {
    let lacks = |bits: u16| given & bits == 0;
    let street = if lacks(STREET) { if lacks(NUMBER | LOT) { 1 } else { 5 } } else { 0 };
    let number = if lacks(NUMBER | LOT | POSTAL) { 2 } else { 0 };
    let locality = if lacks(LOCALITY) { if lacks(POSTCODE) { 2 } else { 1 } } else { 0 };
    street + number + locality
}

/// A labelling: spans that follow each other from the first word to the last, each with where it begins; and its cost.
pub(super) type Labelling<'l> = (Vec<(usize, &'l Span)>, u16);

/// The cheapest labellings.
pub(super) fn labellings<'l>(lattice: &'l Lattice<'_>, width: Width) -> Vec<Labelling<'l>> {
    let count = lattice.words.len();
    let mut paths = vec![Path { before: 0, from: 0, span: 0, cost: 0, given: 0, last: 0 }];
    let mut reached: Vec<Vec<u32>> = vec![Vec::new(); count + 1];
    reached[0].push(0);
    for at in 0..=count {
        let mut here = std::mem::take(&mut reached[at]);
        let end = at == count;
        here.sort_by_key(|&path| {
            (paths[path as usize].cost + if end { rest(paths[path as usize].given) } else { 0 }, path)
        });
        let mut kept: HashMap<(u16, u16), usize> = HashMap::new();
        let most = if end { width.labellings } else { width.paths / if count > LONG { 3 } else { 1 } };
        let per_state = if end { usize::MAX } else { PER_STATE };
        here.retain(|&path| {
            let Path { given, last, .. } = paths[path as usize];
            let of_state = kept.entry((given, last)).or_default();
            *of_state += 1;
            *of_state <= per_state
        });
        here.truncate(most);
        if end {
            return here.iter().map(|&path| walk(lattice, &paths, path)).collect();
        }
        for path in here {
            for (index, span) in lattice.spans[at].iter().enumerate() {
                let before = paths[path as usize];
                let Some(cost) = step(lattice, &before, at, span) else { continue };
                let role = bit(&span.role);
                paths.push(Path {
                    before: path,
                    from: at as u16,
                    span: index as u16,
                    cost: before.cost.saturating_add(cost),
                    given: before.given | (role & !(NAME | OTHER)),
                    last: role,
                });
                reached[span.to].push(paths.len() as u32 - 1);
            }
        }
    }
    Vec::new()
}

fn walk<'l>(lattice: &'l Lattice<'_>, paths: &[Path], end: u32) -> Labelling<'l> {
    let Path { given, cost, .. } = paths[end as usize];
    let mut spans = Vec::new();
    let mut path = end;
    while path != 0 {
        let Path { before, from, span, .. } = paths[path as usize];
        spans.push((from as usize, &lattice.spans[from as usize][span as usize]));
        path = before;
    }
    spans.reverse();
    (spans, cost.saturating_add(rest(given)))
}
