-- Tries every command that the gateway uses, on keys that are gone within seconds. KEYS: a text, a stream, a sorted set, a hash (one
-- slot). Gives for each command that the user may not use the command and what Redis says.
local text, stream, set, hash = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local tried = {
  {'SET', text, '1', 'PX', '5000'}, {'GET', text}, {'PERSIST', text}, {'PEXPIRE', text, '5000'}, {'EXPIRE', text, '5'},
  {'EXISTS', text}, {'DEL', text}, {'UNLINK', text}, {'TIME'},
  {'XADD', stream, '*', 'a', 'b'}, {'PEXPIRE', stream, '5000'}, {'XRANGE', stream, '-', '+', 'COUNT', '1'},
  {'XREAD', 'COUNT', '1', 'STREAMS', stream, '0'},
  {'ZADD', set, '1', 'a'}, {'PEXPIRE', set, '5000'}, {'ZRANGE', set, '0', '0'}, {'ZRANGEBYSCORE', set, '0', '0'},
  {'ZUNIONSTORE', set, '1', set}, {'ZREM', set, 'a'},
  {'HSET', hash, 'a', 'b'}, {'PEXPIRE', hash, '5000'}, {'HGET', hash, 'a'}, {'HGETALL', hash}, {'HVALS', hash}, {'HDEL', hash, 'a'},
  {'UNLINK', text, stream, set, hash},
}
local denied, known = {}, {}
for _, command in ipairs(tried) do
  local answer = redis.pcall(unpack(command))
  local message = type(answer) == 'table' and answer.err
  local is_denied = message and (string.find(message, 'NOPERM') or string.find(message, 'The user executing the script'))
  if is_denied and not known[command[1]] then
    known[command[1]] = true
    denied[#denied + 1] = command[1] .. ': ' .. message
  end
end
return denied
