//! How many addresses go where: clusters of neighbouring real localities all over Australia, each as big as its population
//! says.

use rand::Rng;
use rand::seq::SliceRandom;

use super::gazetteer::Place;
use crate::import::find::STATES;

/// Addresses per inhabitant: 15.9 million addresses for 23.4 million people of the 2016 census, without the empty ones.
const PER_PERSON: f64 = 0.62;
/// Localities with fewer people have too few streets to be of use.
const FEWEST_PEOPLE: f64 = 50.0;
/// Localities taken together, so that neighbours are neighbours.
const CLUSTER: usize = 16;

/// One locality's part of the whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    /// Index of the place.
    pub(crate) place: usize,
    pub(crate) addresses: u64,
    /// Indices of the nearest other chosen places.
    pub(crate) neighbours: Vec<usize>,
    /// A real locality near by that isn't chosen: people call this one by its name, too.
    pub(crate) alias: Option<usize>,
}

/// Divides `addresses` over localities; ordered by state and code.
pub(crate) fn shares(places: &[Place], addresses: u64, rng: &mut impl Rng) -> Vec<Share> {
    let mut open: Vec<usize> = (0..places.len()).filter(|index| places[*index].population >= FEWEST_PEOPLE).collect();
    open.shuffle(rng);
    // One of each state first; few addresses go to few localities of moderate size.
    let mut seeds: Vec<usize> =
        STATES.iter().filter_map(|state| open.iter().copied().find(|index| places[*index].state == *state)).collect();
    seeds.extend(&open);
    let capacity: f64 = open.iter().map(|index| places[*index].population * PER_PERSON).sum();
    let factor = (addresses as f64 / capacity).max(1.0) * PER_PERSON;
    let most = (addresses / 40).max(100);
    let cluster = if addresses < 100_000 { 3 } else { CLUSTER };

    let mut taken = vec![false; places.len()];
    let mut shares = Vec::new();
    let mut left = addresses;
    for seed in seeds {
        if left == 0 {
            break;
        }
        if taken[seed] {
            continue;
        }
        for index in nearest(places, seed, &open, cluster, |index| !taken[index]) {
            let wanted = ((places[index].population * factor).ceil() as u64).clamp(20, most).min(left);
            if wanted == 0 {
                break;
            }
            taken[index] = true;
            left -= wanted;
            shares.push(Share { place: index, addresses: wanted, neighbours: Vec::new(), alias: None });
        }
    }
    // What a cap per locality leaves over goes to the biggest.
    if let Some(share) = shares.iter_mut().max_by_key(|share| share.addresses) {
        share.addresses += left;
    }
    shares.sort_by_key(|share| (places[share.place].state, places[share.place].code));
    let chosen: Vec<usize> = shares.iter().map(|share| share.place).collect();
    for share in &mut shares {
        let near = nearest(places, share.place, &chosen, 7, |index| index != share.place);
        share.neighbours =
            near.into_iter().filter(|index| places[*index].distance(&places[share.place]) < 30.0).collect();
        if rng.random_bool(0.2) {
            let others = nearest(places, share.place, &open, 1, |index| {
                !taken[index] && places[index].state == places[share.place].state
            });
            share.alias = others.into_iter().find(|index| places[*index].distance(&places[share.place]) < 30.0);
        }
    }
    shares
}

/// Up to `count` of `among`, nearest first; those at equal distance in the order of their codes.
fn nearest(
    places: &[Place],
    from: usize,
    among: &[usize],
    count: usize,
    allowed: impl Fn(usize) -> bool,
) -> Vec<usize> {
    let mut found: Vec<(f64, u64, usize)> = among
        .iter()
        .filter(|index| allowed(**index))
        .map(|index| (places[*index].distance(&places[from]), places[*index].code, *index))
        .collect();
    let by_distance = |a: &(f64, u64, usize), b: &(f64, u64, usize)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
    if found.len() > count && count > 0 {
        found.select_nth_unstable_by(count - 1, by_distance);
        found.truncate(count);
    }
    found.sort_by(by_distance);
    found.into_iter().map(|(_, _, index)| index).collect()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn places() -> Vec<Place> {
        (0..600u64)
            .map(|code| Place {
                code,
                name: format!("PLACE {code}"),
                state: STATES[code as usize % 9],
                postcode: "2000".into(),
                population: (code * 37 % 4_000) as f64,
                area: 5.0,
                latitude: -30.0 - (code % 25) as f64 / 20.0,
                longitude: 140.0 + (code / 25) as f64 / 20.0,
            })
            .collect()
    }

    proptest::proptest! {
        #[test]
        fn every_address_finds_a_place(addresses in 1u64..3_000_000, seed: u64) {
            let places = places();
            let shares = shares(&places, addresses, &mut rand_chacha::ChaCha8Rng::seed_from_u64(seed));
            proptest::prop_assert_eq!(shares.iter().map(|share| share.addresses).sum::<u64>(), addresses);
            let mut seen = std::collections::HashSet::new();
            for share in &shares {
                proptest::prop_assert!(seen.insert(share.place));
                proptest::prop_assert!(!share.neighbours.contains(&share.place));
            }
        }
    }
}
