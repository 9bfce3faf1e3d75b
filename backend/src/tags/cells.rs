//! A grid over the country, so that a new address purges the answers about its surroundings that were made without it.
//!
//! Three grids, of 256, 64 and 16 cells per degree: about 430, 1,700 and 7,000 m from north to south, and 65 to 99 % of that
//! from west to east. An address lies in one cell of each (`cell_tags()` in the database). A question about a circle takes
//! the finest grid of which a few cells cover it, so that its tags are few and unlikely to be hit by something far off.

use crate::input::coordinates::Position;

/// Cells per degree, the finest grid first.
const GRIDS: [f64; 3] = [256.0, 64.0, 16.0];
/// Cells that one question may need; of the coarsest grid 5 km anywhere in Australia need no more than 12.
const FEW: f64 = 9.0;
/// The datums differ by less than 2 m.
const MARGIN: f64 = 5.0;
/// The least length of a degree of latitude, and 1/cos(latitude) times that of longitude, on the ellipsoid.
const METRES_PER_DEGREE: (f64, f64) = (110_574.0, 111_319.0);

/// The tags of the cells that the box around a circle touches.
pub(super) fn around(position: &Position, metres: f64) -> Vec<String> {
    let metres = metres + MARGIN;
    let north = metres / METRES_PER_DEGREE.0;
    // Measured along the parallel that is nearest to the pole, where a metre is the most degrees.
    let parallel = (position.latitude.abs() + north).min(89.0).to_radians();
    let east = metres / (METRES_PER_DEGREE.1 * parallel.cos());
    let range =
        |middle: f64, reach: f64, grid: f64| ((middle - reach) * grid).floor()..=((middle + reach) * grid).floor();
    let ranges = |grid| (range(position.longitude, east, grid), range(position.latitude, north, grid));
    let count = |grid| {
        let (xs, ys) = ranges(grid);
        (xs.end() - xs.start() + 1.0) * (ys.end() - ys.start() + 1.0)
    };
    let [.., coarsest] = GRIDS;
    let grid = GRIDS.into_iter().find(|grid| count(*grid) <= FEW).unwrap_or(coarsest);
    let (xs, ys) = ranges(grid);
    let mut tags = Vec::new();
    for x in *xs.start() as i64..=*xs.end() as i64 {
        for y in *ys.start() as i64..=*ys.end() as i64 {
            tags.push(format!("cell:{grid}:{x}:{y}"));
        }
    }
    tags
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(latitude: f64, longitude: f64) -> Position {
        Position { latitude, longitude }
    }

    #[test]
    fn a_small_circle_takes_small_cells() {
        let cells = around(&at(-36.7170, 142.1990), 100.0);
        assert!(cells.len() <= 4, "{cells:?}");
        assert!(cells.contains(&"cell:256:36402:-9400".to_owned()), "{cells:?}");
        assert!(around(&at(-36.7170, 142.1990), 1_000.0)[0].starts_with("cell:64:"));
    }

    proptest! {
        /// Whatever lies inside the circle lies in one of its cells, and there are never more than twelve.
        #[test]
        fn a_circle_is_covered(
            latitude in -55.0..-8.0f64, longitude in 96.0..169.0f64, metres in 1.0..5_000.0f64,
            bearing in 0.0..std::f64::consts::TAU, part in 0.0..1.0f64,
        ) {
            let cells = around(&at(latitude, longitude), metres);
            prop_assert!(cells.len() <= 12, "{}", cells.len());
            // On a sphere as large as the ellipsoid is wide, where distances come out a little long at worst.
            let (distance, phi) = (part * metres / 6_378_137.0, latitude.to_radians());
            let north = (phi.sin() * distance.cos() + phi.cos() * distance.sin() * bearing.cos()).asin();
            let east = (bearing.sin() * distance.sin() * phi.cos()).atan2(distance.cos() - phi.sin() * north.sin());
            let (y, x) = (north.to_degrees(), longitude + east.to_degrees());
            let hit = GRIDS.iter().any(|grid| {
                cells.contains(&format!("cell:{grid}:{}:{}", (x * grid).floor(), (y * grid).floor()))
            });
            prop_assert!(hit);
        }
    }
}
