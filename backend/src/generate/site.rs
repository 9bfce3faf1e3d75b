//! One site on a street: what stands there and which addresses it has. Shares are those observed in 108,301 real addresses:
//! 28 % flats, 0.4 % levels, 6.7 % ranges, 0.1 % only a lot.

use rand::Rng;

/// One address of a site.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unit {
    pub(crate) flat_type: &'static str,
    pub(crate) flat_number: u32,
    /// 0: none given.
    pub(crate) level: u32,
}

/// What stands at one house number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Site {
    /// 0: a lot without a number.
    pub(crate) number: u32,
    pub(crate) suffix: &'static str,
    /// 0: no range.
    pub(crate) last: u32,
    pub(crate) lot: u32,
    /// Empty: a house. Else the units beside the building's own address.
    pub(crate) units: Vec<Unit>,
    pub(crate) named: bool,
    /// Known only by its street: its point is the street's.
    pub(crate) vague: bool,
}

/// Sites that have units; with five and a half units on average beside the building's own address, 28 % of addresses are flats.
const WITH_UNITS: f64 = 0.0707;
const UNITS: std::ops::RangeInclusive<u32> = 2..=9;
/// Of units: 0.4 % of all addresses.
const WITH_LEVEL: f64 = 0.0143;
const WITH_RANGE: f64 = 0.067;
const ONLY_LOT: f64 = 0.0014;
const VAGUE: f64 = 0.015;

impl Site {
    /// The site at `number`; a range takes the next number of the same side as well.
    pub(crate) fn make(number: u32, rng: &mut impl Rng) -> Self {
        let mut site = Self { number, vague: rng.random_bool(VAGUE), ..Self::default() };
        if rng.random_bool(ONLY_LOT) {
            return Self { number: 0, lot: number, ..site };
        }
        if rng.random_bool(WITH_RANGE) {
            site.last = number + 2;
        } else if rng.random_bool(0.03) {
            site.suffix = ["A", "B", "C"][rng.random_range(0..3)];
        }
        if rng.random_bool(0.2) {
            site.lot = rng.random_range(1..400);
        }
        if rng.random_bool(WITH_UNITS) {
            site.named = rng.random_bool(0.1);
            let flat_type = flat_type(rng);
            let count = rng.random_range(UNITS);
            site.units = (1..=count)
                .map(|flat_number| {
                    let level = if rng.random_bool(WITH_LEVEL) { rng.random_range(1..=12) } else { 0 };
                    Unit { flat_type, flat_number, level }
                })
                .collect();
        }
        site
    }
}

fn flat_type(rng: &mut impl Rng) -> &'static str {
    match rng.random_range(0..1000) {
        0..880 => "UNIT",
        880..930 => "SHOP",
        930..955 => "VLLA",
        955..967 => "FLAT",
        967..977 => "SE",
        977..985 => "APT",
        985..991 => "FCTY",
        991..996 => "TNHS",
        _ => "OFFC",
    }
}

/// A street type, or none, as often as they are met.
pub(crate) fn street_type(rng: &mut impl Rng) -> &'static str {
    match rng.random_range(0..1000) {
        0..420 => "STREET",
        420..600 => "ROAD",
        600..720 => "AVENUE",
        720..780 => "DRIVE",
        780..830 => "PLACE",
        830..870 => "COURT",
        870..905 => "CRESCENT",
        905..935 => "CLOSE",
        935..955 => "PARADE",
        955..968 => "WAY",
        968..980 => "TERRACE",
        980..988 => "LANE",
        988..993 => "BOULEVARD",
        _ => "",
    }
}
