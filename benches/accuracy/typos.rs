//! One slip of the finger in a word of five or more letters.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::sample::{Address, Sample};
use super::wording::{street_line, titled, with_unit};

/// The class of the slip, and the address with it; `None` when it has no word that is long enough, or when the wrong word is
/// a name of its own here, so that nobody could know what is meant.
pub(crate) fn typo(address: &Address, sample: &Sample, rng: &mut StdRng) -> Option<(&'static str, String)> {
    let parts = [&address.street, &address.street_type, &address.locality];
    let words: Vec<&str> = parts
        .into_iter()
        .flat_map(|part| part.split(' '))
        .filter(|word| word.len() >= 5 && word.bytes().all(|b| b.is_ascii_uppercase()))
        .collect();
    let word = *words.choose(rng)?;
    let (class, wrong) = slip(word, rng);
    let changed =
        |part: &str| part.split(' ').map(|w| if w == word { &wrong } else { w }).collect::<Vec<_>>().join(" ");
    let [street, street_type, locality] = parts.map(|part| changed(part));
    let known = sample.streets.get(&(address.locality.clone(), address.state.clone()));
    let is_other_street = street != address.street && known.is_some_and(|all| all.contains(&street));
    let is_other_locality =
        locality != address.locality && sample.localities.iter().any(|(name, ..)| *name == locality);
    if wrong == word || is_other_street || is_other_locality {
        return None;
    }
    let changed = Address { street, street_type, locality, ..address.clone() };
    Some((class, titled(&with_unit(&changed, &street_line(&changed)))))
}

fn slip(word: &str, rng: &mut StdRng) -> (&'static str, String) {
    let mut letters = word.as_bytes().to_vec();
    let at = rng.random_range(0..letters.len());
    let letter = rng.random_range(b'A'..=b'Z');
    let class = match rng.random_range(0..4) {
        0 => {
            letters[at] = letter;
            "typo: other letter"
        }
        1 => {
            letters.remove(at);
            "typo: letter missing"
        }
        2 => {
            letters.insert(at, letter);
            "typo: letter too many"
        }
        _ => {
            letters.swap(at.max(1) - 1, at.max(1));
            "typo: letters swapped"
        }
    };
    (class, String::from_utf8_lossy(&letters).into_owned())
}
