//! G-NAF's own code tables, and the forms people write beside them.
//!
//! The direction differs per table: STREET_TYPE has the long word as code and the abbreviation as name; FLAT_TYPE,
//! LEVEL_TYPE and STREET_SUFFIX the reverse. Both forms are accepted everywhere.

use super::normal::search_form;
use std::collections::HashMap;
use std::sync::LazyLock;

const STREET_TYPES: &str =
    include_str!("../../../data/gnaf-vic-sample/Authority Code/Authority_Code_STREET_TYPE_AUT_psv.psv");
const STREET_SUFFIXES: &str =
    include_str!("../../../data/gnaf-vic-sample/Authority Code/Authority_Code_STREET_SUFFIX_AUT_psv.psv");
const FLAT_TYPES: &str =
    include_str!("../../../data/gnaf-vic-sample/Authority Code/Authority_Code_FLAT_TYPE_AUT_psv.psv");
const LEVEL_TYPES: &str =
    include_str!("../../../data/gnaf-vic-sample/Authority Code/Authority_Code_LEVEL_TYPE_AUT_psv.psv");

/// Everyday abbreviations that the authority tables don't have: form (`_` for a blank), then the codes it may stand for.
const SPOKEN_STREET_TYPES: &str = "ALY ALLEY|APPR APPROACH|AVE AVENUE|AVEN AVENUE|AVN AVENUE|BLVD BOULEVARD BOULEVARDE|\
    BOUL BOULEVARD|BVDE BOULEVARDE|BWAY BROADWAY|BYP BYPASS|CAUS CAUSEWAY|CEN CENTRE|CENTER CENTRE|CNTR CENTRE|CIRC CIRCUIT CIRCLE|\
    CRCT CIRCUIT|CCT CIRCUIT|CLS CLOSE|CRES CRESCENT|CRESC CRESCENT|CRS CRESCENT|CRT COURT|CRTS COURT|CV COVE|DRV DRIVE|DVE DRIVE|\
    DRWY DRIVEWAY|ENTR ENTRANCE|ESPL ESPLANADE|ESPLA ESPLANADE|EXPWY EXPRESSWAY|FRWY FREEWAY|FWAY FREEWAY|GARD GARDENS|GDN GARDEN GARDENS|\
    GRDNS GARDENS|GLD GLADE|GRV GROVE|GVE GROVE|GRO GROVE|HGTS HEIGHTS|HT HEIGHTS|HGWY HIGHWAY|HIWAY HIGHWAY|HWAY HIGHWAY|HL HILL|\
    JCT JUNCTION|JCN JUNCTION|LN LANE|LA LANE|LNE LANE|LNK LINK|LK LINK|LP LOOP|MWY MOTORWAY|MWAY MOTORWAY|MWS MEWS|PAR PARADE|PRD PARADE|\
    PRDE PARADE|PKWY PARKWAY|PKY PARKWAY|PK PARK|PLC PLACE|PT POINT|PRM PROMENADE|RDG RIDGE|RET RETREAT|RTRT RETREAT|RSE RISE|\
    SQR SQUARE|STR STREET|STRE STREET|STRT STREET|TER TERRACE|TERR TERRACE|TRCE TERRACE|TR TRAIL TRACK|VLY VALLEY|VIS VISTA|VST VISTA|VW VIEW|\
    WHF WHARF|WLK WALK|WK WALK|WY WAY|CULDESAC CUL-DE-SAC";
const SPOKEN_SUFFIXES: &str =
    "NTH N|STH S|NORTHEAST NE|NORTHWEST NW|SOUTHEAST SE|SOUTHWEST SW|EXT EX|EXTN EX|LWR LR|UPR UP|CENT CN|CTRL CN";
const SPOKEN_FLAT_TYPES: &str = "U UNIT|UN UNIT|UNT UNIT|UNITS UNIT|APPT APT|APMT APT|F FLAT|FLT FLAT|FLATS FLAT|STE SE|SU SE|\
    SUIT SE|SHP SHOP|SH SHOP|SHOPS SHOP|OFF OFFC|OFFICES OFFC|FY FCTY|FAC FCTY|FACT FCTY|TH TNHS|THSE TNHS|TOWNHSE TNHS|VIL VLLA|\
    WH WHSE|WHS WHSE|RM ROOM|PH PTHS|HOUSE HSE|STUD STU|TEN TNCY|CTG CTGE|DUP DUPL|GRANNY_FLAT BNGW|GRANNYFLAT BNGW|ANNEXE BNGW|ANNEX BNGW|FRONT_HOUSE BNGW|BACK_HOUSE REAR|REAR_HOUSE REAR|\
    BACK_UNIT REAR|REAR_UNIT REAR";
const SPOKEN_LEVEL_TYPES: &str = "LVL L|LEV L|LVEL L|FLR FL|FLOOR FL|GF G|GRD G|GND G|GROUND_FLOOR G|LGF LG|LOWER_GROUND LG|UGF UG|\
    UPPER_GROUND UG|UPPER_GROUND_FLOOR UG|BSMT B|BASE B|UPSTAIRS FL|DOWNSTAIRS FL|TOP_FLOOR FL|UPPER_FLOOR FL|LOWER_FLOOR FL|MEZZ M|ROOF RT|SUB_BASEMENT SB";
const SPOKEN_STATES: &str = "NEW STH WALES NSW|VICT VIC|QLAND QLD|QLND QLD|SOUTH AUST SA|SOUTH AUS SA|STH AUSTRALIA SA|WEST AUSTRALIA WA|WESTERN AUST WA|\
    WEST AUST WA|WESTERN AUS WA|TASM TAS|TASSIE TAS|NTHN TERRITORY NT|NORTHERN TERR NT|AUST CAPITAL TERRITORY ACT|\
    AUSTRALIAN CAPITAL TERR ACT";
const STATES: &str = "NSW NEW SOUTH WALES|VIC VICTORIA|QLD QUEENSLAND|SA SOUTH AUSTRALIA|WA WESTERN AUSTRALIA|TAS TASMANIA|\
    NT NORTHERN TERRITORY|ACT AUSTRALIAN CAPITAL TERRITORY|OT OTHER TERRITORIES";

/// One authority table with the forms people use for its codes.
pub(crate) struct Table {
    /// form -> the codes it may stand for, the likeliest first
    forms: HashMap<String, Vec<&'static str>>,
    names: HashMap<&'static str, &'static str>,
    longest: usize,
}

impl Table {
    fn build(psv: &'static str, spoken: &'static str) -> Self {
        let mut table = Self { forms: HashMap::new(), names: HashMap::new(), longest: 1 };
        let rows: Vec<(&str, &str)> = psv
            .lines()
            .skip(1)
            .filter_map(|line| {
                let mut fields = line.split('|');
                Some((fields.next()?.trim(), fields.next()?.trim()))
            })
            .filter(|(code, _)| !code.is_empty())
            .collect();
        // A code is never overruled by another row's name; an everyday form comes after both (`STRT` is STRAIGHT, and STREET).
        for &(code, name) in &rows {
            table.names.insert(code, name);
            table.add(code, &[code]);
        }
        for &(code, name) in &rows {
            if table.codes(&search_form(name)).is_empty() {
                table.add(name, &[code]);
            }
        }
        for entry in spoken.split('|') {
            let mut words = entry.split_whitespace();
            let form = words.next().unwrap_or_default().replace('_', " ");
            table.add(&form, &words.collect::<Vec<_>>());
        }
        table
    }

    fn add(&mut self, form: &str, codes: &[&'static str]) {
        let form = search_form(form);
        self.longest = self.longest.max(form.split(' ').count());
        let known = self.forms.entry(form).or_default();
        known.extend(codes.iter().filter(|code| !known.contains(code)).collect::<Vec<_>>());
    }

    /// The codes that `form` (in search form) may stand for; empty when it stands for none.
    pub(crate) fn codes(&self, form: &str) -> &[&'static str] {
        self.forms.get(form).map_or(&[], Vec::as_slice)
    }

    /// The one code that `form` most likely stands for.
    pub(crate) fn code(&self, form: &str) -> Option<&'static str> {
        self.codes(form).first().copied()
    }

    /// Every code with a form that starts with `prefix`, sorted.
    pub(crate) fn codes_from(&self, prefix: &str) -> Vec<&'static str> {
        let matching = self.forms.iter().filter(|(form, _)| form.starts_with(prefix));
        let mut codes: Vec<_> = matching.flat_map(|(_, codes)| codes.iter().copied()).collect();
        codes.sort_unstable();
        codes.dedup();
        codes
    }

    /// The name of a code as published.
    pub(crate) fn name(&self, code: &str) -> Option<&'static str> {
        self.names.get(code).copied()
    }

    /// The largest number of words in one form.
    pub(crate) fn longest(&self) -> usize {
        self.longest
    }
}

/// STREET_TYPE: code STREET, name ST.
pub(crate) static STREET_TYPE: LazyLock<Table> = LazyLock::new(|| Table::build(STREET_TYPES, SPOKEN_STREET_TYPES));
/// STREET_SUFFIX: code N, name NORTH.
pub(crate) static SUFFIX: LazyLock<Table> = LazyLock::new(|| Table::build(STREET_SUFFIXES, SPOKEN_SUFFIXES));
/// FLAT_TYPE: code APT, name APARTMENT.
pub(crate) static FLAT_TYPE: LazyLock<Table> = LazyLock::new(|| Table::build(FLAT_TYPES, SPOKEN_FLAT_TYPES));
/// LEVEL_TYPE: code L, name LEVEL.
pub(crate) static LEVEL_TYPE: LazyLock<Table> = LazyLock::new(|| Table::build(LEVEL_TYPES, SPOKEN_LEVEL_TYPES));
/// The states: code VIC, name VICTORIA.
pub(crate) static STATE: LazyLock<Table> = LazyLock::new(|| {
    let mut table = Table { forms: HashMap::new(), names: HashMap::new(), longest: 1 };
    for entry in STATES.split('|') {
        if let Some((code, name)) = entry.split_once(' ') {
            table.names.insert(code, name);
            table.add(code, &[code]);
            table.add(name, &[code]);
        }
    }
    for (form, code) in SPOKEN_STATES.split('|').filter_map(|entry| entry.rsplit_once(' ')) {
        table.add(form, &[code]);
    }
    table
});

/// `QUEENSAND` for Queensland: the state whose long name is one slip away, two where it is longer.
pub(super) fn misspelt_state(name: &str) -> Option<&'static str> {
    let near = |meant: &str| {
        let allowed = if meant.len() < 12 { 1 } else { 2 };
        meant.len() >= 8 && meant.len().abs_diff(name.len()) <= allowed && strsim::osa_distance(name, meant) <= allowed
    };
    STATE.names.iter().find(|(_, meant)| near(meant)).map(|(code, _)| *code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("ST", &["STREET"])]
    #[case("STREET", &["STREET"])]
    #[case("AV", &["AVENUE"])]
    #[case("AVE", &["AVENUE"])]
    #[case("CUL DE SAC", &["CUL-DE-SAC"])]
    #[case("CIRC", &["CIRCUIT", "CIRCLE"])]
    #[case("ROFW", &["RIGHT OF WAY"])]
    #[case("COLLINS", &[])]
    fn street_types_answer_to_code_name_and_everyday_form(#[case] form: &str, #[case] codes: &[&str]) {
        assert_eq!(STREET_TYPE.codes(form), codes);
    }

    #[rstest]
    #[case(&FLAT_TYPE, "APARTMENT", Some("APT"))]
    #[case(&FLAT_TYPE, "APT", Some("APT"))]
    #[case(&FLAT_TYPE, "U", Some("UNIT"))]
    #[case(&FLAT_TYPE, "SUITE", Some("SE"))]
    #[case(&LEVEL_TYPE, "LVL", Some("L"))]
    #[case(&LEVEL_TYPE, "LOWER GROUND FLOOR", Some("LG"))]
    #[case(&LEVEL_TYPE, "GROUND FLOOR", Some("G"))]
    #[case(&LEVEL_TYPE, "FLOOR", Some("FL"))]
    #[case(&SUFFIX, "NORTH", Some("N"))]
    #[case(&SUFFIX, "NTH", Some("N"))]
    #[case(&STATE, "NEW SOUTH WALES", Some("NSW"))]
    #[case(&STATE, "NSW", Some("NSW"))]
    fn the_other_tables_too(#[case] table: &Table, #[case] form: &str, #[case] code: Option<&str>) {
        assert_eq!(table.code(form), code);
    }

    #[test]
    fn every_code_and_every_name_of_the_tables_is_understood() {
        for (table, psv) in [
            (&*STREET_TYPE, STREET_TYPES),
            (&*SUFFIX, STREET_SUFFIXES),
            (&*FLAT_TYPE, FLAT_TYPES),
            (&*LEVEL_TYPE, LEVEL_TYPES),
        ] {
            for line in psv.lines().skip(1) {
                let fields: Vec<_> = line.split('|').collect();
                assert_eq!(table.code(&search_form(fields[0])), Some(fields[0]));
                assert!(!table.codes(&search_form(fields[1])).is_empty(), "{line}");
            }
        }
    }

    #[test]
    fn an_unfinished_type_is_a_set() {
        let from_bri = STREET_TYPE.codes_from("BRI");
        assert_eq!(from_bri, ["BRIDGE"]);
        assert!(STREET_TYPE.codes_from("S").contains(&"STREET"));
        assert!(STREET_TYPE.codes_from("S").len() > 10);
    }
}
