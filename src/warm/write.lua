-- Adds requests to the most asked. KEYS: ranks, requests (one slot). ARGV: how many are kept, then for each request its
-- digest, its uses and itself. What several instances say of one request is not added up: the most counts. What no one
-- speaks of any more fades.
redis.call('ZUNIONSTORE', KEYS[1], 1, KEYS[1], 'WEIGHTS', '0.99')
for i = 2, #ARGV, 3 do
  redis.call('ZADD', KEYS[1], 'GT', ARGV[i + 1], ARGV[i])
  redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 2])
end
local surplus = redis.call('ZRANGE', KEYS[1], 0, -1 - ARGV[1])
for _, digest in ipairs(surplus) do
  redis.call('ZREM', KEYS[1], digest)
  redis.call('HDEL', KEYS[2], digest)
end
redis.call('EXPIRE', KEYS[1], 604800)
redis.call('EXPIRE', KEYS[2], 604800)
