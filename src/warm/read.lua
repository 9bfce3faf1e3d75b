-- Reads the most asked. KEYS: ranks, requests (one slot). ARGV: how many. Gives digest, uses and request of each.
local rows = {}
local ranked = redis.call('ZRANGE', KEYS[1], 0, ARGV[1] - 1, 'REV', 'WITHSCORES')
for i = 1, #ranked, 2 do
  local request = redis.call('HGET', KEYS[2], ranked[i])
  if request then
    rows[#rows + 1] = {ranked[i], ranked[i + 1], request}
  end
end
return rows
