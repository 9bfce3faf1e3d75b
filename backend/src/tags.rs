//! Cache tags: the names by which an answer is purged when a row changes that it was made from, or that it would now be
//! made from. The other half, which change purges which tags, is the list in `migrations/V5__outbox.sql`.
//!
//! | tag | an answer carries it that … |
//! |---|---|
//! | `release:2026-02` | is made from data, whatever it is (for operators) |
//! | `pid:…`, `postcode:…` | shows an address, as far as there is room (for operators; always on the address's own answer) |
//! | `locality:…` | shows an address of the locality or on one of its streets, or lists one of its streets |
//! | `number:12` | was asked for a house or lot number, found or not |
//! | `names` | looked for streets and localities by name |
//! | `cell:64:x:y` | looked around a point (`tags/cells.rs`), with something found or without |
//! | `areas` | looked for boundaries, statistical areas or mesh blocks |
//! | `statistics`, `coverage` | shows the counts per area, or what is loaded |
//! | `wide` | depends on more than its tags have room for; every change purges it |

mod cells;

use crate::input::coordinates::Position;

/// The tags of one answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tags {
    /// Without one of these a change could go unnoticed.
    needed: Vec<String>,
    /// What operators may purge by; a change reaches the answer without them.
    hints: Vec<String>,
    wide: bool,
}

impl Tags {
    /// More would cost every cache more than a broader purge does.
    const MOST: usize = 24;
    const WIDE: &str = "wide";

    /// Tags with the release in them.
    pub(crate) fn new(release: &str) -> Self {
        let mut tags = Self::default();
        tags.need("release", release);
        tags
    }

    /// Adds `kind:value`. Where there is no room for it the answer becomes `wide`.
    pub(crate) fn need(&mut self, kind: &str, value: &str) -> &mut Self {
        self.need_tag(tag(kind, value))
    }

    /// Adds a tag that has no value, such as `names`.
    pub(crate) fn mark(&mut self, mark: &'static str) -> &mut Self {
        self.need_tag(mark.to_owned())
    }

    /// Adds `kind:value` if there will be room for it.
    pub(crate) fn hint(&mut self, kind: &str, value: &str) -> &mut Self {
        let tag = tag(kind, value);
        if self.hints.len() < Self::MOST && !self.hints.contains(&tag) && !self.needed.contains(&tag) {
            self.hints.push(tag);
        }
        self
    }

    /// Adds the grid cells that a circle touches: `metres` around a position in any of the datums.
    pub(crate) fn near(&mut self, position: &Position, metres: f64) -> &mut Self {
        for cell in cells::around(position, metres) {
            self.need_tag(cell);
        }
        self
    }

    /// The answer depends on more than can be named.
    pub(crate) fn widen(&mut self) -> &mut Self {
        self.wide = true;
        self
    }

    /// Adds the tags of another list.
    pub(crate) fn merge(&mut self, other: &Self) {
        for tag in &other.needed {
            self.need_tag(tag.clone());
        }
        for tag in &other.hints {
            if self.hints.len() < Self::MOST && !self.hints.contains(tag) {
                self.hints.push(tag.clone());
            }
        }
        self.wide |= other.wide;
    }

    /// As `Cache-Tag` carries them.
    pub(crate) fn header(&self) -> String {
        let wide = self.wide.then_some(Self::WIDE);
        let needed = self.needed.iter().map(String::as_str).chain(wide);
        needed.chain(self.hints.iter().map(String::as_str)).take(Self::MOST).collect::<Vec<_>>().join(",")
    }

    fn need_tag(&mut self, tag: String) -> &mut Self {
        if self.needed.contains(&tag) {
            return self;
        }
        // One place is kept for `wide`.
        if self.needed.len() + 1 < Self::MOST {
            self.needed.push(tag);
        } else {
            self.wide = true;
        }
        self
    }
}

/// `kind:value`, anything but a plain word in `value` turned into `-`. `cache_tag()` in the database does the same.
fn tag(kind: &str, value: &str) -> String {
    let mut tag = String::with_capacity(kind.len() + 1 + value.len());
    tag.push_str(kind);
    tag.push(':');
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':' | '-') { c } else { '-' };
    tag.extend(value.chars().take(64).map(plain));
    tag
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_a_plain_word() {
        let mut tags = Tags::new("2026-02");
        tags.hint("pid", "GAVIC1").hint("pid", "GAVIC1").need("locality", "a b,c\r\n").mark("names");
        assert_eq!(tags.header(), "release:2026-02,locality:a-b-c--,names,pid:GAVIC1");
    }

    #[test]
    fn what_does_not_fit_makes_the_answer_wide_and_hints_do_not() {
        let mut tags = Tags::new("r");
        for number in 0..100 {
            tags.hint("pid", &number.to_string());
        }
        assert_eq!(tags.header().split(',').count(), Tags::MOST);
        assert!(!tags.header().contains("wide"));
        for number in 0..100 {
            tags.need("locality", &number.to_string());
        }
        let mut merged = Tags::new("other");
        merged.merge(&tags);
        for tags in [tags, merged] {
            let header = tags.header();
            assert_eq!(header.split(',').count(), Tags::MOST);
            assert!(header.ends_with(",wide"), "{header}");
            assert!(header.contains(",locality:0,") && !header.contains("pid:"));
        }
    }
}
