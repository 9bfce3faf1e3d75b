-- Reads on. KEYS: the stream. ARGV: the id read last (none: from the beginning), how many entries at most.
-- Gives whether the entry read last is still there, and the entries after it; where it is not, all from the beginning, and
-- one more that only moves the clock on: what is fetched from then on is told from what was kept before.
if ARGV[1] ~= '' and #redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1]) == 1 then
  return {1, redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', ARGV[2])}
end
if ARGV[1] ~= '' or redis.call('EXISTS', KEYS[1]) == 0 then
  -- For a Redis that is full, see append.lua.
  redis.call('PERSIST', KEYS[1])
  redis.call('XADD', KEYS[1], '*', 'kind', 'begin')
end
return {0, redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', ARGV[2])}
