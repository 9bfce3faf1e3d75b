-- Leases tokens of one budget to one instance (GCRA, see gcra.rs). One key, so one hash slot; no loop.
--
-- KEYS[1]  the account; holds its theoretical arrival time (TAT) in microseconds
-- ARGV     period in microseconds, requests in it, tokens given back (less than 0: spent without a lease), tokens wanted,
--          share
-- returns  tokens leased, microseconds until the whole budget is there, microseconds until one token is
--
-- The clock is the server's, so instances may disagree about the time. A TAT further ahead than one period can only be
-- another server's clock (after a failover): it is cut to an empty budget.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local period, count = tonumber(ARGV[1]), tonumber(ARGV[2])
local back, want, share = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local interval = period / count

local tat = tonumber(redis.call('GET', KEYS[1]) or nil)
if not tat or not (tat > now) then
  tat = now
end
tat = math.max(math.min(math.min(tat, now + period) - back * interval, now + period), now)

-- A thousandth of a token makes up for what the division loses.
local available = math.floor((now + period - tat) / interval + 0.001)
-- No instance takes more than its share of what is left, so that the last tokens don't lie idle with one of them; but
-- a hundredth of the whole budget at least, so that a flood does not fetch them one by one.
local most = math.max(math.floor(available / share), math.ceil(count / 100))
local granted = math.max(math.min(want, most, available), 0)

tat = tat + granted * interval
if tat > now then
  -- Numbers turned into text by Lua itself lose their last digits.
  redis.call('SET', KEYS[1], string.format('%.0f', tat), 'PX', string.format('%.0f', math.ceil((tat - now) / 1000)))
else
  redis.call('DEL', KEYS[1])
end
return { granted, math.ceil(tat - now), math.ceil(math.max(tat + interval - now - period, 0)) }
