//! Search over the sample, where the contract's tests don't look.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

#[path = "support/lib.rs"]
mod support;

use support::{Service, database::shared_url};

/// Not every unit of a tower is looked at, and then the total must not claim to be one.
#[tokio::test]
async fn a_tower_with_hundreds_of_units_has_a_capped_total() {
    let url = shared_url();
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let busiest = "SELECT concat_ws(' ', a.number_first, s.name, s.type) || ', ' || concat_ws(' ', l.name, l.state, min(a.postcode)), count(*)
       FROM address a JOIN street s ON s.pid = a.street_pid JOIN locality l ON l.pid = a.locality_pid
       WHERE NOT a.is_alias AND a.flat_number IS NOT NULL AND a.number_last IS NULL
       GROUP BY a.number_first, s.pid, l.pid ORDER BY count(*) DESC, 1";
    let towers = client.query(busiest, &[]).await.unwrap();
    let (tower, units): (String, i64) = (towers[0].get(0), towers[0].get(1));
    assert!(units > 200, "{tower} has {units} units");
    let small = towers.iter().find(|row| (50..150).contains(&row.get::<_, i64>(1))).unwrap();
    let service = Service::over(&url, &[], &[]).await;
    for (address, capped) in [(tower.as_str(), true), (small.get(0), false)] {
        let encoded: String = form_urlencoded::byte_serialize(address.as_bytes()).collect();
        let body = service.client.get(&format!("/api/v1/addresses/search?q={encoded}")).await.json();
        assert_eq!(body["totalIsCapped"] == true, capped, "{address}: {}", body["total"]);
    }
    service.stop(&[]).await;
}
