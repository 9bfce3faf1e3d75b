//! Search for a town or a postcode: where the text names nothing else, its addresses are listed, beside those on the streets
//! of that name. Three of five names of localities are names of streets somewhere, too.

use std::collections::BTreeSet;

use tokio::time::Instant;
use tokio_postgres::Row;

use crate::db::Database;
use crate::error::ApiError;
use crate::lookup::MOST;
use crate::place::Place;
use crate::record::Record;
use crate::state;
use crate::tags::Tags;

const STREETS: &str = include_str!("sql/town_streets.sql");
const NAMED: &str = include_str!("sql/town_named.sql");
const PAGE: &str = include_str!("sql/town_page.sql");
/// How well an address of the town fits: it was asked for, but not by its number.
pub(crate) const CONFIDENCE: u8 = 40;
/// Longer texts name more than a town.
const LONGEST: usize = 60;
/// Short forms in the names of localities, and what G-NAF may write.
const SHORT: [(&str, &[&str]); 7] = [
    ("MT", &["MOUNT"]),
    ("ST", &["SAINT"]),
    ("SAINT", &["ST"]),
    ("PT", &["POINT", "PORT"]),
    ("FT", &["FORT"]),
    ("NTH", &["NORTH"]),
    ("STH", &["SOUTH"]),
];

/// A text that may name a town or a postcode, and nothing else.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// As [`names`] gives them; an empty one for a bare postcode.
    names: Vec<(String, Option<&'static str>, i32)>,
    postcode: Option<String>,
}

impl Asked {
    /// Reads `text`, with state and postcode given beside it. None where it holds anything else, or contradicts these.
    pub(crate) fn read(text: &str, state: Option<&'static str>, postcode: Option<&str>) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let plain: String = text.chars().filter(|c| !matches!(c, '\'' | '’' | '.')).collect();
        let upper = plain.to_uppercase();
        let mut words: Vec<&str> =
            upper.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
        let is_postcode = |word: &&&str| word.len() == 4 && word.bytes().all(|byte| byte.is_ascii_digit());
        let mut written = None;
        let take_country = |words: &mut Vec<&str>| {
            if words.last().is_some_and(|word| matches!(*word, "AUSTRALIA" | "AUS")) {
                words.pop();
            }
        };
        take_country(&mut words);
        if words.last().filter(is_postcode).is_some() {
            written = words.pop();
        } else if words.first().filter(is_postcode).is_some() {
            written = Some(words.remove(0));
        }
        take_country(&mut words);
        if words.iter().any(|word| !word.bytes().all(|byte| byte.is_ascii_uppercase())) {
            return None;
        }
        let postcode = match (written, postcode) {
            (Some(written), Some(asked)) if written != asked => return None,
            (written, asked) => written.or(asked).map(str::to_owned),
        };
        let names = names(&words, state);
        // A bare postcode, with a state or none, is asked for by no name.
        let bare = names.iter().any(|(name, ..)| name.is_empty());
        let wanted =
            |(name, ..): &(String, _, _)| if bare && postcode.is_some() { name.is_empty() } else { name.len() >= 2 };
        let names: Vec<_> = names.into_iter().filter(wanted).collect();
        (!names.is_empty()).then_some(Self { names, postcode })
    }
}

/// The names in search form that words may be, each with its state and how likely it is meant, from 0. A state may stand behind
/// the name, or `Mount Victoria` be all of it.
pub(crate) fn names(words: &[&str], state: Option<&'static str>) -> Vec<(String, Option<&'static str>, i32)> {
    let mut readings = Vec::new();
    for length in [3, 2, 1] {
        let Some(at) = words.len().checked_sub(length) else { continue };
        let (name, last) = words.split_at(at);
        let found = state::abbreviation(&last.concat()).filter(|found| state.is_none_or(|asked| asked == *found));
        if let Some(found) = found {
            readings.push((name, Some(found), i32::from(last.concat() != found)));
            break;
        }
    }
    readings.push((words, state, i32::from(readings.iter().any(|(.., rank)| *rank == 0))));
    let spelled =
        |(name, state, rank): (&[&str], _, _)| spellings(name).into_iter().map(move |name| (name, state, rank));
    readings.into_iter().flat_map(spelled).collect()
}

fn spellings(words: &[&str]) -> Vec<String> {
    let mut all = vec![words.join(" ")];
    for (index, word) in words.iter().enumerate() {
        let Some((_, long)) = SHORT.iter().find(|(short, _)| short == word).filter(|_| words.len() > 1) else {
            continue;
        };
        all.extend(long.iter().map(|long| [&words[..index], &[*long], &words[index + 1..]].concat().join(" ")));
    }
    all
}

/// A town, a postcode's towns, or several of one name.
#[derive(Debug)]
pub(crate) struct Town {
    postcode: Option<String>,
    /// Where the streets lie.
    localities: BTreeSet<String>,
    /// Those of the town.
    pub(crate) own: Streets,
    /// Those that have its name, wherever they are.
    pub(crate) named: Streets,
}

/// Streets in the order in which their addresses are listed.
#[derive(Debug, Default)]
pub(crate) struct Streets {
    pids: Vec<String>,
    /// Equal for one street from several sources.
    ranks: Vec<i64>,
    last: String,
    /// There are more than were read.
    more: bool,
}

/// Some addresses of a town.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) places: Vec<Place>,
    /// Addresses in all, of the streets that were read.
    pub(crate) total: u64,
    pub(crate) is_capped: bool,
}

impl Town {
    /// The town that is asked for, if there is one, with the streets needed to list addresses up to the `last`.
    ///
    /// # Errors
    /// What the database says.
    pub(crate) async fn find(
        database: &Database,
        deadline: Instant,
        asked: &Asked,
        last: usize,
    ) -> Result<Option<Self>, ApiError> {
        let columns = |names: &[&(String, Option<&'static str>, i32)]| -> (Vec<String>, Vec<Option<&'static str>>) {
            names.iter().map(|(name, state, _)| (name.clone(), *state)).unzip()
        };
        let (names, states) = columns(&asked.names.iter().collect::<Vec<_>>());
        let ranks: Vec<i32> = asked.names.iter().map(|(.., rank)| *rank).collect();
        // Of a postcode a street may have some addresses only.
        let needed = (last as i64 + MOST as i64) * if asked.postcode.is_some() { 4 } else { 1 };
        let rows = database.query(deadline, STREETS, &[&names, &states, &ranks, &asked.postcode, &needed]).await?;
        let Some(first) = rows.first() else { return Ok(None) };
        let rank: i32 = first.get("rank");
        let mut town = Self {
            postcode: asked.postcode.clone(),
            localities: BTreeSet::new(),
            own: Streets::default(),
            named: Streets::default(),
        };
        for row in &rows {
            town.localities.insert(row.get("locality_pid"));
            town.own.add(row);
        }
        let found: Vec<_> = asked.names.iter().filter(|(name, _, of)| *of == rank && !name.is_empty()).collect();
        if !found.is_empty() {
            let (names, states) = columns(&found);
            let rows = database.query(deadline, NAMED, &[&names, &states, &asked.postcode, &needed]).await?;
            for row in &rows {
                town.localities.insert(row.get("locality_pid"));
                town.named.add(row);
            }
        }
        Ok(Some(town))
    }

    /// `count` of the addresses on `streets` after the first `from`: street by street, by number.
    ///
    /// # Errors
    /// What the database says.
    pub(crate) async fn page(
        &self,
        database: &Database,
        deadline: Instant,
        streets: &Streets,
        from: usize,
        count: usize,
    ) -> Result<Page, ApiError> {
        if streets.pids.is_empty() {
            return Ok(Page::default());
        }
        let (from, count) = (from as i64, count as i64);
        let rows =
            database.query(deadline, PAGE, &[&streets.pids, &streets.ranks, &from, &count, &self.postcode]).await?;
        let total = rows.first().map_or(0, |row| row.get::<_, i64>("total") as u64);
        let known = rows.iter().filter(|row| row.get::<_, Option<&str>>("pid").is_some());
        Ok(Page { places: known.map(|row| Record::unasked(row).place()).collect(), total, is_capped: streets.more })
    }

    /// Adds the tags by which a change of its addresses or of names reaches an answer.
    pub(crate) fn tag(&self, tags: &mut Tags) {
        tags.mark("names");
        self.localities.iter().for_each(|pid| _ = tags.need("locality", pid));
        self.postcode.iter().for_each(|postcode| _ = tags.hint("postcode", postcode));
    }
}

impl Streets {
    fn add(&mut self, row: &Row) {
        let Some(street) = row.get::<_, Option<String>>("street_pid") else { return };
        let label: String = row.get("label");
        let rank = self.ranks.last().copied().unwrap_or(0) + i64::from(self.last != label);
        self.last = label;
        self.pids.push(street);
        self.ranks.push(rank);
        self.more |= row.get::<_, bool>("more");
    }
}

/// Of a list that takes turns between two, which of the first stand before place `n`; `first` and `second` are the lengths.
pub(crate) fn before(n: usize, first: usize, second: usize) -> usize {
    n.div_ceil(2).max(n.saturating_sub(second)).min(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<String> {
        let Asked { names, postcode } = Asked::read(text, None, None)?;
        let names: Vec<String> =
            names.iter().map(|(name, state, rank)| format!("{name}/{}/{rank}", state.unwrap_or("-"))).collect();
        Some(format!("{} {}", names.join(","), postcode.unwrap_or_default()))
    }

    #[rstest::rstest]
    #[case("horsham", Some("HORSHAM/-/0 "))]
    #[case("Goulburn NSW 2580", Some("GOULBURN/NSW/0,GOULBURN NSW/-/1 2580"))]
    #[case("goulburn, new south wales, 2580, Australia", Some("GOULBURN/NSW/1,GOULBURN NEW SOUTH WALES/-/0 2580"))]
    #[case("2580 goulburn", Some("GOULBURN/-/0 2580"))]
    #[case("2580", Some("/-/0 2580"))]
    #[case("NSW 2580", Some("/NSW/0 2580"))]
    #[case("mt gambier sa", Some("MT GAMBIER/SA/0,MOUNT GAMBIER/SA/0,MT GAMBIER SA/-/1,MOUNT GAMBIER SA/-/1 "))]
    #[case("mount victoria", Some("MOUNT/VIC/1,MOUNT VICTORIA/-/0 "))]
    #[case("nsw", Some("NSW/-/1 "))]
    #[case("12 high street horsham", None)]
    #[case("horsham 34", None)]
    #[case("x", None)]
    #[case("", None)]
    fn texts_that_name_a_town(#[case] text: &str, #[case] wanted: Option<&str>) {
        assert_eq!(read(text).as_deref(), wanted);
    }

    #[test]
    fn what_is_asked_beside_the_text_must_agree() {
        assert!(Asked::read("goulburn 2580", None, Some("2581")).is_none());
        let asked = Asked::read("goulburn", Some("NSW"), Some("2580")).unwrap();
        assert_eq!((asked.names, asked.postcode), (vec![("GOULBURN".into(), Some("NSW"), 0)], Some("2580".into())));
        assert_eq!(
            Asked::read("goulburn nsw", Some("VIC"), None).unwrap().names,
            [("GOULBURN NSW".into(), Some("VIC"), 0)]
        );
    }

    proptest::proptest! {
        /// Pages of whatever size are the whole list cut up.
        #[test]
        fn turns_are_taken_until_one_is_through(first in 0usize..30, second in 0usize..30, at in 0usize..70) {
            let (mut a, mut b) = (0, 0);
            for place in 0..at.min(first + second) {
                if (place % 2 == 0 && a < first) || b == second { a += 1 } else { b += 1 }
            }
            let at = at.min(first + second);
            proptest::prop_assert_eq!((before(at, first, second), at - before(at, first, second)), (a, b));
        }
    }
}
