//! Closed lists of words around an address that are no part of it.

use std::collections::HashMap;
use std::sync::LazyLock;

/// What stands beside the address that is meant: that is where the rest leads.
const BESIDE: &[&str] = &[
    "BEHIND",
    "OPPOSITE",
    "OPP",
    "OPPOSITE TO",
    "NEXT TO",
    "NEXT DOOR TO",
    "NEAR",
    "NEAR TO",
    "NEARBY",
    "NEAREST",
    "BESIDE",
    "ADJACENT TO",
    "ADJACENT",
    "ADJ",
    "ADJ TO",
    "ADJOINING",
    "ALONGSIDE",
    "ACROSS FROM",
    "ACROSS THE ROAD FROM",
    "ACROSS THE STREET FROM",
    "IN FRONT OF",
    "BETWEEN",
    "CNR",
    "CNR OF",
    "CORNER",
    "CORNER OF",
    "COR",
    "INTERSECTION OF",
    "CLOSE TO",
    "AROUND THE CORNER FROM",
    "ROUND THE CORNER FROM",
    "BACK OF",
    "AT THE BACK OF",
    "AT BACK OF",
    "OFF",
    "NOT",
    "NOT AT",
    "FACING",
    "OVERLOOKING",
    "ABUTTING",
    "BORDERING",
    "FORMERLY",
    "FORMERLY AT",
    "PREVIOUSLY",
    "PREVIOUSLY AT",
    "EX",
    "OVER THE ROAD FROM",
    "PAST",
    "BEFORE",
    "AFTER",
    "BELOW",
    "ABOVE",
    "UNDER",
    "VIA",
];
/// What follows, to the end of its part, is said to whoever delivers.
const ASIDE: &[&str] = &[
    "CARE OF",
    "C O",
    "ATTN",
    "ATTENTION",
    "ATT",
    "FAO",
    "LEAVE",
    "DELIVER",
    "DELIVERY",
    "PLEASE",
    "PLS",
    "RING",
    "KNOCK",
    "CALL",
    "AUTHORITY TO LEAVE",
    "ATL",
    "BEWARE",
    "CAUTION",
    "NOTE",
    "INSTRUCTIONS",
    "ENTRY",
    "ENTER",
    "ACCESS VIA",
    "USE",
];
/// Numbers after these belong to them.
const CONTACT: &[&str] = &[
    "PH",
    "PHONE",
    "PHN",
    "TEL",
    "TELEPHONE",
    "MOB",
    "MOBILE",
    "MBL",
    "CELL",
    "FAX",
    "FACSIMILE",
    "CALL",
    "RING",
    "CONTACT",
    "ABN",
    "ACN",
    "ORDER",
    "ORDER NO",
    "ORDER NUMBER",
    "REF",
    "REFERENCE",
    "INVOICE",
    "INV",
    "ACCOUNT",
    "ACC",
    "ACCT",
    "CUSTOMER",
    "CUSTOMER NO",
    "CLIENT",
    "JOB",
    "JOB NO",
    "ID",
    "PID",
    "CONSIGNMENT",
    "PO NUMBER",
    "PO NO",
    "GATE CODE",
    "CODE",
    "PIN",
];
/// Plans of subdivision: a number after these names a parcel, not an address.
const PLAN: &[&str] = &[
    "DP",
    "D P",
    "SP",
    "S P",
    "PS",
    "RP",
    "LP",
    "TP",
    "CP",
    "PC",
    "GTP",
    "BUP",
    "SEC",
    "SECTION",
    "PLAN",
    "PLAN NO",
    "DEPOSITED PLAN",
    "STRATA PLAN",
    "PLAN OF SUBDIVISION",
    "REGISTERED PLAN",
    "SURVEY PLAN",
    "TITLE",
    "CT",
    "FOLIO",
    "VOL",
    "VOLUME",
    "PARISH",
];
/// Postal services. A number after these is theirs.
const POSTAL: &[&str] = &[
    "PO BOX",
    "P O BOX",
    "POBOX",
    "PO BX",
    "P O B",
    "POB",
    "GPO BOX",
    "G P O BOX",
    "GPOBOX",
    "GPO",
    "POST OFFICE BOX",
    "POST BOX",
    "POSTBOX",
    "POSTAL BOX",
    "POST OFFICE",
    "LOCKED BAG",
    "LOCKED MAIL BAG",
    "LOCKED MAILBAG",
    "LOCKED POST BAG",
    "LMB",
    "PRIVATE BAG",
    "PRIVATE MAIL BAG",
    "PRIVATE MAILBAG",
    "PRIVATE POST BAG",
    "PMB",
    "P M B",
    "MAIL BAG",
    "MAILBAG",
    "CARE PO",
    "CARE OF PO",
    "CARE OF POST OFFICE",
    "C O PO",
    "C O POST OFFICE",
    "CARE POST OFFICE",
    "CMB",
    "COMMUNITY MAIL BAG",
    "COMMUNITY MAIL AGENT",
    "CMA",
    "COMMUNITY POSTAL AGENT",
    "CPA",
    "RMB",
    "R M B",
    "ROADSIDE MAIL BOX",
    "ROADSIDE MAILBOX",
    "ROADSIDE MAIL BAG",
    "ROADSIDE MAILBAG",
    "ROADSIDE BOX",
    "ROADSIDE DELIVERY",
    "ROADSIDE DELIVERY BOX",
    "ROADSIDE MAIL SERVICE",
    "ROADSIDE MAIL",
    "RSD",
    "R S D",
    "RMS",
    "R M S",
    "MAIL SERVICE",
    "MS",
    "RURAL MAIL BOX",
    "RURAL MAILBOX",
    "RURAL DELIVERY",
    "RURAL ROUTE",
    "MAIL BOX",
    "MAILBOX",
    "POSTE RESTANTE",
    "PARCEL LOCKER",
    "PARCEL COLLECT",
    "REPLY PAID",
    "FREEPOST",
    "BOX",
    "BAG",
    "B P",
];
/// Nothing was to be said here.
const BLANK: &[&str] = &[
    "N A",
    "NA",
    "NONE",
    "NIL",
    "NULL",
    "NAN",
    "TBA",
    "TBC",
    "TBD",
    "UNKNOWN",
    "NOT APPLICABLE",
    "NOT KNOWN",
    "NOT AVAILABLE",
    "NOT PROVIDED",
    "UNDEFINED",
    "BLANK",
    "EMPTY",
    "X",
    "XX",
    "XXX",
    "XXXX",
    "MISSING",
    "N K",
    "NO ADDRESS",
    "NOT SUPPLIED",
    "NO UNIT",
];
/// Names of the fields of a form.
const FIELDS: &[&str] = &[
    "ADDRESS",
    "ADDR",
    "ADDRESS LINE",
    "STREET ADDRESS",
    "DELIVERY ADDRESS",
    "SHIPPING ADDRESS",
    "BILLING ADDRESS",
    "POSTAL ADDRESS",
    "HOME ADDRESS",
    "SUBURB",
    "SUBURB TOWN",
    "LOCALITY",
    "TOWN",
    "CITY",
    "CITY SUBURB",
    "STATE",
    "POSTCODE",
    "POST CODE",
    "POSTAL CODE",
    "P C",
    "PCODE",
    "ZIP",
    "ZIP CODE",
    "COUNTRY",
    "REGION",
    "STREET",
    "STREET NAME",
    "SUBURB OF",
    "THE SUBURB OF",
    "TOWN OF",
    "THE TOWN OF",
    "TOWNSHIP OF",
    "VILLAGE OF",
];
/// Words that make another locality of a locality's name when they follow it.
pub(crate) const QUALIFIERS: &[&str] = &[
    "NORTH", "SOUTH", "EAST", "WEST", "NTH", "STH", "UPPER", "LOWER", "HEIGHTS", "PARK", "BEACH", "HILL", "HILLS",
    "VALE", "VALLEY", "BAY", "POINT", "CREEK", "JUNCTION", "GARDENS", "GROVE", "WATERS", "LAKES", "PLAINS", "RIDGE",
    "ISLAND", "ESTATE", "VILLAGE", "SPRINGS", "FLAT", "GULLY", "FOREST", "HARBOUR", "MEADOWS", "DOWNS",
];
/// The country itself.
const COUNTRY: &[&str] = &["AUSTRALIA", "AUSTRALIEN", "AUST", "AUS", "AU", "COMMONWEALTH OF AUSTRALIA"];

/// Numbers in words, from one.
const NUMBERS: &[&str] = &[
    "ONE",
    "TWO",
    "THREE",
    "FOUR",
    "FIVE",
    "SIX",
    "SEVEN",
    "EIGHT",
    "NINE",
    "TEN",
    "ELEVEN",
    "TWELVE",
    "THIRTEEN",
    "FOURTEEN",
    "FIFTEEN",
    "SIXTEEN",
    "SEVENTEEN",
    "EIGHTEEN",
    "NINETEEN",
    "TWENTY",
];
const ORDINALS: &[&str] = &[
    "FIRST",
    "SECOND",
    "THIRD",
    "FOURTH",
    "FIFTH",
    "SIXTH",
    "SEVENTH",
    "EIGHTH",
    "NINTH",
    "TENTH",
    "ELEVENTH",
    "TWELFTH",
    "THIRTEENTH",
    "FOURTEENTH",
    "FIFTEENTH",
    "SIXTEENTH",
    "SEVENTEENTH",
    "EIGHTEENTH",
    "NINETEENTH",
    "TWENTIETH",
];

/// `THREE` to `3`.
pub(super) fn number_in_words(word: &str) -> Option<String> {
    NUMBERS.iter().position(|known| *known == word).map(|at| (at + 1).to_string())
}

/// `SECOND` and `2ND` to `2`.
pub(super) fn ordinal(word: &str) -> Option<String> {
    if let Some(at) = ORDINALS.iter().position(|known| *known == word) {
        return Some((at + 1).to_string());
    }
    let digits = ["ST", "ND", "RD", "TH"].iter().find_map(|end| word.strip_suffix(end))?;
    let plain = (1..=3).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| digits.to_owned())
}

/// Other countries, by the names and short forms that end addresses (ISO 3166).
const FOREIGN: &str = "AFGHANISTAN|ALBANIA|ALGERIA|ANDORRA|ANGOLA|ARGENTINA|ARMENIA|AUSTRIA|AZERBAIJAN|BAHAMAS|BAHRAIN|BANGLADESH|BARBADOS|\
    BELARUS|BELGIUM|BELIZE|BENIN|BERMUDA|BHUTAN|BOLIVIA|BOSNIA AND HERZEGOVINA|BOTSWANA|BRAZIL|BRASIL|BRUNEI|BRUNEI DARUSSALAM|BULGARIA|BURKINA FASO|\
    BURUNDI|CAMBODIA|CAMEROON|CANADA|CAPE VERDE|CENTRAL AFRICAN REPUBLIC|CHAD|CHILE|CHINA|PEOPLES REPUBLIC OF CHINA|PRC|COLOMBIA|COMOROS|CONGO|\
    COOK ISLANDS|COSTA RICA|CROATIA|CUBA|CYPRUS|CZECHIA|CZECH REPUBLIC|DENMARK|DJIBOUTI|DOMINICA|DOMINICAN REPUBLIC|EAST TIMOR|TIMOR LESTE|\
    ECUADOR|EGYPT|EL SALVADOR|ERITREA|ESTONIA|ESWATINI|ETHIOPIA|FIJI|FIJI ISLANDS|FINLAND|FRANCE|FRENCH POLYNESIA|GABON|GAMBIA|GEORGIA|\
    GERMANY|DEUTSCHLAND|GHANA|GIBRALTAR|GREECE|GREENLAND|GRENADA|GUAM|GUATEMALA|GUINEA|GUYANA|HAITI|HONDURAS|HONG KONG|HONG KONG SAR|HUNGARY|\
    ICELAND|INDIA|INDONESIA|IRAN|IRAQ|IRELAND|REPUBLIC OF IRELAND|ISRAEL|ITALY|ITALIA|IVORY COAST|JAMAICA|JAPAN|JORDAN|KAZAKHSTAN|KENYA|\
    KIRIBATI|KOREA|SOUTH KOREA|NORTH KOREA|REPUBLIC OF KOREA|KUWAIT|KYRGYZSTAN|LAOS|LATVIA|LEBANON|LESOTHO|LIBERIA|LIBYA|LIECHTENSTEIN|LITHUANIA|\
    LUXEMBOURG|MACAU|MACAO|MADAGASCAR|MALAWI|MALAYSIA|MALDIVES|MALI|MALTA|MARSHALL ISLANDS|MAURITANIA|MAURITIUS|MEXICO|MICRONESIA|MOLDOVA|\
    MONACO|MONGOLIA|MONTENEGRO|MOROCCO|MOZAMBIQUE|MYANMAR|BURMA|NAMIBIA|NAURU|NEPAL|NETHERLANDS|THE NETHERLANDS|HOLLAND|NEW CALEDONIA|NEW ZEALAND|\
    AOTEAROA|NZ|N Z|NICARAGUA|NIGER|NIGERIA|NIUE|NORTH MACEDONIA|MACEDONIA|NORWAY|OMAN|PAKISTAN|PALAU|PALESTINE|PANAMA|PAPUA NEW GUINEA|PNG|\
    PARAGUAY|PERU|PHILIPPINES|THE PHILIPPINES|POLAND|PORTUGAL|PUERTO RICO|QATAR|ROMANIA|RUSSIA|RUSSIAN FEDERATION|RWANDA|SAMOA|SAN MARINO|\
    SAUDI ARABIA|SENEGAL|SERBIA|SEYCHELLES|SIERRA LEONE|SINGAPORE|SLOVAKIA|SLOVENIA|SOLOMON ISLANDS|SOMALIA|SOUTH AFRICA|RSA|SOUTH SUDAN|\
    SPAIN|SRI LANKA|SUDAN|SURINAME|SWAZILAND|SWEDEN|SWITZERLAND|SYRIA|TAIWAN|TAJIKISTAN|TANZANIA|THAILAND|TOGO|TONGA|TRINIDAD AND TOBAGO|\
    TUNISIA|TURKEY|TURKIYE|TURKMENISTAN|TUVALU|UGANDA|UKRAINE|UNITED ARAB EMIRATES|UAE|U A E|UNITED KINGDOM|UK|U K|GREAT BRITAIN|GB|BRITAIN|ENGLAND|\
    SCOTLAND|WALES|NORTHERN IRELAND|UNITED STATES|UNITED STATES OF AMERICA|USA|U S A|US|AMERICA|URUGUAY|UZBEKISTAN|VANUATU|VATICAN|VENEZUELA|\
    VIETNAM|VIET NAM|YEMEN|ZAMBIA|ZIMBABWE|SLOVAK REPUBLIC|EIRE|ESPANA|CALIFORNIA|TEXAS|ONTARIO|AUCKLAND NEW ZEALAND";

/// Cities and regions that people write beside a suburb of theirs: the significant urban areas of the Australian Bureau of
/// Statistics.
pub(super) const CITIES: &str = "SYDNEY|MELBOURNE|BRISBANE|PERTH|ADELAIDE|HOBART|DARWIN|CANBERRA|NEWCASTLE|MAITLAND|WOLLONGONG|GEELONG|\
    GOLD COAST|SUNSHINE COAST|CENTRAL COAST|GOSFORD|TOWNSVILLE|CAIRNS|TOOWOOMBA|BALLARAT|BENDIGO|ALBURY|WODONGA|LAUNCESTON|MACKAY|\
    ROCKHAMPTON|BUNBURY|BUNDABERG|HERVEY BAY|WAGGA WAGGA|COFFS HARBOUR|GLADSTONE|MILDURA|SHEPPARTON|PORT MACQUARIE|ORANGE|DUBBO|\
    BATHURST|NOWRA|BOMADERRY|WARRNAMBOOL|KALGOORLIE|BOULDER|GERALDTON|TRARALGON|MORWELL|MOE|ALBANY|BLUE MOUNTAINS|MOUNT GAMBIER|\
    BUSSELTON|LISMORE|NELSON BAY|MARYBOROUGH|BURNIE|WYNYARD|VICTOR HARBOR|GOULBURN|BOWRAL|MITTAGONG|BALLINA|ARMIDALE|WHYALLA|\
    DEVONPORT|ALICE SPRINGS|TAREE|FORSTER|TUNCURRY|GYMPIE|GRIFFITH|PORT LINCOLN|PORT PIRIE|PORT AUGUSTA|MOUNT ISA|BROKEN HILL|\
    CESSNOCK|QUEANBEYAN|TAMWORTH|KARRATHA|PORT HEDLAND|BROOME|HORSHAM|SALE|BAIRNSDALE|WARRAGUL|DROUIN|COLAC|ECHUCA|MOAMA|SWAN HILL|\
    WANGARATTA|KEMPSEY|GRAFTON|LITHGOW|MUDGEE|PARKES|SINGLETON|MUSWELLBROOK|ULLADULLA|BATEMANS BAY|YEPPOON|EMERALD|KINGAROY|\
    WARWICK|ULVERSTONE|MURRAY BRIDGE|KATHERINE|PALMERSTON|ESPERANCE|NORTHAM|MANDURAH|ROCKINGHAM|IPSWICH|LOGAN|REDLAND|MORETON BAY|\
    PARRAMATTA|PENRITH|LIVERPOOL|CAMPBELLTOWN|FRANKSTON|DANDENONG|MELTON|SUNBURY|FREMANTLE|JOONDALUP|LAKE MACQUARIE|PORT STEPHENS|\
    FAIRFIELD|BLACKTOWN|BANKSTOWN|HORNSBY|RYDE|WYONG|TWEED HEADS|MAROOCHYDORE|NAMBOUR|NOOSA HEADS|CABOOLTURE|STIRLING|WANNEROO|\
    SALISBURY|MARION|WERRIBEE|BOX HILL|RINGWOOD|CRANBOURNE|PAKENHAM";

/// The lists that a phrase is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lists {
    pub beside: bool,
    pub aside: bool,
    pub contact: bool,
    pub plan: bool,
    pub postal: bool,
    pub blank: bool,
    pub field: bool,
    pub country: bool,
    pub foreign: bool,
}

static LISTS: LazyLock<HashMap<&'static str, Lists>> = LazyLock::new(|| {
    let mut lists: HashMap<&'static str, Lists> = HashMap::new();
    let mut add = |phrases: &[&'static str], set: fn(&mut Lists)| {
        phrases.iter().for_each(|phrase| set(lists.entry(phrase).or_default()));
    };
    add(BESIDE, |lists| lists.beside = true);
    add(ASIDE, |lists| lists.aside = true);
    add(CONTACT, |lists| lists.contact = true);
    add(PLAN, |lists| lists.plan = true);
    add(POSTAL, |lists| lists.postal = true);
    add(BLANK, |lists| lists.blank = true);
    add(FIELDS, |lists| lists.field = true);
    add(COUNTRY, |lists| lists.country = true);
    add(&FOREIGN.split('|').collect::<Vec<_>>(), |lists| lists.foreign = true);
    lists
});

/// The lists that `phrase` is in, if it is in any.
pub(super) fn lists(phrase: &str) -> Option<Lists> {
    LISTS.get(phrase).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_ordinals_in_words() {
        assert_eq!(number_in_words("TWENTY").as_deref(), Some("20"));
        assert_eq!(number_in_words("NORTH"), None);
        assert_eq!(ordinal("SECOND").as_deref(), Some("2"));
        assert_eq!(ordinal("21ST").as_deref(), Some("21"));
        assert_eq!(ordinal("ST"), None);
    }

    #[test]
    fn other_countries_are_known_and_our_own_is_none() {
        let foreign = |name| lists(name).is_some_and(|lists| lists.foreign);
        assert!(["CANADA", "NEW ZEALAND", "VIET NAM", "UK"].into_iter().all(foreign));
        assert!(!foreign("AUSTRALIA") && !foreign("NORFOLK ISLAND"));
    }
}
