//! Path patterns: literal text, `{name}` for one segment, a last `/**` for everything below.

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    segments: Vec<Segment>,
    /// Ends in `/**`.
    open: bool,
    /// The whole text where nothing varies, so that most routes compare once.
    literal: Option<Box<str>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Text(Box<str>),
    Any,
}

impl Pattern {
    /// Compiles; the error is a sentence.
    pub(super) fn new(text: &str) -> Result<Self, String> {
        let mut canonical = String::new();
        let bare: String = text.chars().filter(|c| !"{}".contains(*c)).collect();
        crate::http::target::path(&bare, &mut canonical)
            .map_err(|reason| format!("`{text}` is not a path ({reason})"))?;
        let (text, open) = match text.strip_suffix("/**") {
            Some(rest) => (rest, true),
            None => (text.strip_suffix('/').unwrap_or(text), false),
        };
        let mut segments = Vec::new();
        for segment in text.split('/').skip(1) {
            let name = segment.strip_prefix('{').and_then(|s| s.strip_suffix('}'));
            segments.push(match name {
                Some(name) if !name.is_empty() && !name.contains(['{', '}']) => Segment::Any,
                _ if segment.contains(['{', '}', '*']) => {
                    return Err(format!("`{segment}`: a segment is text or one `{{name}}`, and `**` comes last"));
                }
                _ => Segment::Text(segment.into()),
            });
        }
        let fixed = !open && segments.iter().all(|segment| matches!(segment, Segment::Text(_)));
        Ok(Self { segments, open, literal: fixed.then(|| text.into()) })
    }

    /// Whether it ends where its text ends, so that a trailing slash means nothing.
    pub(super) fn is_closed(&self) -> bool {
        !self.open
    }

    /// The only path that it matches, where it is one.
    pub(super) fn text(&self) -> Option<&str> {
        self.literal.as_deref()
    }

    /// Whether a canonical path matches.
    pub(super) fn matches(&self, path: &str) -> bool {
        let closed = path.strip_suffix('/').unwrap_or(path);
        if let Some(literal) = &self.literal {
            return closed == literal.as_ref();
        }
        let mut parts = (if self.open { path } else { closed }).split('/').skip(1);
        for segment in &self.segments {
            match (segment, parts.next()) {
                (Segment::Text(text), Some(part)) if **text == *part => {}
                (Segment::Any, Some(part)) if !part.is_empty() => {}
                _ => return false,
            }
        }
        self.open || parts.next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("/a/b", "/a/b", true)]
    #[case("/a/b", "/a/b/", true)]
    #[case("/a/b/", "/a/b", true)]
    #[case("/a/b", "/a/bc", false)]
    #[case("/a/b", "/a", false)]
    #[case("/", "/", true)]
    #[case("/", "/a", false)]
    #[case("/a/{pid}", "/a/GAVIC1", true)]
    #[case("/a/{pid}", "/a/GAVIC1/", true)]
    #[case("/a/{pid}", "/a/", false)]
    #[case("/a/{pid}", "/a/b/c", false)]
    #[case("/a/{level}/{code}", "/a/sa1/11", true)]
    #[case("/**", "/", true)]
    #[case("/**", "/a/b?c", true)]
    #[case("/nocache/**", "/nocache/x/y/", true)]
    #[case("/nocache/**", "/nocache", true)]
    #[case("/nocache/**", "/nocachex", false)]
    #[case("/A/b", "/a/b", false)]
    fn matching(#[case] pattern: &str, #[case] path: &str, #[case] expected: bool) {
        assert_eq!(Pattern::new(pattern).unwrap().matches(path), expected);
    }

    #[rstest]
    #[case("a")]
    #[case("/a//b")]
    #[case("/a/{b}c")]
    #[case("/a/{}")]
    #[case("/**/a")]
    #[case("/a/*")]
    #[case("/../a")]
    fn wrong_patterns(#[case] pattern: &str) {
        assert!(Pattern::new(pattern).is_err());
    }
}
