//! Reads every file that was found into the staging tables.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use tokio_postgres::Client;

use super::codes::BUILT_IN;
use super::copy::{self, Rows};
use super::feed::{self, Tally};
use super::find::{Found, Sort};
use super::layer::Layer;
use super::layout::{ADDRESS_TAGS, AUTHORITY, Layout, MESH_BLOCKS, standard};
use super::outlines::{NotTaken, Outlines};
use super::progress::Meter;
use super::release::{Datum, Edition, Editions, Release};
use super::{flat, outlines, unknown};

/// Whose row stands where two sources know one key: official data, generated data, flat files and look-ups.
const OFFICIAL: i32 = 1;
const GENERATED: i32 = 2;
const OTHER: i32 = 3;
const ADD_SOURCE: &str = include_str!("../sql/import/add_source.sql");
const REMOVE_SOURCE: &str = "DELETE FROM new_source WHERE source = $1";
/// A file of outlines says its edition, and often its datum, only inside.
const SET_EDITION: &str = "UPDATE new_source SET release = $2, srid = $3, assumed = $4 WHERE source = $1";

/// What was staged.
#[derive(Debug, Default)]
pub(crate) struct Staged {
    /// By kind of file.
    pub(crate) read: Vec<(&'static str, Tally)>,
    /// Files of outlines that turned out to be another layer, with the reason.
    pub(crate) left: Vec<(PathBuf, String)>,
}

/// Stages everything, in an order in which a wrong file is met early.
///
/// # Errors
/// At the first malformed file; when nothing is left to import.
pub(crate) async fn all(client: &mut Client, found: &Found, editions: &mut Editions) -> anyhow::Result<Staged> {
    let mut left = Vec::new();
    let mut read = vec![("codes", codes(client, found).await?)];
    for (sort, path) in &found.files {
        read.push(other(client, *sort, path, editions).await?);
    }
    for (path, layer) in &found.outlines {
        match outline(client, path, layer, editions).await {
            Ok(tally) => read.push(("outline", tally)),
            Err(error) => match error.downcast::<NotTaken>() {
                Ok(NotTaken(reason)) => left.push((path.clone(), reason)),
                Err(error) => return Err(error),
            },
        }
    }
    if read.len() == 1 && found.states.is_empty() && found.codes.is_empty() {
        bail!("nothing can be imported (see docs/data.md for what can){}", unknown::listed(&left));
    }
    for (state, files) in &found.states {
        let any = files.values().next().context("a state without files")?;
        let edition = editions.of(any)?;
        let (prefix, rank) = if edition.release.generated { ("generated", GENERATED) } else { ("gnaf", OFFICIAL) };
        let source = format!("{prefix}:{state}");
        warn_assumed(any, &edition);
        add_source(client, &source, rank, Some(state), &edition).await?;
        for layout in standard() {
            if let Some(path) = files.get(layout.table) {
                read.push((layout.table, file(client, layout, path, &source).await?));
            }
        }
    }
    Ok(Staged { read, left })
}

/// The published authority files, and the built-in ones (line 0) for what isn't published with this data.
async fn codes(client: &mut Client, found: &Found) -> anyhow::Result<Tally> {
    let mut total = Tally::default();
    for (kind, path) in &found.codes {
        total.rows += file(client, &AUTHORITY, path, kind).await?.rows;
    }
    copy::fill(client, AUTHORITY.into, |rows| {
        for (kind, text) in BUILT_IN {
            for line in text.lines().skip(1) {
                rows.text(kind);
                rows.number(0);
                line.split('|').for_each(|field| rows.text(field));
                rows.end()?;
            }
        }
        Ok(())
    })
    .await?;
    Ok(total)
}

async fn other(
    client: &mut Client,
    sort: Sort,
    path: &Path,
    editions: &mut Editions,
) -> anyhow::Result<(&'static str, Tally)> {
    let prefix = match sort {
        Sort::Flat => "core",
        Sort::MeshBlocks => "mesh_blocks",
        Sort::AddressTags => "tags",
    };
    let source = format!("{prefix}:{}", stem(path)?);
    let mut edition = editions.of(path)?;
    // Look-ups have no coordinates.
    edition.assumed &= sort == Sort::Flat;
    warn_assumed(path, &edition);
    add_source(client, &source, OTHER, None, &edition).await.with_context(|| path.display().to_string())?;
    Ok(match sort {
        Sort::Flat => (
            "flat",
            produce(client, "raw_flat", path, move |path, meter, rows| flat::feed(path, &source, meter, rows)).await?,
        ),
        Sort::MeshBlocks => (MESH_BLOCKS.table, file(client, &MESH_BLOCKS, path, &source).await?),
        Sort::AddressTags => (ADDRESS_TAGS.table, file(client, &ADDRESS_TAGS, path, &source).await?),
    })
}

async fn outline(client: &mut Client, path: &Path, layer: &Layer, editions: &mut Editions) -> anyhow::Result<Tally> {
    let source = format!("boundaries:{}", stem(path)?);
    let usual = if layer.year < 2020 { Datum::Gda94 } else { Datum::Gda2020 };
    let mut edition = Edition { release: Release::named(&layer.edition), datum: usual, assumed: false };
    add_source(client, &source, OTHER, None, &edition).await.with_context(|| path.display().to_string())?;
    let (of, lead) = (layer.clone(), source.clone());
    let read =
        produce(client, "raw_area", path, move |path, meter, rows| outlines::feed(path, &of, &lead, meter, rows));
    let Outlines { tally, datum } = match read.await {
        Ok(read) => read,
        Err(error) => {
            if error.is::<NotTaken>() {
                client.execute(REMOVE_SOURCE, &[&source]).await?;
            }
            return Err(error);
        }
    };
    let stated = datum.or(editions.datum_of(path)?);
    (edition.datum, edition.assumed) = (stated.unwrap_or(usual), stated.is_none());
    warn_assumed(path, &edition);
    let srid = edition.datum.srid();
    client.execute(SET_EDITION, &[&source, &layer.edition, &srid, &edition.assumed]).await?;
    Ok(tally)
}

fn warn_assumed(path: &Path, edition: &Edition) {
    if edition.assumed {
        tracing::warn!(
            path = %path.display(),
            datum = ?edition.datum,
            "nothing says in which datum this is, so it is assumed; state it by --datum, in RELEASES.psv or in the folder's name"
        );
    }
}

async fn file(client: &mut Client, layout: &'static Layout, path: &Path, lead: &str) -> anyhow::Result<Tally> {
    let lead = lead.to_owned();
    produce(client, layout.into, path, move |path, meter, rows| feed::feed(layout, path, &lead, meter, rows)).await
}

async fn produce<T: Send + 'static>(
    client: &mut Client,
    table: &str,
    path: &Path,
    read: impl FnOnce(&Path, &Meter, &mut Rows) -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    let path: PathBuf = path.to_owned();
    let bytes = std::fs::metadata(&path).with_context(|| format!("cannot open {}", path.display()))?.len();
    let meter = Meter::file(&path, bytes);
    copy::fill(client, table, move |rows| read(&path, &meter, rows)).await
}

async fn add_source(
    client: &Client,
    source: &str,
    rank: i32,
    state: Option<&str>,
    edition: &Edition,
) -> anyhow::Result<()> {
    let (release, datum) = (&edition.release, edition.datum);
    tracing::debug!(source, release = release.name, datum = ?datum, "reading");
    let assumed = edition.assumed;
    let added = client
        .execute(ADD_SOURCE, &[&source, &rank, &state, &datum.srid(), &release.name, &release.date, &assumed])
        .await?;
    if added == 0 {
        bail!("two of the files would both be the source {source}: rename one, or import them one after the other");
    }
    Ok(())
}

/// The file's name up to its first dot.
fn stem(path: &Path) -> anyhow::Result<String> {
    let name = path.file_name().and_then(|name| name.to_str()).context("a file name that isn't UTF-8")?;
    Ok(name.split('.').next().unwrap_or(name).to_owned())
}
