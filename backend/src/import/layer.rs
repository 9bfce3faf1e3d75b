//! Which areas a file of outlines holds, told by the names of its properties. The Bureau of Statistics writes one name in
//! several ways: `SA2_CODE21`, `SA2_CODE_2021`, `sa2_code_2021`, `SA2_MAINCODE_2016`.
//!
//! A layer is known by its own code alone: what also carries codes that do not lie above it is some other layer, such as
//! destination zones with the SA2 around each.

/// One kind of area.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    /// As the table `area` calls it.
    pub(crate) level: &'static str,
    /// What its properties' names begin with; the first is the usual one.
    spellings: &'static [&'static str],
    /// Length of its codes.
    digits: usize,
    /// Whether it is one of the statistical areas, which appear together every five years since 2011.
    statistical: bool,
    /// Levels whose codes an area may also carry, because each of them holds it whole.
    above: &'static [&'static str],
    /// Other areas of the Bureau, not imported, whose codes it may carry as well.
    others: &'static [&'static str],
}

const fn kind(
    level: &'static str,
    spellings: &'static [&'static str],
    digits: usize,
    above: &'static [&'static str],
) -> Kind {
    Kind { level, spellings, digits, statistical: false, above, others: &[] }
}

const fn statistical(of: Kind, others: &'static [&'static str]) -> Kind {
    Kind { statistical: true, others, ..of }
}

/// The finest first.
const KINDS: [Kind; 10] = [
    statistical(
        kind("MB", &["mb", "meshblock"], 11, &["SA1", "SA2", "SA3", "SA4", "GCCSA", "STE", "LGA", "LOCALITY", "POA"]),
        OTHERS,
    ),
    statistical(
        kind("SA1", &["sa1"], 11, &["SA2", "SA3", "SA4", "GCCSA", "STE"]),
        &["ucl", "sos", "sosr", "ra", "sua", "tr", "iloc", "iare", "ireg"],
    ),
    statistical(kind("SA2", &["sa2"], 9, &["SA3", "SA4", "GCCSA", "STE"]), &["sua", "tr"]),
    statistical(kind("SA3", &["sa3"], 5, &["SA4", "GCCSA", "STE"]), &[]),
    statistical(kind("SA4", &["sa4"], 3, &["GCCSA", "STE"]), &[]),
    statistical(kind("GCCSA", &["gccsa", "gcc"], 5, &["STE"]), &[]),
    statistical(kind("STE", &["ste", "state"], 1, &[]), &[]),
    kind("LGA", &["lga"], 5, &["STE"]),
    kind("LOCALITY", &["sal", "ssc"], 5, &["STE"]),
    kind("POA", &["poa"], 4, &["STE"]),
];

/// Other areas that the Bureau publishes, as their properties' names begin.
const OTHERS: &[&str] =
    &["add", "ced", "dzn", "iare", "iloc", "ireg", "nrmr", "ra", "rem", "sed", "sos", "sosr", "sua", "tr", "ucl"];
/// The whole country, above everything.
const COUNTRY: &str = "aus";

/// What a person is told to look for.
pub(crate) const EXPECTED: &str = "the area's own code and its edition in a name like SA2_CODE21 or sa2_code_2021: \
    mb, sa1, sa2, sa3, sa4, gcc (gccsa) or ste (state) of 2011, 2016, 2021, ..., or lga, sal, ssc or poa of any year";

/// What a property is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Code,
    Name,
    Category,
}

/// A property whose name was understood.
#[derive(Debug, PartialEq, Eq)]
struct Property<'n> {
    /// As the file spells it.
    name: &'n str,
    /// An index of [`KINDS`], or the beginning of the name of another kind of area.
    of: Result<usize, String>,
    /// The spelling, as in [`Kind::spellings`].
    spelling: String,
    part: Part,
    year: Option<u16>,
}

/// What a file of outlines holds and where each thing is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layer {
    pub(crate) kind: &'static Kind,
    /// `ASGS 2021`, `LGA 2022`.
    pub(crate) edition: String,
    pub(crate) year: u16,
    /// The property with the code.
    pub(crate) code: String,
    pub(crate) name: Option<String>,
    /// Of mesh blocks.
    pub(crate) category: Option<String>,
    /// The statistical areas of the same edition that hold this one: kind, property of the code, property of the name.
    pub(crate) above: Vec<(&'static Kind, String, String)>,
    /// The properties with the code and the name of the state.
    pub(crate) state: Vec<String>,
}

impl Kind {
    /// Whether `code` looks like one of its codes.
    pub(crate) fn fits(&self, code: &str) -> bool {
        code.len() == self.digits && code.bytes().all(|byte| byte.is_ascii_alphanumeric())
    }
}

impl Layer {
    /// Reads it off the names of a feature's properties.
    ///
    /// # Errors
    /// Why they name no layer that is known.
    pub(crate) fn of<'n>(names: impl Iterator<Item = &'n str>) -> Result<Self, String> {
        let names: Vec<&str> = names.collect();
        let properties: Vec<Property<'_>> = names.iter().filter_map(|name| Property::read(name)).collect();
        let codes = || properties.iter().filter(|property| property.part == Part::Code);
        // Of the kinds whose codes are there the one that lies above no other.
        let mut given: Vec<usize> = codes().filter_map(|property| property.of.as_ref().ok().copied()).collect();
        given.sort_unstable();
        let lowest = |index: &&usize| !given.iter().any(|other| KINDS[**index].is_above(&KINDS[*other]));
        let own = given.iter().find(lowest).copied();
        let Some(kind) = own.and_then(|own| KINDS.get(own)) else {
            return Err("no property is the code of a known kind of area".into());
        };
        let mine = |property: &&Property<'_>| property.of.as_ref().ok() == own.as_ref();
        let mut dated = codes().filter(mine);
        let (Some(code), None) = (dated.next(), dated.next()) else {
            return Err(format!("more than one property is a code of {}", kind.level));
        };
        let stranger = properties.iter().find(|property| match &property.of {
            Ok(index) => property.part == Part::Code && Some(*index) != own && !KINDS[*index].is_above(kind),
            Err(other) => other != COUNTRY && !kind.others.contains(&other.as_str()),
        });
        if let Some(Property { name, .. }) = stranger {
            return Err(format!("{name} belongs to another kind of area than {}", code.name));
        }
        let Some(year) = code.year.filter(|year| !kind.statistical || (*year >= 2011 && (*year - 2011) % 5 == 0))
        else {
            return Err(format!("{} does not end in the year of an edition", code.name));
        };
        let find = |of: &Kind, part: Part| {
            let same = |property: &&Property<'_>| {
                property.part == part && property.of.as_ref().is_ok_and(|index| KINDS[*index].level == of.level)
            };
            let found = properties.iter().filter(same).find(|property| property.year.is_none_or(|found| found == year));
            found.map(|property| property.name.to_owned())
        };
        let above = |above: &'static Kind| {
            let code = find(above, Part::Code)?;
            let name = if above.level == "SA1" { Some(code.clone()) } else { find(above, Part::Name) };
            Some((above, code, name?))
        };
        let state = &KINDS[6];
        let of_state = |part: Part| {
            let same = |property: &&Property<'_>| property.part == part && property.of == Ok(6);
            properties.iter().find(same).map(|property| property.name.to_owned())
        };
        let called = |wanted: &str| names.iter().find(|name| compact(name) == wanted).map(|name| (*name).to_owned());
        let loose = if kind.level == "LOCALITY" { called("localityname") } else { None };
        Ok(Self {
            kind,
            edition: match kind.statistical {
                true => format!("ASGS {year}"),
                false => format!("{} {year}", code.spelling.to_uppercase()),
            },
            year,
            code: code.name.to_owned(),
            name: find(kind, Part::Name).or(loose),
            category: find(kind, Part::Category),
            above: match kind.statistical {
                true => {
                    KINDS.iter().filter(|other| other.statistical && other.is_above(kind)).filter_map(above).collect()
                }
                false => Vec::new(),
            },
            state: match kind.level == state.level {
                true => Vec::new(),
                false => [called("state"), of_state(Part::Code), of_state(Part::Name)].into_iter().flatten().collect(),
            },
        })
    }

    /// The property that holds the code of the area of `level` around this one.
    pub(crate) fn code_of(&self, level: &str) -> Option<&str> {
        self.above.iter().find(|(kind, ..)| kind.level == level).map(|(_, code, _)| code.as_str())
    }
}

impl Kind {
    fn is_above(&self, other: &Self) -> bool {
        other.above.contains(&self.level)
    }
}

impl<'n> Property<'n> {
    /// Takes a name apart: `SA2_CODE21` is SA2, code, 2021. None for names that say nothing of an area.
    fn read(name: &'n str) -> Option<Self> {
        let compact = compact(name);
        for (index, kind) in KINDS.iter().enumerate() {
            for spelling in kind.spellings {
                if let Some((part, year)) = compact.strip_prefix(spelling).and_then(part_and_year) {
                    return Some(Self { name, of: Ok(index), spelling: (*spelling).to_owned(), part, year });
                }
            }
        }
        for word in ["code", "maincode", "main", "name"] {
            let Some((prefix, rest)) = compact.split_once(word) else { continue };
            let prefix = prefix.trim_end_matches(|c: char| c.is_ascii_digit());
            let Some((part, year)) = part_and_year(&format!("{word}{rest}")) else { continue };
            let known = OTHERS.contains(&prefix) || prefix == COUNTRY;
            if known || (part == Part::Code && year.is_some() && (2..=8).contains(&prefix.len())) {
                return Some(Self { name, of: Err(prefix.to_owned()), spelling: prefix.to_owned(), part, year });
            }
        }
        None
    }
}

/// Letters and digits only, in lower case.
fn compact(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// `code21`, `21code`, `code2021`, `maincode2016`, `name`, `category2021`: the part and the year.
fn part_and_year(rest: &str) -> Option<(Part, Option<u16>)> {
    let is_digit = |c: char| c.is_ascii_digit();
    let word = rest.trim_start_matches(is_digit);
    let before = &rest[..rest.len() - word.len()];
    let plain = word.trim_end_matches(is_digit);
    let after = &word[plain.len()..];
    let part = match plain {
        "code" | "main" | "maincode" => Part::Code,
        "name" => Part::Name,
        "cat" | "category" | "catname" | "categoryname" => Part::Category,
        _ => return None,
    };
    let digits = match (before, after) {
        (digits, "") | ("", digits) => digits,
        _ => return None,
    };
    let year = match digits.len() {
        0 => return Some((part, None)),
        2 => digits.parse::<u16>().ok()? + 2000,
        4 => digits.parse().ok()?,
        _ => return None,
    };
    (2001..=2100).contains(&year).then_some((part, Some(year)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(names: &str) -> Result<Layer, String> {
        Layer::of(names.split(' '))
    }

    #[rstest::rstest]
    #[case::geopackage(
        "MB_CODE_2021 MB_CATEGORY_2021 SA1_CODE_2021 SA2_CODE_2021 SA2_NAME_2021 AUS_CODE_2021",
        "MB",
        "ASGS 2021"
    )]
    #[case::shapefile(
        "MB_CODE21 MB_CAT21 CHG_FLAG21 CHG_LBL21 SA1_CODE21 SA2_CODE21 AREASQKM21 LOCI_URI21",
        "MB",
        "ASGS 2021"
    )]
    #[case::mesh_block_with_all(
        "mb_code_2021 sa1_code_2021 lga_code_2021 poa_code_2021 sal_code_2021 dzn_code_2021",
        "MB",
        "ASGS 2021"
    )]
    #[case::of_2016("SA1_MAIN16 SA1_7DIG16 SA2_MAIN16 SA2_5DIG16 SA2_NAME16 SA3_CODE16 SA3_NAME16", "SA1", "ASGS 2016")]
    #[case::of_2016_long("SA2_MAINCODE_2016 SA2_5DIGITCODE_2016 SA2_NAME_2016 GCCSA_CODE_2016", "SA2", "ASGS 2016")]
    #[case::significant_urban("SA2_CODE21 SA2_NAME21 SUA_CODE21 SUA_NAME21", "SA2", "ASGS 2021")]
    #[case::council("lga_code_2024 lga_name_2024 state_code_2021", "LGA", "LGA 2024")]
    #[case::council_short("LGA_CODE19 LGA_NAME19 STE_CODE16 AREASQKM19", "LGA", "LGA 2019")]
    #[case::suburb("SAL_CODE21 SAL_NAME21 STE_CODE21", "LOCALITY", "SAL 2021")]
    #[case::suburb_2016("ssc_code_2016 locality_name state postcode lga_name population_2016", "LOCALITY", "SSC 2016")]
    #[case::postal("POA_CODE21 POA_NAME21 AUS_CODE21", "POA", "POA 2021")]
    #[case::capital("gcc_code_2021 gcc_name_2021 state_code_2021", "GCCSA", "ASGS 2021")]
    #[case::state("STATE_CODE_2021 STATE_NAME_2021", "STE", "ASGS 2021")]
    #[case::lookup("SA1_21CODE SA2_21CODE SA2_21NAME", "SA1", "ASGS 2021")]
    fn a_layer_is_known_by_its_own_code(#[case] names: &str, #[case] level: &str, #[case] edition: &str) {
        let found = layer(names).unwrap();
        assert_eq!((found.kind.level, found.edition.as_str()), (level, edition));
        assert!(names.split(' ').any(|name| name == found.code), "{found:?}");
    }

    #[rstest::rstest]
    #[case::destination_zones(
        "DZN_CODE21 SA2_CODE21 SA2_NAME21 STE_CODE21",
        "DZN_CODE21 belongs to another kind of area"
    )]
    #[case::urban_centres(
        "UCL_CODE_2021 UCL_NAME_2021 SOS_CODE_2021 STATE_CODE_2021",
        "belongs to another kind of area"
    )]
    #[case::electorates("ced_code_2021 ced_name_2021", "no property is the code")]
    #[case::electorates_of_a_state("SED_CODE24 SED_NAME24 STE_CODE21", "SED_CODE24 belongs to another")]
    #[case::invented("tile_code_2021 sa1_code_2021", "tile_code_2021 belongs to another")]
    #[case::pieces("sa2_code_2021 lga_code_2021", "lga_code_2021 belongs to another kind of area than sa2_code_2021")]
    #[case::change("sa2_code_2016 sa2_code_2021", "more than one property is a code of SA2")]
    #[case::undated("sa2_code sa2_name", "sa2_code does not end in the year of an edition")]
    #[case::odd_year("SA2_CODE22", "does not end in the year")]
    #[case::something_else("colour postcode country_code", "no property is the code")]
    fn another_layer_is_not_taken_for_one_above_it(#[case] names: &str, #[case] reason: &str) {
        let found = layer(names).unwrap_err();
        assert!(found.contains(reason), "{found}");
    }

    #[test]
    fn what_lies_above_is_of_the_same_edition_and_has_a_name() {
        let names = "MB_CODE21 SA1_CODE21 SA2_CODE21 SA2_NAME21 SA3_CODE16 SA3_NAME16 SA4_CODE21 STE_CODE21 STE_NAME21";
        let found = layer(names).unwrap();
        let above: Vec<_> =
            found.above.iter().map(|(kind, code, name)| (kind.level, code.as_str(), name.as_str())).collect();
        let wanted = [
            ("SA1", "SA1_CODE21", "SA1_CODE21"),
            ("SA2", "SA2_CODE21", "SA2_NAME21"),
            ("STE", "STE_CODE21", "STE_NAME21"),
        ];
        assert_eq!(above, wanted);
        assert_eq!(found.code_of("SA1"), Some("SA1_CODE21"));
        assert_eq!(layer("lga_code_2022 state_code_2021 state_name_2021").unwrap().above, []);
    }
}
