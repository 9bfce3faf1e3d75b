//! The requests of each endpoint, and the bars they are held to.

use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use crate::drawn::Drawn;

/// One endpoint: how a request is worded, and the most milliseconds at the 95th percentile.
pub(crate) struct Endpoint {
    pub(crate) name: &'static str,
    pub(crate) bar: f64,
    pub(crate) request: fn(&Drawn, &mut StdRng) -> Request,
}

pub(crate) const ENDPOINTS: &[Endpoint] = &[
    Endpoint { name: "search", bar: 20.0, request: search },
    Endpoint { name: "validate", bar: 15.0, request: |a, rng| Request::address("addresses/validate", a, rng) },
    Endpoint { name: "geocode", bar: 15.0, request: |a, rng| Request::address("addresses/geocode", a, rng) },
    Endpoint { name: "reverse-geocode", bar: 10.0, request: reverse },
    Endpoint { name: "proximity 1 km", bar: 10.0, request: |a, rng| Request::near("spatial/proximity", a, rng) },
    Endpoint { name: "boundaries", bar: 5.0, request: |a, rng| Request::near("spatial/boundaries", a, rng) },
    Endpoint {
        name: "statistical areas",
        bar: 5.0,
        request: |a, rng| Request::near("spatial/statistical-areas", a, rng),
    },
];

/// A request to be sent.
pub(crate) enum Request {
    Get(&'static str, Vec<(&'static str, String)>),
    Post(&'static str, Value),
}

impl Request {
    /// Sends it.
    pub(crate) fn send(
        self,
        client: &reqwest::Client,
        url: &str,
    ) -> impl Future<Output = reqwest::Result<reqwest::Response>> + use<> {
        match self {
            Self::Get(path, query) => client.get(format!("{url}/api/v1/{path}")).query(&query).send(),
            Self::Post(path, body) => client.post(format!("{url}/api/v1/{path}")).json(&body).send(),
        }
    }

    fn address(path: &'static str, address: &Drawn, rng: &mut StdRng) -> Self {
        Self::Post(path, json!({"address": typed(address, rng)}))
    }

    fn near(path: &'static str, address: &Drawn, rng: &mut StdRng) -> Self {
        let (latitude, longitude) = moved(address, rng);
        Self::Post(path, json!({"coordinates": {"latitude": latitude, "longitude": longitude}}))
    }
}

/// A whole address: three in five as published, one in five without its postcode, one in five with a slip of the finger.
fn typed(address: &Drawn, rng: &mut StdRng) -> String {
    let Drawn { unit, number, street, street_type, locality, state, postcode, .. } = address;
    let unit = if unit.is_empty() { String::new() } else { format!("{unit}/") };
    match rng.random_range(0..5) {
        0 => format!("{unit}{number} {street} {street_type}, {locality} {state}").to_lowercase(),
        1 => format!("{unit}{number} {} {street_type}, {locality} {state} {postcode}", slipped(street, rng)),
        _ => format!("{unit}{number} {street} {street_type}, {locality} {state} {postcode}"),
    }
}

/// One letter of a word of five or more left out.
fn slipped(word: &str, rng: &mut StdRng) -> String {
    if word.len() < 5 || !word.is_ascii() {
        return word.to_owned();
    }
    let mut letters = word.to_owned();
    letters.remove(rng.random_range(1..word.len()));
    letters
}

/// Half of what reaches a search box is unfinished.
fn search(address: &Drawn, rng: &mut StdRng) -> Request {
    let Drawn { number, street, street_type, locality, .. } = address;
    let begun = |text: &str| text.chars().take(3 + text.len() / 3).collect::<String>();
    let query = match rng.random_range(0..6) {
        0 => format!("{number} {}", begun(street)),
        1 => format!("{number} {street} {}", begun(street_type)),
        2 => format!("{number} {street} {street_type} {}", begun(locality)),
        3 => format!("{street} {street_type} {locality}"),
        _ => typed(address, rng),
    };
    Request::Get("addresses/search", vec![("q", query)])
}

/// Up to about 100 metres away.
fn moved(address: &Drawn, rng: &mut StdRng) -> (f64, f64) {
    let mut by = || rng.random_range(-0.0009..0.0009);
    (address.latitude + by(), address.longitude + by())
}

fn reverse(address: &Drawn, rng: &mut StdRng) -> Request {
    let (latitude, longitude) = moved(address, rng);
    Request::Get(
        "addresses/reverse-geocode",
        vec![("latitude", latitude.to_string()), ("longitude", longitude.to_string())],
    )
}
