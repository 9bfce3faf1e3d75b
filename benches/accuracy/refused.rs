//! Texts that say something against the address they seem to name, that name no street, or that are not places at all.
//!
//! A contradiction must not validate, nor must a text without a street; a box or bag of the post must not be geocoded.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, IteratorRandom};

use super::ask::{Ask, Question};
use super::habits::state_name;
use super::sample::{Address, Sample};
use super::wording::{label, place, street_line, titled};

const STATES: &[&str] = &["NSW", "VIC", "QLD", "SA", "WA", "TAS", "NT", "ACT"];
const COUNTRIES: &[&str] =
    &["New Zealand", "Canada", "United Kingdom", "USA", "Ireland", "South Africa", "Singapore", "India"];
const WHERE: &[&str] = &["Opposite", "Behind", "Next to", "Near", "Across from", "Adjacent to", "Corner of"];
const BOXES: &[&str] = &[
    "PO Box",
    "P.O. Box",
    "GPO Box",
    "Post Office Box",
    "Locked Bag",
    "Private Bag",
    "RMB",
    "RSD",
    "Roadside Mail Box",
    "Roadside Delivery",
    "CMB",
    "Reply Paid",
    "Mail Service",
    "POBox",
    "Private Mail Bag",
    "Parcel Locker",
];
const FLOORS: &[&str] =
    &["Unit Seven", "Level 9", "Shop 31", "Suite 402", "Ground Floor Shop 5", "Flat Nine", "Apartment 77B"];

/// Contradictions that each address is given.
const PER_ADDRESS: usize = 2;

/// Adds the questions that must be refused.
pub(crate) fn write(address: &Address, sample: &Sample, rng: &mut StdRng, out: &mut Vec<Question>) {
    let mut ask = |class: &'static str, text: String, ask: Ask| {
        out.push(Question { class, text, expected: None, ask });
    };
    for (class, text) in contradictions(address, sample, rng).into_iter().choose_multiple(rng, PER_ADDRESS) {
        ask(class, text, Ask::Validate);
    }
    let number = rng.random_range(1..400_u32);
    let place = titled(&place(address));
    let text = match rng.random_range(0..4) {
        0 => format!("{number} {place}"),
        1 => format!("{number}, {}", titled(&address.locality)),
        2 => format!("Unit {}, {number}, {place}", number % 20 + 1),
        _ => format!("Lot {number} {place}"),
    };
    ask("no street", text, Ask::Validate);
    let postal = format!("{} {number}, {place}", BOXES.choose(rng).copied().unwrap_or_default());
    let postal = if rng.random_bool(0.3) { format!("Acme Pty Ltd, {postal}") } else { postal };
    ask("postal", postal.clone(), Ask::Geocode);
    ask("postal", postal, Ask::Validate);
}

fn contradictions(address: &Address, sample: &Sample, rng: &mut StdRng) -> Vec<(&'static str, String)> {
    if address.first.is_empty() || address.postcode.is_empty() {
        return Vec::new();
    }
    let (plain, line, place) = (titled(&label(address)), titled(&street_line(address)), titled(&place(address)));
    let mut texts = Vec::new();
    let mut push = |class, text: String| texts.push((class, text));
    let has_namesake =
        |state: &str| sample.localities.iter().any(|(name, other, _)| *name == address.locality && other == state);
    let other: Vec<&str> =
        STATES.iter().copied().filter(|state| *state != address.state && !has_namesake(state)).collect();
    let other = other.choose(rng).copied().unwrap_or_default();
    let without = titled(&label(&Address { state: String::new(), postcode: String::new(), ..address.clone() }));
    push("contradiction: another state", format!("{without} {other}"));
    push("contradiction: another state in full", format!("{without}, {}", state_name(other)));
    push("contradiction: another state behind", format!("{plain}, {}", state_name(other)));
    if let Some(country) = COUNTRIES.choose(rng) {
        push("contradiction: another country", format!("{plain}, {country}"));
    }
    push("contradiction: postcode too long", format!("{plain}{}", rng.random_range(0..10)));
    push("contradiction: postcode too short", format!("{without} {} {}", address.state, &address.postcode[..3]));
    if let Some((town, state, _)) = another_town(address, sample, rng) {
        push("contradiction: another town behind", format!("{plain}, {}", titled(&town)));
        // One of the same state may be taken for the city or region around the suburb.
        let abroad = |(name, of, _): &(String, String, String)| *name == town && *of == address.state;
        if state != address.state && !sample.localities.iter().any(abroad) {
            push(
                "contradiction: another town between",
                format!("{}, {}, {place}", without_place(address), titled(&town)),
            );
        }
    }
    if let Some((name, kind)) = another_street(address, sample, rng) {
        push(
            "contradiction: another street",
            format!("{}, {} {}, {place}", without_place(address), titled(&name), titled(&kind)),
        );
    }
    let flats = sample.flats.get(&(address.street_key(), address.first.clone()));
    if address.flat.is_empty() && address.level.is_empty() && flats.is_none_or(|flats| flats.len() < 2) {
        let unit = FLOORS.choose(rng).copied().unwrap_or_default();
        push("contradiction: unit on a house", format!("{unit}, {plain}"));
        push("contradiction: unit behind a house", format!("{line}, {unit}, {place}"));
        push("contradiction: unit behind all", format!("{plain}, {unit}"));
        if address.lot.is_empty() {
            push("contradiction: number as a lot", format!("Lot No. {line}, {place}"));
        }
        let word = WHERE.choose(rng).copied().unwrap_or_default();
        push("contradiction: near it", format!("{word} {plain}"));
        push("contradiction: box and street", format!("Acme Pty Ltd, PO Box {line}, {place}"));
    }
    texts
}

/// Everything in front of the locality.
fn without_place(address: &Address) -> String {
    let none = Address { locality: String::new(), state: String::new(), postcode: String::new(), ..address.clone() };
    titled(&label(&none)).trim_end_matches([',', ' ']).to_owned()
}

/// A town of the sample that is neither this one, nor an alias or a neighbour of it, nor contains its name.
fn another_town(address: &Address, sample: &Sample, rng: &mut StdRng) -> Option<(String, String, String)> {
    let own = (address.locality.clone(), address.state.clone());
    let near = |name: &str| {
        [&sample.aliases, &sample.neighbours]
            .iter()
            .any(|names| names.get(&own).is_some_and(|all| all.iter().any(|other| other == name)))
    };
    (0..20)
        .filter_map(|_| sample.localities.choose(rng))
        .find(|(name, ..)| {
            !near(name) && !name.contains(&address.locality) && !address.locality.contains(name.as_str())
        })
        .cloned()
}

/// A street of the same locality with another name.
fn another_street(address: &Address, sample: &Sample, rng: &mut StdRng) -> Option<(String, String)> {
    let own = sample.streets.get(&(address.locality.clone(), address.state.clone()))?;
    (0..40)
        .filter_map(|_| sample.street_names.choose(rng))
        .find(|(name, kind)| {
            let (locality, state) = (address.locality.clone(), address.state.clone());
            let street = (name.clone(), kind.clone(), String::new(), locality, state);
            !kind.is_empty()
                && own.contains(name)
                && sample.numbers.contains_key(&street)
                && strsim::osa_distance(name, &address.street) > 3
        })
        .cloned()
}
