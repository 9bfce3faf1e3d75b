//! Habits of writing that no code table knows: one address in the notations, orders and company in which it arrives.
//!
//! None of them changes what is meant, so each must be found, and no other address may be called valid for it. The wordings
//! are this bench's own; the service must not be built for them.

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, IteratorRandom};

use super::ask::{Ask, Expected, Question};
use super::sample::{Address, Sample};
use super::wording::{spaced, street_line, titled};

/// Habits that each address is written in, chosen at random: with all addresses each habit is met thousands of times.
const PER_ADDRESS: usize = 4;

const DIGITS: &[&str] = &[
    "Zero",
    "One",
    "Two",
    "Three",
    "Four",
    "Five",
    "Six",
    "Seven",
    "Eight",
    "Nine",
    "Ten",
    "Eleven",
    "Twelve",
    "Thirteen",
    "Fourteen",
    "Fifteen",
    "Sixteen",
    "Seventeen",
    "Eighteen",
    "Nineteen",
    "Twenty",
];
const ORDINALS: &[&str] =
    &["", "First", "Second", "Third", "Fourth", "Fifth", "Sixth", "Seventh", "Eighth", "Ninth", "Tenth"];
const NUMERALS: &[&str] = &["", "1st", "2nd", "3rd", "4th", "5th", "6th", "7th", "8th", "9th", "10th"];
const COMPANIES: &[&str] = &[
    "Bunbury & Daughters Pty Ltd",
    "Quill Dental Group",
    "The Tyre Factory",
    "Office of the Registrar",
    "Lotus Nails",
    "Dr M. Okafor",
    "Attn: Accounts",
    "c/o Mrs Iyer",
    "Care of Reception",
    "Harbourside Physio",
    "Mr & Mrs T Nguyen",
];
const BUILDINGS: &[&str] =
    &["Acacia House", "Nexus Business Hub", "Riverview Apartments", "Kmart Complex", "The Old Dairy"];
const NOTES: &[&str] = &[
    "N/A",
    "Nil",
    "ph 03 9123 4567",
    "0412 345 678",
    "jo@example.com",
    "(rear of building)",
    "leave at door",
    "Mob: 0400111222",
];

/// The parts of an address as a person writes them.
struct Parts {
    unit: String,
    line: String,
    locality: String,
    state: String,
    postcode: String,
}

impl Parts {
    fn of(address: &Address) -> Self {
        let level = spaced(&[&address.level_type, &address.level]);
        let unit = spaced(&[&address.flat_type, &address.flat]);
        let unit = [unit, level].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ");
        Self {
            unit: titled(&unit),
            line: titled(&street_line(address)),
            locality: titled(&address.locality),
            state: address.state.clone(),
            postcode: address.postcode.clone(),
        }
    }

    fn front(&self) -> String {
        if self.unit.is_empty() { self.line.clone() } else { format!("{}, {}", self.unit, self.line) }
    }

    fn with_state(&self, state: &str) -> String {
        format!("{}, {} {state} {}", self.front(), self.locality, self.postcode)
    }

    fn tail(&self) -> String {
        spaced(&[&self.locality, &self.state, &self.postcode])
    }

    fn plain(&self) -> String {
        format!("{}, {}", self.front(), self.tail())
    }

    fn all(&self, separator: &str) -> String {
        let parts = [&self.unit, &self.line, &self.locality, &self.state, &self.postcode];
        parts.into_iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join(separator)
    }
}

/// The name of a state in full.
pub(crate) fn state_name(code: &str) -> &'static str {
    match code {
        "NSW" => "New South Wales",
        "VIC" => "Victoria",
        "QLD" => "Queensland",
        "SA" => "South Australia",
        "WA" => "Western Australia",
        "TAS" => "Tasmania",
        "NT" => "Northern Territory",
        "ACT" => "Australian Capital Territory",
        _ => "Other Territories",
    }
}

/// Adds a few of the habits that this address can be written in.
pub(crate) fn write(address: &Address, sample: &Sample, rng: &mut StdRng, out: &mut Vec<Question>) {
    if address.first.is_empty() || address.postcode.is_empty() || address.street.is_empty() {
        return;
    }
    let forms = forms(address, sample, rng);
    for (class, text) in forms.into_iter().choose_multiple(rng, PER_ADDRESS) {
        let expected = Expected { pid: address.pid.clone(), label: address.label.clone() };
        out.push(Question { class, text, expected: Some(expected), ask: Ask::Written });
    }
}

fn forms(address: &Address, sample: &Sample, rng: &mut StdRng) -> Vec<(&'static str, String)> {
    let parts = Parts::of(address);
    let mut forms = Vec::new();
    states(&parts, &mut forms);
    separators(&parts, &mut forms);
    orders(&parts, &mut forms);
    company(&parts, rng, &mut forms);
    leftovers(&parts, &mut forms);
    numbers(address, &parts, &mut forms);
    units(address, &parts, sample, &mut forms);
    names(address, &parts, sample, rng, &mut forms);
    forms
}

type Forms = Vec<(&'static str, String)>;

fn states(parts: &Parts, forms: &mut Forms) {
    let letters: Vec<String> = parts.state.chars().map(String::from).collect();
    forms.push(("habit: state dotted", parts.with_state(&format!("{}.", letters.join(".")))));
    forms.push(("habit: state spaced", parts.with_state(&letters.join(" "))));
    forms.push(("habit: state in full", parts.with_state(state_name(&parts.state))));
    forms.push(("habit: state ISO 3166-2", parts.with_state(&format!("AU-{}", parts.state))));
    forms
        .push(("habit: state both ways", parts.with_state(&format!("{} ({})", state_name(&parts.state), parts.state))));
    forms.push(("habit: state in brackets", parts.with_state(&format!("({})", parts.state))));
    let glued = format!("{}, {} {}{}", parts.front(), parts.locality, parts.state, parts.postcode);
    forms.push(("habit: state glued", glued));
    let twice = format!("{}, {} {} {}, {}", parts.front(), parts.locality, parts.state, parts.postcode, parts.state);
    forms.push(("habit: state twice", twice));
    forms.push(("habit: postcode twice", format!("{}, {}", parts.plain(), parts.postcode)));
    forms.push(("habit: suburb twice", format!("{}, {}, {}", parts.front(), parts.locality, parts.tail())));
}

fn separators(parts: &Parts, forms: &mut Forms) {
    for (class, separator) in [
        ("habit: hyphens between", " - "),
        ("habit: slashes between", " / "),
        ("habit: pipes between", " | "),
        ("habit: tabs between", "\t"),
        ("habit: lines", "\n"),
        ("habit: lines of Windows", "\r\n"),
        ("habit: semicolons", "; "),
        ("habit: commas everywhere", ","),
        ("habit: full stops", ". "),
        ("habit: bullets", " • "),
    ] {
        forms.push((class, parts.all(separator)));
    }
    forms.push(("habit: no commas", parts.all(" ")));
    forms.push(("habit: shouted, padded", format!("   {}  ", parts.plain().to_uppercase().replace(", ", "  ,  "))));
    forms.push(("habit: quoted", format!("\"{}\"", parts.plain())));
}

fn orders(parts: &Parts, forms: &mut Forms) {
    let front = parts.front();
    forms.push(("habit: suburb first", format!("{}, {front}, {} {}", parts.locality, parts.state, parts.postcode)));
    forms.push(("habit: state first", format!("{}, {}, {front}, {}", parts.state, parts.locality, parts.postcode)));
    forms.push(("habit: postcode first", format!("{} {}, {front}", parts.postcode, parts.locality)));
    forms.push((
        "habit: postcode before state",
        format!("{front}, {} {} {}", parts.locality, parts.postcode, parts.state),
    ));
    forms.push(("habit: tail first", format!("{}, {front}", parts.tail())));
    forms.push(("habit: country first", format!("Australia, {}", parts.plain())));
    forms.push(("habit: country last", format!("{}, Australia", parts.plain())));
    forms.push(("habit: country code", format!("{} AU", parts.plain())));
    forms.push(("habit: country between", format!("{front}, {}, Australia {}", parts.locality, parts.postcode)));
}

fn company(parts: &Parts, rng: &mut StdRng, forms: &mut Forms) {
    let mut one = |words: &[&str]| words.choose(rng).copied().unwrap_or_default().to_owned();
    let (name, building, note) = (one(COMPANIES), one(BUILDINGS), one(NOTES));
    let (front, tail) = (parts.front(), parts.tail());
    forms.push(("habit: company in front", format!("{name}, {}", parts.plain())));
    forms.push(("habit: company on a line", format!("{name}\n{front}\n{tail}")));
    forms.push(("habit: company behind", format!("{}, {name}", parts.plain())));
    forms.push(("habit: building in front", format!("{building}, {}", parts.plain())));
    forms.push(("habit: building between", format!("{front}, {building}, {tail}")));
    forms.push(("habit: note between", format!("{front}, {note}, {tail}")));
    forms.push(("habit: note behind", format!("{}, {note}", parts.plain())));
    forms.push(("habit: plan reference", format!("Lot 7 DP 654321, {}", parts.plain())));
    forms.push(("habit: plan behind", format!("{} (SP 12345)", parts.plain())));
}

fn leftovers(parts: &Parts, forms: &mut Forms) {
    let plain = parts.plain();
    forms.push(("habit: %20", plain.replace(' ', "%20")));
    forms.push(("habit: &nbsp;", plain.replace(' ', "&nbsp;")));
    forms.push(("habit: no-break space", plain.replace(' ', "\u{a0}")));
    forms.push(("habit: <br/>", parts.all("<br/>")));
    forms.push(("habit: <br>", format!("{}<br>{}", parts.front(), parts.tail())));
    forms.push(("habit: literal \\n", format!("{}\\n{}", parts.front(), parts.tail())));
    forms.push(("habit: byte-order mark", format!("\u{feff}{plain}")));
    let wide = |c: char| match c {
        '!'..='~' => char::from_u32(c as u32 + 0xfee0).unwrap_or(c),
        ' ' => '\u{3000}',
        other => other,
    };
    forms.push(("habit: full-width", plain.chars().map(wide).collect()));
    forms.push(("habit: zero-width", plain.replace(' ', " \u{200b}")));
    if plain.contains('\'') {
        forms.push(("habit: &#39;", plain.replace('\'', "&#39;")));
        forms.push(("habit: typographic '", plain.replace('\'', "\u{2019}")));
    }
}

/// The street line with another number in it.
fn renumbered(address: &Address, number: &str) -> String {
    titled(&street_line(&Address { first: "@".to_owned(), last: String::new(), ..address.clone() }))
        .replacen('@', number, 1)
}

fn numbers(address: &Address, parts: &Parts, forms: &mut Forms) {
    let mut push = |class, line: String| {
        let front = if parts.unit.is_empty() { line } else { format!("{}, {line}", parts.unit) };
        forms.push((class, format!("{front}, {}", parts.tail())));
    };
    if address.last.is_empty() {
        let digits = address.first.bytes().all(|b| b.is_ascii_digit());
        if digits && address.street.starts_with(|c: char| c.is_ascii_alphabetic()) {
            push("habit: number glued", parts.line.replacen(' ', "", 1));
        }
        if digits {
            push("habit: number as Excel's", renumbered(address, &format!("{}.0", address.first)));
            push("habit: number with zeros", renumbered(address, &format!("0{}", address.first)));
            push("habit: No. 12", renumbered(address, &format!("No. {}", address.first)));
            if address.first.len() > 3 {
                let (head, rest) = address.first.split_at(address.first.len() - 3);
                push("habit: thousands comma", renumbered(address, &format!("{head},{rest}")));
            }
        } else {
            let at = address.first.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(0);
            let (digits, letter) = address.first.split_at(at);
            if !digits.is_empty() {
                push("habit: letter apart", renumbered(address, &format!("{digits} {letter}")));
                push("habit: letter hyphened", renumbered(address, &format!("{digits}-{letter}")));
            }
        }
        return;
    }
    for (class, word) in [
        ("habit: range to", " to "),
        ("habit: range and", " and "),
        ("habit: range through", " through "),
        ("habit: range &", " & "),
        ("habit: range +", "+"),
        ("habit: range ~", "~"),
        ("habit: range en dash", "\u{2013}"),
        ("habit: range minus", "\u{2212}"),
        ("habit: range spaced dash", " - "),
    ] {
        push(class, renumbered(address, &format!("{}{word}{}", address.first, address.last)));
    }
}

fn units(address: &Address, parts: &Parts, sample: &Sample, forms: &mut Forms) {
    if address.level_type == "LEVEL"
        && let Ok(level @ 1..=10) = address.level.parse::<usize>()
    {
        let unit = titled(&spaced(&[&address.flat_type, &address.flat]));
        let mut push =
            |class, level: String| forms.push((class, format!("{unit}, {level}, {}, {}", parts.line, parts.tail())));
        push("habit: floor in words", format!("{} Floor", ORDINALS[level]));
        push("habit: floor ordinal", format!("{} Floor", NUMERALS[level]));
        push("habit: floor and number", format!("Floor {level}"));
        push("habit: level in words", format!("Level {}", DIGITS[level]));
    }
    if address.flat.is_empty() || !address.level_type.is_empty() {
        return;
    }
    let word = if address.flat_type.is_empty() { "Unit".to_owned() } else { titled(&address.flat_type) };
    let (flat, line, tail) = (&address.flat, &parts.line, parts.tail());
    let mut push = |class, text: String| forms.push((class, text));
    push("habit: unit behind the street", format!("{line}, {word} {flat}, {tail}"));
    push("habit: unit behind, no commas", format!("{line} {word} {flat} {tail}"));
    push("habit: unit behind all", format!("{line}, {tail}, {word} {flat}"));
    push("habit: unit on a line", format!("{line}\n{word} {flat}\n{tail}"));
    push("habit: unit in brackets", format!("{line} ({word} {flat}), {tail}"));
    push("habit: unit in front, brackets", format!("({word} {flat}) {line}, {tail}"));
    push("habit: Unit No. 3", format!("{word} No. {flat}, {line}, {tail}"));
    push("habit: unit hash", format!("#{flat}, {line}, {tail}"));
    push("habit: Unit #3", format!("{word} #{flat} {line}, {tail}"));
    if matches!(address.flat_type.as_str(), "UNIT" | "") {
        push("habit: Apt for Unit", format!("Apt {flat}, {line}, {tail}"));
        push("habit: U at the end", format!("{line}, U{flat}, {tail}"));
    }
    if let Ok(number) = flat.parse::<usize>() {
        push("habit: unit with zeros", format!("{word} 0{number}, {line}, {tail}"));
        push("habit: 03/12", format!("0{number}/{line}, {tail}"));
        if (1..=20).contains(&number) {
            push("habit: unit in words", format!("{word} {}, {line}, {tail}", DIGITS[number]));
        }
        let flats = sample.flats.get(&(address.street_key(), address.first.clone()));
        if flats.is_some_and(|flats| flats.contains(&(number + 1).to_string())) {
            push("habit: two units", format!("{word}s {number} & {}, {line}, {tail}", number + 1));
        }
    } else if let Some(at) = flat.find(|c: char| c.is_ascii_digit())
        && at == 1
    {
        let (block, number) = flat.split_at(at);
        push("habit: block letter apart", format!("{block} {number}/{line}, {tail}"));
    }
}

/// Street types as fingers and ears get them wrong; no code table has these.
const MISSPELT: &[(&str, &str)] = &[
    ("STREET", "Steet"),
    ("STREET", "Stret"),
    ("ROAD", "Raod"),
    ("ROAD", "Rode"),
    ("AVENUE", "Avenu"),
    ("AVENUE", "Avanue"),
    ("CRESCENT", "Cresent"),
    ("CRESCENT", "Crecent"),
    ("COURT", "Cuort"),
    ("DRIVE", "Drvie"),
    ("PLACE", "Palce"),
    ("PARADE", "Prade"),
    ("HIGHWAY", "Higway"),
    ("TERRACE", "Terrase"),
    ("BOULEVARD", "Boulavard"),
    ("CLOSE", "Cloes"),
];

fn names(address: &Address, parts: &Parts, sample: &Sample, rng: &mut StdRng, forms: &mut Forms) {
    let mut push = |class, changed: Address| {
        let line = titled(&street_line(&changed));
        let front = if parts.unit.is_empty() { line } else { format!("{}, {line}", parts.unit) };
        forms.push((class, format!("{front}, {}", parts.tail())));
    };
    let with_type = |street_type: &str| Address { street_type: street_type.to_owned(), ..address.clone() };
    if address.suffix.is_empty() && !address.street_type.is_empty() {
        let wrong: Vec<_> = MISSPELT.iter().filter(|(right, _)| *right == address.street_type).collect();
        if let Some((_, wrong)) = wrong.choose(rng) {
            push("habit: type misspelt", with_type(wrong));
        }
        let short = match address.street_type.as_str() {
            "STREET" => "St",
            "ROAD" => "Rd",
            "AVENUE" => "Ave",
            "COURT" => "Ct",
            "DRIVE" => "Dr",
            _ => "",
        };
        if !short.is_empty() {
            push("habit: type doubled", with_type(&format!("{} {short}", address.street_type)));
        }
    }
    let streets = sample.streets.get(&(address.locality.clone(), address.state.clone()));
    let is_street = |name: &str| streets.is_some_and(|all| all.contains(name));
    let with_name = |street: String| Address { street, ..address.clone() };
    for (class, short, long) in [
        ("habit: Saint for St", "ST ", "SAINT "),
        ("habit: St for Saint", "SAINT ", "ST "),
        ("habit: Mount for Mt", "MT ", "MOUNT "),
        ("habit: Mt for Mount", "MOUNT ", "MT "),
        ("habit: The left out", "THE ", ""),
    ] {
        if let Some(rest) = address.street.strip_prefix(short)
            && !is_street(&format!("{long}{rest}"))
            && !(long.is_empty() && address.street_type.is_empty())
        {
            push(class, with_name(format!("{long}{rest}")));
        }
    }
    if parts.unit.is_empty() && !address.street_type.is_empty() {
        let line = parts.line.to_lowercase();
        forms.push(("habit: corner in brackets", format!("{line} (cnr Xyzzy St), {}", parts.tail())));
    }
}
