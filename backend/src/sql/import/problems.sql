-- By source, file and reason: how often, and the first three.
SELECT source, file, reason, count(*) AS times,
       (array_agg(line ORDER BY line))[1:3] AS lines, (array_agg(coalesce(key, '') ORDER BY line))[1:3] AS keys
FROM problem GROUP BY source, file, reason ORDER BY source, file, reason;
