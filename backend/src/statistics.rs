//! The statistical areas of a place (ASGS: mesh block, SA1 to SA4, capital city area, state).

use axum::extract::State;
use http::HeaderMap;
use serde_json::{Map, Value, json};
use tokio::time::Instant;
use tokio_postgres::Row;

use crate::app::App;
use crate::area::{self, Area};
use crate::degrade::no_fuzzy;
use crate::error::ApiError;
use crate::input::{Deadline, Fields, QueryOrJson};
use crate::location::Location;
use crate::place::round;
use crate::reply::{Answer, Lifetime, Reply};
use crate::tags::Tags;

const MESH_BLOCK_OF: &str = include_str!("sql/mesh_block_of.sql");
const MESH_BLOCK_NEAR: &str = include_str!("sql/mesh_block_near.sql");
const MESH_BLOCK: &str = include_str!("sql/mesh_block.sql");

/// A mesh block, and where an address told it, that one's identifier and how far away it is.
struct MeshBlock {
    address: Option<(String, f64)>,
    code: String,
    category: Option<String>,
    sa1: String,
}

/// GET and POST /api/v1/spatial/statistical-areas and /api/v1/spatial/statistics
pub(crate) async fn statistical_areas(
    State(app): State<App>,
    Deadline(deadline): Deadline,
    headers: HeaderMap,
    QueryOrJson(fields): QueryOrJson,
) -> Result<Reply, ApiError> {
    answer(&app, deadline, &fields, !no_fuzzy(&headers)).await?.into_reply()
}

/// The answer to one question, alone or in a batch; `second_stage` is whether a misspelt address is corrected.
///
/// What is surest comes first: the mesh block of the address asked about; the mesh block, else the SA1, whose outline holds the
/// position; the mesh block of an address within 50 m; the finest outline there is, which may be a simplified one.
pub(crate) async fn answer(
    app: &App,
    deadline: Instant,
    fields: &Fields,
    second_stage: bool,
) -> Result<Answer, ApiError> {
    let with_hierarchy = fields.flag("includeHierarchy", true, "INVALID_INCLUDE_HIERARCHY")?;
    let mut tags = Tags::new(&app.facts.release());
    tags.mark("areas");
    let location = Location::read(app, deadline, fields, second_stage, &mut tags).await?;

    let own = match &location.address {
        Some((pid, _)) => {
            tags.need("pid", pid);
            app.database.query_opt(deadline, MESH_BLOCK_OF, &[pid]).await?.map(MeshBlock::from_row)
        }
        None => None,
    };
    let (mesh_block, areas, accuracy) = match own {
        Some(block) => {
            let areas = area::above(app, deadline, &block.sa1).await?;
            (Some(block), areas, "MESH_BLOCK")
        }
        None => around(app, deadline, &location, &mut tags).await?,
    };
    if areas.is_empty() {
        return Err(ApiError::not_found("STATISTICAL_DATA_NOT_FOUND", "No statistical area is known for this place"));
    }

    let find = |level: &str| areas.iter().find(|area| area.level == level);
    let pick = |levels: &[&str]| -> Map<String, Value> {
        let found = levels.iter().filter_map(|level| find(level));
        found.map(|area| (area::parent_name(&area.level), area.to_json())).collect()
    };
    let classification = pick(&["SA1", "SA2", "SA3", "SA4"]);
    let mut hierarchy = Map::new();
    let mut metadata = json!({
        "dataSource": areas.iter().map(|area| area.edition.as_str()).max(),
        "accuracy": accuracy,
    });
    if let Some(block) = &mesh_block {
        hierarchy.insert("meshBlock".into(), json!({"code": block.code, "category": block.category}));
        if let Some((pid, metres)) = &block.address {
            tags.need("pid", pid);
            metadata["address"] = json!({"gnafPid": pid, "meters": round(*metres, 1)});
        }
    }
    hierarchy.extend(pick(&["GCCSA", "STE"]));
    areas.iter().for_each(|area| area.tag(&mut tags));

    let mut data = json!({
        "coordinates": location.to_json(),
        "classification": classification,
        "hierarchy": hierarchy,
        "metadata": metadata,
    });
    if let (false, Some(fields)) = (with_hierarchy, data.as_object_mut()) {
        fields.shift_remove("hierarchy");
    }
    Ok(Answer { data, meaning: None, lifetime: Lifetime::STATISTICS, tags })
}

/// The areas of a bare position, and how they were found.
async fn around(
    app: &App,
    deadline: Instant,
    location: &Location,
    tags: &mut Tags,
) -> Result<(Option<MeshBlock>, Vec<Area>, &'static str), ApiError> {
    let held: Vec<Area> = area::at(app, deadline, location).await?.into_iter().map(|holding| holding.area).collect();
    let outlined = |level: &str| held.iter().find(|area| area.level == level);
    if let Some(area) = outlined("MB")
        && let Some(row) = app.database.query_opt(deadline, MESH_BLOCK, &[&area.code]).await?
    {
        let block =
            MeshBlock { address: None, code: row.get("code"), category: row.get("category"), sa1: row.get("sa1") };
        let areas = area::above(app, deadline, &block.sa1).await?;
        return Ok((Some(block), areas, "MESH_BLOCK_OUTLINE"));
    }
    if let Some(sa1) = outlined("SA1") {
        return Ok((None, area::above(app, deadline, &sa1.code).await?, "SA1_OUTLINE"));
    }
    let (longitude, latitude) = (location.position.longitude, location.position.latitude);
    tags.near(&location.position, 50.0);
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 3] = [&longitude, &latitude, &location.system.srid()];
    if let Some(row) = app.database.query_opt(deadline, MESH_BLOCK_NEAR, &parameters).await? {
        let block = MeshBlock::from_row(row);
        let areas = area::above(app, deadline, &block.sa1).await?;
        return Ok((Some(block), areas, "NEAREST_ADDRESS"));
    }
    // Outlines of different detail need not agree near a border: the finest decides, and codes say what contains it.
    for (level, accuracy) in
        [("SA2", "SA2_OUTLINE"), ("SA3", "SA3_OUTLINE"), ("SA4", "SA4_OUTLINE"), ("STE", "STATE_OUTLINE")]
    {
        if let Some(finest) = outlined(level) {
            return Ok((None, area::above(app, deadline, &finest.code).await?, accuracy));
        }
    }
    Ok((None, Vec::new(), "NONE"))
}

impl MeshBlock {
    fn from_row(row: Row) -> Self {
        Self {
            address: Some((row.get("pid"), row.get("metres"))),
            code: row.get("code"),
            category: row.get("category"),
            sa1: row.get("sa1"),
        }
    }
}
