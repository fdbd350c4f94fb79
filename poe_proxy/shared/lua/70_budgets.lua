-- What clients have used and may still use. A client is known by its name, a request by its id; what
-- the limits are is said by whoever asks.
--
--   b:all:<client>         HASH: how long its requests last; points by the first day of each month
--   b:<day>:<client>       HASH: requests, tokens, points, exact
--   b:sent:<client>        ZSET: requests of the last minute, by when they were sent
--   b:under_way:<client>   ZSET: requests under way, by when they began
--   b:held:<client>        SET: those of them that were not sent yet
--   asks:<worker>          HASH: its requests under way, each with its client
--   asks_free              HASH: by worker, what is under way of clients without limits
function chapters.budgets()
  -- Two months, as budgets go by them, and a day.
  local KEPT = 63 * 86400
  -- Seconds for which a place may be unknown to its worker: it may have been given a moment ago.
  local GRACE = 10

  local function of(name, what)
    return key("b", what, name)
  end

  local function number(hash, field)
    return tonumber(call("HGET", hash, field) or 0)
  end

  -- The first day of the month of a day, and of the next month: days are counted from 1970 on, and
  -- years here begin in March, so that a day too many is at their end.
  local function month(day)
    local from_0 = day + 719468
    local era = math.floor(from_0 / 146097)
    local of_era = from_0 - era * 146097
    local year = math.floor(
      (of_era - math.floor(of_era / 1460) + math.floor(of_era / 36524)
        - math.floor(of_era / 146096)) / 365)
    local of_year = of_era - (365 * year + math.floor(year / 4) - math.floor(year / 100))
    local place = math.floor((5 * of_year + 2) / 153)
    local starts = math.floor((153 * place + 2) / 5)
    local first = day - (of_year - starts)
    if place < 11 then
      return first, first + math.floor((153 * (place + 1) + 2) / 5) - starts
    end
    -- February is what the others leave of the year.
    local real = year + 1 + era * 400
    local leaps = real % 4 == 0 and (real % 100 ~= 0 or real % 400 == 0)
    return first, first + (leaps and 29 or 28)
  end

  local function today(begins)
    return math.floor((now - begins) / 86400)
  end

  local function forget(name, request)
    call("ZREM", of(name, "under_way"), request)
    call("SREM", of(name, "held"), request)
  end

  local function hold(name, request, began, is_held)
    call("ZADD", of(name, "under_way"), exact(began), request)
    if is_held then
      call("SADD", of(name, "held"), request)
    end
    call("HSET", key("asks", worker), request, name)
  end

  -- The requests of a worker that is no more.
  function forget_requests(gone)
    local asks = key("asks", gone)
    local found = call("HGETALL", asks)
    for place = 1, #found, 2 do
      forget(found[place + 1], found[place])
    end
    call("DEL", asks)
    call("HDEL", key("asks_free"), gone)
  end

  -- What of a client stands in the way, or does not, with *besides* over.
  local function look(about, besides)
    local name, limits = about.name, about.limits
    local day = today(about.begins)
    local seen = {day = day, held = 0}
    if limits.per_minute or limits.per_day then
      seen.held = call("SCARD", of(name, "held"))
        - call("SISMEMBER", of(name, "held"), besides)
    end
    if limits.per_minute then
      local sent = of(name, "sent")
      call("ZREMRANGEBYSCORE", sent, "-inf", exact(now - about.minute))
      seen.sent = call("ZCARD", sent)
    end
    if limits.per_day or limits.tokens_per_day or limits.points_per_day then
      local had = call("HMGET", of(name, day), "requests", "tokens", "points")
      seen.requests, seen.tokens, seen.points =
        tonumber(had[1] or 0), tonumber(had[2] or 0), tonumber(had[3] or 0)
    end
    seen.next_day = (day + 1) * 86400 + about.begins - now
    return seen
  end

  -- The limit that stands in the way of one more request for longest; nil if none does.
  local function refused(about, besides, seen)
    local name, limits = about.name, about.limits
    local worst
    local function found(limit, seconds)
      if seconds > 0 and (not worst or seconds > worst.seconds) then
        worst = {limit = limit, most = limits[limit], seconds = seconds}
      end
    end
    if limits.at_a_time then
      local ways = of(name, "under_way")
      local others = call("ZCARD", ways) - (call("ZSCORE", ways, besides) and 1 or 0)
      if others >= limits.at_a_time then
        local first = call("ZRANGE", ways, 0, 1, "WITHSCORES")
        local since = tonumber(first[1] == besides and first[4] or first[2])
        -- Nobody knows when one of them is over; the others took so long.
        local lasts = number(of(name, "all"), "lasts")
        found("at_a_time", math.min(about.minute, math.max(1, since + lasts - now)))
      end
    end
    if limits.per_minute then
      local over = seen.sent + seen.held - limits.per_minute
      if over >= 0 then
        local seconds = about.minute
        if over < seen.sent then
          local at = call("ZRANGE", of(name, "sent"), over, over, "WITHSCORES")[2]
          seconds = math.max(0, tonumber(at) + about.minute - now)
        end
        found("per_minute", seconds)
      end
    end
    if limits.per_day and seen.requests + seen.held >= limits.per_day then
      found("per_day", seen.next_day)
    end
    if limits.tokens_per_day and seen.tokens >= limits.tokens_per_day then
      found("tokens_per_day", seen.next_day)
    end
    if limits.points_per_day and seen.points >= limits.points_per_day then
      found("points_per_day", seen.next_day)
    end
    if limits.points_per_month then
      local first, next_first = month(seen.day)
      if number(of(name, "all"), "points:" .. first) >= limits.points_per_month then
        found("points_per_month", next_first * 86400 + about.begins - now)
      end
    end
    return worst
  end

  -- What is left of what is counted: [most, left, seconds] for each limit that there is.
  local function left(about, seen)
    local limits = about.limits
    local shares = {next_day = seen.next_day}
    if limits.per_minute then
      local last = now - about.minute
      if seen.held > 0 then
        last = now
      elseif seen.sent > 0 then
        last = tonumber(call("ZRANGE", of(about.name, "sent"), -1, -1, "WITHSCORES")[2])
      end
      shares.per_minute = {
        limits.per_minute - seen.sent - seen.held, last + about.minute - now}
    end
    if limits.per_day then
      shares.per_day = {limits.per_day - seen.requests - seen.held, seen.next_day}
    end
    if limits.tokens_per_day then
      shares.tokens = {limits.tokens_per_day - seen.tokens, seen.next_day}
    end
    return shares
  end

  -- {name, request, limits, begins, minute}: hold a place, or say what stands in its way.
  function acts.b_check(about)
    local request = about.request
    local seen = look(about, request)
    if call("HEXISTS", key("asks", worker), request) == 1 then
      return {refused = null, left = left(about, seen)}
    end
    local worst = refused(about, "", seen)
    if not worst then
      hold(about.name, request, now, true)
    end
    return {refused = worst or null, left = left(about, seen)}
  end

  -- The same without a place: as if *request* were over.
  function acts.b_look(about)
    local seen = look(about, about.request)
    return {refused = refused(about, about.request, seen) or null, left = left(about, seen)}
  end

  -- {names, begins}: what each client has used.
  function acts.b_standing(about)
    local day = today(about.begins)
    local first = month(day)
    local free = call("HGETALL", key("asks_free"))
    local under_way = {}
    for place = 1, #free, 2 do
      if free[place] ~= worker then
        for name, ways in pairs(cjson.decode(free[place + 1])) do
          under_way[name] = (under_way[name] or 0) + ways
        end
      end
    end
    local rows = {}
    for place, name in ipairs(about.names) do
      local had = call("HMGET", of(name, day), "requests", "tokens", "points", "exact")
      rows[place] = {
        tonumber(had[1] or 0), tonumber(had[2] or 0), tonumber(had[3] or 0),
        tonumber(had[4] or 0), number(of(name, "all"), "points:" .. first),
        call("ZCARD", of(name, "under_way")) + (under_way[name] or 0)}
    end
    return {day = day, rows = rows}
  end

  -- {requests: [[id, client, seconds since it began, whether it was not sent yet]], free: {client:
  -- how many are under way of one without limits}}: all that a worker has under way.
  local function keep(about)
    local asks = key("asks", worker)
    local theirs = {}
    for _, one in ipairs(about.requests) do
      theirs[one[1]] = true
      if call("HEXISTS", asks, one[1]) == 0 then
        hold(one[2], one[1], now - one[3], one[4])
      end
    end
    local known = call("HGETALL", asks)
    for place = 1, #known, 2 do
      local request, name = known[place], known[place + 1]
      if not theirs[request] then
        local began = tonumber(call("ZSCORE", of(name, "under_way"), request) or "-inf")
        if now - began > GRACE then
          forget(name, request)
          call("HDEL", asks, request)
        end
      end
    end
    if next(about.free) then
      call("HSET", key("asks_free"), worker, cjson.encode(about.free))
    else
      call("HDEL", key("asks_free"), worker)
    end
  end

  -- The same by itself, for who has yet to become known.
  function acts.b_hold(about)
    keep(about)
    return true
  end

  local function count(name, begins, requests, tokens, points, exact_points)
    local day = today(begins)
    local had = of(name, day)
    for field, more in pairs(
      {requests = requests, tokens = tokens, points = points, exact = exact_points}) do
      if more ~= 0 then
        call("HINCRBY", had, field, string.format("%.0f", more))
      end
    end
    call("EXPIRE", had, KEPT)
    if points ~= 0 then
      local client, first = of(name, "all"), month(day)
      call("HINCRBY", client, "points:" .. first, string.format("%.0f", points))
      call("EXPIRE", client, KEPT)
      -- That of the month before the last one is of no use.
      call("HDEL", client, "points:" .. month(month(first - 1) - 1))
    end
  end

  -- {begins, minute, share, acts: [...], hold: see `keep`}, and each act is one of
  --   [sent, client, request, whether its minute is counted]
  --   [over, client, request, tokens, points, of these exact, whether it was sent]
  --   [used, client, requests, tokens, points, exact]: of a client without limits, all together
  function tells.budgets(told)
    for _, act in ipairs(told.acts) do
      local what, name, request = act[1], act[2], act[3]
      if what == "sent" then
        call("SREM", of(name, "held"), request)
        count(name, told.begins, 1, 0, 0, 0)
        if act[4] then
          call("ZADD", of(name, "sent"), exact(now), request)
          call("EXPIRE", of(name, "sent"), math.ceil(told.minute) + 1)
        end
      elseif what == "over" then
        local began = call("ZSCORE", of(name, "under_way"), request)
        if began and act[7] then
          local client = of(name, "all")
          local lasts = number(client, "lasts")
          local share = lasts == 0 and 1 or told.share
          lasts = lasts + (now - tonumber(began) - lasts) * share
          call("HSET", client, "lasts", exact(lasts))
          call("EXPIRE", client, KEPT)
        end
        forget(name, request)
        call("HDEL", key("asks", worker), request)
        if act[7] then
          count(name, told.begins, 0, act[4], act[5], act[6])
        end
      else
        count(name, told.begins, act[3], act[4], act[5], act[6])
      end
    end
    if told.hold ~= null then
      keep(told.hold)
    end
  end
end
