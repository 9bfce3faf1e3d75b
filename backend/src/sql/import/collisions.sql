-- Two labels that share a made-up identifier are something else than one address given twice.
UPDATE problem p SET reason = 'its made-up identifier is taken by another label'
FROM raw_flat f
WHERE p.file = 'flat' AND p.reason = 'given twice' AND f.source = p.source AND f.line = p.line
  AND EXISTS (SELECT FROM new_address n JOIN raw_flat k ON k.source = n.source AND k.line = n.line
              WHERE n.pid = p.key AND k.label IS DISTINCT FROM f.label);
