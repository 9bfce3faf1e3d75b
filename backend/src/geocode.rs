//! GET and POST /api/v1/addresses/geocode: where an address is.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::app::App;
use crate::components::Asked;
use crate::db::Database;
use crate::degrade::{no_fuzzy, with_mark};
use crate::error::ApiError;
use crate::input::coordinates::{CoordinateSystem, Position};
use crate::input::{Deadline, Fields, QueryOrJson};
use crate::lookup::{Found, Part, Wanted, find, find_part};
use crate::parse::Typing;
use crate::place::{Place, Precision};
use crate::rank::VALID;
use crate::reply::{Lifetime, Reply};
use crate::tags::Tags;
use crate::validate::FLAG;

const POINT: &str = include_str!("sql/lookup/point.sql");
/// Matches that are compared to see whether one place is meant.
const COMPARED: usize = 50;

/// What became of an address.
pub(crate) struct Geocoded {
    /// Where it is, in the datum asked for; none when no one address is clearly meant.
    pub place: Option<Place>,
    /// 0 to 100, of the best match.
    pub confidence: u8,
    found: Found,
    /// The locality of a street or a locality that stands for the address.
    part_of: Option<String>,
}

impl Geocoded {
    /// What to look for.
    pub(crate) fn wanted(second_stage: bool) -> Wanted {
        Wanted { typing: Typing::Done, state: None, postcode: None, from: 0, count: COMPARED, second_stage }
    }

    /// The place that is meant, if one is.
    pub(crate) fn of(mut found: Found) -> Self {
        let confidence = found.page.first().map_or(0, |best| best.score.confidence);
        let mut best = found.page.iter().take_while(|scored| scored.score.confidence == confidence);
        // Of several equals none is meant, unless they are in one place.
        let place = match best.next() {
            Some(one) if !found.listed && !found.postal && confidence >= VALID => {
                best.all(|other| other.record.point == one.record.point).then(|| one.record.place())
            }
            _ => None,
        };
        // The answer shows, and is tagged with, one at most.
        found.page.truncate(1);
        Self { place, confidence, found, part_of: None }
    }

    /// The answer, fresh for `longest` if there is such a place.
    ///
    /// # Errors
    /// `INTERNAL_ERROR` when it can't be written as JSON.
    pub(crate) fn answer(&self, question: &Question, longest: Lifetime, tags: Tags) -> Result<Response, ApiError> {
        let reply = match &self.place {
            None => {
                let body = json!({"success": false, "confidence": self.confidence});
                Reply::cached(&body, Lifetime::EMPTY, tags)?
            }
            Some(place) => {
                let lifetime = if self.degraded() { Lifetime::EMPTY } else { longest };
                Reply::cached(&body(place, self.confidence, question), lifetime, tags)?
            }
        };
        Ok(with_mark(reply.into_response(), self.degraded()))
    }

    /// The street or the locality in place of an address that there is not, where `question` takes one.
    async fn or_part(self, database: &Database, deadline: Instant, question: &Question) -> Result<Self, ApiError> {
        let Question { asked, system, coarsest, .. } = question;
        if self.place.is_some() || self.found.postal || *coarsest == Precision::Property {
            return Ok(self);
        }
        let agrees = |part: &Part| match asked.other_place(&part.record) {
            None => true,
            Some(name) => name == "street" && part.record.spot.street_pid.is_empty(),
        };
        let part = find_part(database, deadline, &asked.text, *coarsest).await?;
        let Some(Part { record, confidence }) = part.filter(agrees) else { return Ok(self) };
        let part_of = Some(record.spot.locality_pid.clone());
        let place = in_datum(database, deadline, record.place(), *system).await?;
        Ok(Self { place: Some(place), confidence, part_of, ..self })
    }

    /// Without the place where the parts that were asked for are others.
    pub(crate) fn agreed(self, asked: &Asked) -> Self {
        let differs = self.found.page.first().is_some_and(|best| asked.disagreement(&best.record).is_some());
        if differs { Self { place: None, confidence: self.confidence.min(VALID - 1), ..self } } else { self }
    }

    /// A better place might have been found if misspellings had been corrected.
    pub(crate) fn degraded(&self) -> bool {
        self.found.degraded
    }

    /// Adds the tags of an answer that was made with it.
    pub(crate) fn tag(&self, tags: &mut Tags) {
        self.found.tag(tags);
        self.part_of.iter().for_each(|pid| _ = tags.need("locality", pid));
    }
}

/// Finds where `address` is.
///
/// # Errors
/// What the database says.
pub(crate) async fn geocode(
    database: &Database,
    deadline: Instant,
    address: &str,
    system: CoordinateSystem,
    second_stage: bool,
) -> Result<Geocoded, ApiError> {
    let found = find(database, deadline, address, &Geocoded::wanted(second_stage)).await?;
    let geocoded = Geocoded::of(found);
    let place = match geocoded.place {
        Some(place) => Some(in_datum(database, deadline, place, system).await?),
        None => None,
    };
    Ok(Geocoded { place, ..geocoded })
}

/// The place with its position in the datum that was asked for.
async fn in_datum(
    database: &Database,
    deadline: Instant,
    place: Place,
    system: CoordinateSystem,
) -> Result<Place, ApiError> {
    // PostGIS takes WGS84 and GDA2020 for one datum, as EPSG does at this precision (transformation 8450, null).
    if system != CoordinateSystem::Gda94 {
        return Ok(place);
    }
    let Some(Position { latitude, longitude }) = place.point else { return Err(ApiError::internal()) };
    let moved = database.query_opt(deadline, POINT, &[&latitude, &longitude, &system.srid()]).await?;
    let row = moved.ok_or_else(ApiError::internal)?;
    let point = Some(Position { latitude: row.get("latitude"), longitude: row.get("longitude") });
    Ok(Place { point, ..place })
}

/// What a client asks for.
pub(crate) struct Question {
    pub(crate) asked: Asked,
    pub(crate) system: CoordinateSystem,
    /// The coarsest position that is taken.
    coarsest: Precision,
    precision: bool,
    components: bool,
}

impl Question {
    /// Reads it.
    ///
    /// # Errors
    /// `MISSING_ADDRESS`, `INVALID_ADDRESS`, `ADDRESS_TOO_LONG`, `INVALID_COMPONENTS`, `INVALID_COORDINATE_SYSTEM`,
    /// `INVALID_PRECISION`, `INVALID_BOOLEAN_FLAG`.
    pub(crate) fn read(fields: &Fields) -> Result<Self, ApiError> {
        Ok(Self {
            asked: Asked::read(fields)?,
            system: CoordinateSystem::read(fields)?,
            coarsest: Precision::read(fields)?,
            precision: fields.flag("includePrecision", true, FLAG)?,
            components: fields.flag("includeComponents", true, FLAG)?,
        })
    }
}

/// Answers a geocoding.
///
/// # Errors
/// Those of [`Question::read`]; `SERVICE_UNAVAILABLE` when the database can't answer.
pub(crate) async fn answer(
    State(app): State<App>,
    Deadline(deadline): Deadline,
    headers: HeaderMap,
    QueryOrJson(fields): QueryOrJson,
) -> Result<Response, ApiError> {
    let question = Question::read(&fields)?;
    let mut tags = Tags::new(&app.facts.release());
    let Question { asked, system, .. } = &question;
    let found = geocode(&app.database, deadline, &asked.text, *system, !no_fuzzy(&headers)).await?;
    let found = found.agreed(asked).or_part(&app.database, deadline, &question).await?;
    found.tag(&mut tags);
    found.answer(&question, Lifetime::GEOCODE, tags)
}

fn body(place: &Place, confidence: u8, question: &Question) -> Value {
    let mut coordinates = place.position();
    if let Some(fields) = coordinates.as_object_mut() {
        fields.insert("coordinateSystem".into(), question.system.name().into());
        if question.precision {
            fields.insert("precision".into(), place.precision().name().into());
            fields.insert("reliability".into(), json!(place.reliability));
        }
    }
    let mut body = json!({
        "success": true,
        "coordinates": coordinates,
        "confidence": confidence,
        "gnafPid": place.pid,
        "formattedAddress": place.label(),
    });
    if let (true, Some(fields)) = (question.components, body.as_object_mut()) {
        fields.insert("components".into(), place.components());
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rank::{Score, Scored};
    use crate::record::Record;

    #[rstest::rstest]
    #[case::one(&[(90, 1.0)], true)]
    #[case::the_best(&[(90, 1.0), (89, 2.0)], true)]
    #[case::equals_in_one_place(&[(90, 1.0), (90, 1.0), (90, 1.0)], true)]
    #[case::equals_in_two_places(&[(90, 1.0), (90, 2.0)], false)]
    #[case::the_third_is_elsewhere(&[(90, 1.0), (90, 1.0), (90, 2.0)], false)]
    #[case::none_fits(&[(69, 1.0)], false)]
    #[case::nothing(&[], false)]
    fn a_place_is_given_where_only_one_is_meant(#[case] matches: &[(u8, f64)], #[case] given: bool) {
        let scored = |&(confidence, latitude): &(u8, f64)| Scored {
            record: Record { point: Some(Position { latitude, longitude: 145.0 }), ..Record::default() },
            score: Score { confidence, ..Score::default() },
            label: String::new(),
        };
        let found = Found::page_of(matches.iter().map(scored).collect(), &Geocoded::wanted(true));
        assert_eq!(Geocoded::of(found).place.is_some(), given);
    }
}
