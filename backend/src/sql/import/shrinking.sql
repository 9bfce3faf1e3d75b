-- The source that would lose the most, where that is a fifth or more.
SELECT d.source, count(*) AS gone, d.addresses
FROM changed_address c JOIN dataset d USING (source)
WHERE c.kind = 'gone'
GROUP BY d.source, d.addresses
HAVING count(*) >= 100 AND count(*) * 5 >= d.addresses
ORDER BY gone DESC LIMIT 1;
