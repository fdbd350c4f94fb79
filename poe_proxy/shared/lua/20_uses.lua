-- How often each account was used, and how long its limits make it wait.
--
-- `u:<name>` ZSET: when each use arrived, by its id; a place that is held for a use is in it too, by
-- the name of its lease behind a "=". `o:<name>` ZSET: what was sent and is not known to have
-- arrived: when it was sent. `day:<yyyymmdd>` HASH: the uses of one day, by account.
local inf = math.huge
local uses = {}

-- Uses that are remembered beyond all limits of today: those of tomorrow may ask for them.
uses.KEPT = 500
-- Seconds after the last use that an account's uses are kept at least.
uses.KEPT_FOR = 2 * 86400

-- The day of a time, as yyyymmdd, in UTC.
local function day_of(seconds)
  local floor = math.floor
  local days = floor(seconds / 86400) + 719468
  local era = floor(days / 146097)
  local day = days - era * 146097
  local year = floor((day - floor(day / 1460) + floor(day / 36524) - floor(day / 146096)) / 365)
  day = day - (365 * year + floor(year / 4) - floor(year / 100))
  local month = floor((5 * day + 2) / 153)
  day = day - floor((153 * month + 2) / 5) + 1
  month = month < 10 and month + 3 or month - 9
  return string.format("%04d%02d%02d", year + era * 400 + (month <= 2 and 1 or 0), month, day)
end

-- A number from 0 to 1, 1 excluded, that looks like chance: one for each id.
local function fraction(id)
  local number = 1
  for place = 1, #id do
    number = (number * 31 + string.byte(id, place)) % 2147483647
  end
  for _ = 1, 3 do
    number = number * 16807 % 2147483647
  end
  return number / 2147483647
end

-- Count what must have arrived.
function uses.settle_late(name)
  local away = key("o", name)
  local first = call("ZRANGE", away, 0, 0, "WITHSCORES")
  while first[1] and first[2] + rules.MARGIN <= now do
    call("ZREM", away, first[1])
    call("ZADD", key("u", name), exact(first[2] + rules.MARGIN), first[1])
    first = call("ZRANGE", away, 0, 0, "WITHSCORES")
  end
  return first[1] ~= nil
end

-- The use that came so many before the next one: its id, and when it arrived.
local function use_before(name, number)
  local use = call("ZREVRANGE", key("u", name), number - 1, number - 1, "WITHSCORES")
  return use[1], tonumber(use[2])
end

-- The seconds until the limits of `token` allow one more use. What is on its way counts as if it were
-- sent this moment.
function uses.wait(token)
  local longest = 0
  if #token.limits == 0 then
    return longest
  end
  local away = uses.settle_late(token.name) and call("ZCARD", key("o", token.name)) or 0
  for _, limit in ipairs(token.limits) do
    local what, first, second = limit[1], limit[2], limit[3]
    local before = what == "within" and first or 1
    local wait = 0
    if away >= before then
      wait = now + (what == "within" and second or first) - now
    else
      local id, at = use_before(token.name, before - away)
      if id and what == "within" then
        wait = at + second - now
      elseif id then
        -- What a use that is on its way adds is not known before it has arrived.
        local jitter = (second > 0 and at < now) and second * fraction(id) or 0
        wait = at + (first + jitter) - now
      end
    end
    longest = math.max(longest, wait)
  end
  return longest
end

-- The seconds until all that was sent has arrived, at the latest.
function uses.unsettled_for(name)
  local last = call("ZREVRANGE", key("o", name), 0, 0, "WITHSCORES")
  return last[1] and math.max(0, last[2] + rules.MARGIN - now) or 0
end

-- The seconds since each use that the limits remember, the oldest first.
function uses.ages(token)
  uses.settle_late(token.name)
  local ages = {}
  local from = exact(now - token.window)
  local known = call("ZRANGEBYSCORE", key("u", token.name), from, "+inf", "WITHSCORES")
  for place = 2, #known, 2 do
    ages[#ages + 1] = now - known[place]
  end
  for _ = 1, call("ZCARD", key("o", token.name)) do
    ages[#ages + 1] = 0
  end
  return ages
end

-- Forget what no limit asks for.
local function keep(token)
  local arrived = key("u", token.name)
  local more = call("ZCARD", arrived) - uses.KEPT
  if more > uses.KEPT / 10 then
    local old = call("ZCOUNT", arrived, "-inf", "(" .. exact(now - token.window))
    if old > 0 then
      call("ZREMRANGEBYRANK", arrived, 0, math.min(old, more) - 1)
    end
  end
  local seconds = math.ceil(math.max(token.window, uses.KEPT_FOR))
  call("EXPIRE", arrived, seconds)
end

-- Count a use by `lease` that may follow as one that arrived at `since`.
function uses.hold_place(token, lease, since)
  call("ZADD", key("u", token.name), exact(since), "=" .. lease)
  keep(token)
end

function uses.free_place(token, lease)
  call("ZREM", key("u", token.name), "=" .. lease)
end

-- Places that the limits no longer remember stay forgotten, whatever the next limits are.
function uses.forget_places(token)
  local arrived = key("u", token.name)
  local old = call("ZRANGEBYSCORE", arrived, "-inf", "(" .. exact(now - token.window))
  for _, id in ipairs(old) do
    if string.sub(id, 1, 1) == "=" then
      call("ZREM", arrived, id)
    end
  end
end

-- Count a use that is sent now, or at `at`.
function uses.send(token, id, at)
  local away = key("o", token.name)
  call("ZADD", away, exact(at or now), id)
  call("EXPIRE", away, uses.KEPT_FOR)
  local day = key("day", day_of(now))
  call("HINCRBY", day, token.name, 1)
  call("EXPIRE", day, 2 * 86400)
end

-- When a use was sent, as far as is known.
function uses.sent_at(token, id)
  local at = call("ZSCORE", key("o", token.name), id)
  if at then
    return tonumber(at)
  end
  local arrived = call("ZSCORE", key("u", token.name), id)
  return arrived and arrived - rules.MARGIN or now
end

-- Take back what was counted at `since` as sent before it was.
function uses.unsend(token, id, since)
  call("ZREM", key("o", token.name), id)
  call("ZREM", key("u", token.name), id)
  call("HINCRBY", key("day", day_of(since)), token.name, -1)
end

-- Note that a use has arrived by now; does nothing if it has long done so.
function uses.settle(token, id)
  uses.settle_late(token.name)
  if call("ZREM", key("o", token.name), id) == 1 then
    call("ZADD", key("u", token.name), exact(now), id)
    keep(token)
  end
end
