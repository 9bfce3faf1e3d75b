-- Writes a purge. KEYS: the stream. ARGV: about how many entries it keeps, soft or hard, names (16 bytes each; none: all).
-- A Redis that is full lets a script add only where it has written before: here, what changes nothing.
redis.call('PERSIST', KEYS[1])
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('XADD', KEYS[1], '*', 'kind', 'begin')
end
return redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'kind', ARGV[2], 'names', ARGV[3])
