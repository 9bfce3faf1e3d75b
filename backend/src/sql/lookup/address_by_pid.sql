-- One address by its identifier ($1).
SELECT a.pid, a.building_name, a.lot_number, a.flat_type, a.flat_number, a.level_type, a.level_number, a.number_first,
       a.number_last, a.postcode, a.geocode_type, a.reliability, a.is_alias,
       ST_Y(a.point::geometry) AS latitude, ST_X(a.point::geometry) AS longitude,
       a.legal_parcel_id, a.mesh_block, a.confidence AS sources, a.primary_secondary, a.private_street, a.location_description,
       s.pid AS street_pid, s.name AS street_name, s.type AS street_type, s.suffix AS street_suffix,
       l.pid AS locality_pid, l.name AS locality_name, l.state
FROM address a
JOIN locality l ON l.pid = a.locality_pid
LEFT JOIN street s ON s.pid = a.street_pid
WHERE a.pid = $1
