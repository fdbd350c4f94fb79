-- The requests of all workers that wait, in one order.
--
-- `want` HASH: lease -> what it wants. `line` ZSET: lease -> ticket, in the order of serving.
-- `line:<class>` ZSET: the same of those that are served alike: of one worker, for the same accounts and
-- the same bot. Whoever of a class cannot be served stands for all behind. `heads` ZSET: class -> the
-- ticket of its first one. `first` HASH: class -> since when its first one has been that, and its lease.
-- `alike:<fit>` ZSET: as `line`, of all that want the same accounts; `own:<fit>:<client>`: of these,
-- those of one client. `n:<digest>` SET: names of accounts, as wants name them.

-- Seconds for which names are known after they were last asked for.
local NAMES_KEPT = 86400
-- How many of a class are looked at for one that has less time than its first.
local LOOKED_AT = 100

-- Seconds as they travel: null where there is no end to them.
local function seconds(number)
  return number < inf and number or null
end

-- Seconds as they came.
local function number_of(seconds)
  return (seconds == nil or seconds == null) and inf or seconds
end

-- ---- what a request wants

-- Add what follows from what a want says.
local function fitted(want)
  local avoided = {}
  for _, name in ipairs(want.avoid) do
    avoided[name] = true
  end
  local names = key("n", want.names)
  want.fits = function(name)
    return not avoided[name] and call("SISMEMBER", names, name) == 1
  end
  want.within = math.max(0, want.deadline - now)
  return want
end

-- What waits in line under this id: worker, since, and what it wants; nil if nothing does.
local function waiter_of(lease)
  local text = call("HGET", key("want"), lease)
  if not text then
    return nil
  end
  local want = cjson.decode(text)
  want.lease = lease
  want.since, want.deadline = tonumber(want.since), tonumber(want.deadline)
  return fitted(want)
end

local function kinds_of(want)
  return want.kinds ~= null and want.kinds or call("SMEMBERS", key("kinds"))
end

-- What is ready, in the order of lending: of what never was lent, that first which is at home here.
local function each_ready(want)
  local sources = {}
  local function step(source)
    local at
    source.name, at = source.names()
    if source.name then
      local rank = math.floor(at / RANK) * RANK
      source.at, source.turn = at, at - rank < NEVER and rank or at
    end
  end
  for _, kind in ipairs(kinds_of(want)) do
    for _, list in ipairs({key("ready", kind, want.worker), key("ready", kind)}) do
      local source = {list = list, names = names_in(list), away = #sources % 2}
      step(source)
      table.insert(sources, source)
    end
  end
  return function()
    while true do
      local first
      for _, one in ipairs(sources) do
        if one.name and (
          not first or one.turn < first.turn or (one.turn == first.turn
          and (one.away < first.away or (one.away == first.away and one.at < first.at)))
        ) then
          first = one
        end
      end
      if not first then
        return nil
      end
      local known = listed(first.list, first.name)
      step(first)
      if known and is_at_hand(known, want.worker) then
        return known
      end
    end
  end
end

-- The accounts in one of the lists of each kind, up to a score, for which `may` is true.
local function each_in(list, want, most, may)
  local kinds, at, names, found_in = kinds_of(want), 0, nil, nil
  return function()
    while true do
      local name = names and names()
      if name then
        local known = listed(found_in, name)
        if known and may(known, want.worker) then
          return known
        end
      else
        at = at + 1
        if not kinds[at] then
          return nil
        end
        found_in = key(list, kinds[at])
        names = names_in(found_in, most < inf and exact(most) or "+inf")
      end
    end
  end
end

-- The seconds until the soonest account that fits is rested; `inf` if time does not help.
local function soonest(want)
  local least = inf
  for _, kind in ipairs(kinds_of(want)) do
    local rested = key("rested", kind)
    for name, at in names_in(rested) do
      if at - now >= least then
        break
      end
      local known = want.fits(name) and listed(rested, name)
      if known and may_live_at(known, want.worker) then
        least = math.min(least, rest_of(known, want.bot))
      end
      if least <= 0 then
        break
      end
    end
  end
  return math.max(least, closed_for())
end

-- The account for a want, and whether one is passed over for a better one. `may_let_move` says whether
-- the want has been the first for long enough.
local function choose(want, may_let_move)
  local function all()
    return each_in("rested", want, now + want.within, may_come)
  end
  local known, passes_over = best(want, each_ready(want), all)
  if not known and may_let_move(want) then
    local idle = each_in("idle", want, now - rules.IDLE_AT_HOME, may_move)
    known = best(want, idle, all)
  end
  return known, passes_over == true
end

-- ---- places in line

local function lists_of(want)
  local lists = {key("line"), key("line", want.class), key("alike", want.fit)}
  if want.client ~= "" then
    table.insert(lists, key("own", want.fit, want.client))
  end
  return lists
end

-- Note who is the first of a class.
local function set_head(class)
  local head = call("ZRANGE", key("line", class), 0, 0, "WITHSCORES")
  if not head[1] then
    call("ZREM", key("heads"), class)
    call("HDEL", key("first"), class)
    return
  end
  call("ZADD", key("heads"), head[2], class)
  local known = call("HGET", key("first"), class)
  if not known or string.match(known, " (.*)") ~= head[1] then
    call("HSET", key("first"), class, exact(now) .. " " .. head[1])
  end
end

-- Whether it has been the first of its class for so long that an account may move for it.
local function is_long_first(want)
  local since, lease = string.match(call("HGET", key("first"), want.class) or "", "(%S+) (.*)")
  return lease == want.lease and tonumber(since) + rules.FIRST_IN_LINE <= now
end

local function put_at(want, ticket)
  for _, list in ipairs(lists_of(want)) do
    call("ZADD", list, ticket, want.lease)
  end
  set_head(want.class)
end

-- Out of line; does nothing if it is not in it.
local function forget_waiter(lease)
  local want = waiter_of(lease)
  if not want then
    return
  end
  for _, list in ipairs(lists_of(want)) do
    call("ZREM", list, lease)
  end
  call("HDEL", key("want"), lease)
  call("SREM", key("w", want.worker), lease)
  set_head(want.class)
end

-- Let a want go before those right before it in a list that yield; one that does not ends it. The
-- places of all others stay as they are.
local function move_up(want, ticket, list, yields)
  local at = ticket
  while true do
    local before = call(
      "ZREVRANGEBYSCORE", list, "(" .. exact(at), "-inf", "WITHSCORES", "LIMIT", 0, 1
    )
    local other = before[1] and waiter_of(before[1])
    if not other or not yields(other) then
      break
    end
    put_at(other, exact(at))
    at = tonumber(before[2])
  end
  if at ~= ticket then
    put_at(want, exact(at))
  end
  return at
end

-- Say of a want which others are served alike.
local function classify(want)
  local kinds = want.kinds ~= null and want.kinds or {"*"}
  table.sort(kinds)
  table.sort(want.avoid)
  want.fit = table.concat({
    want.names, table.concat(kinds, ","), table.concat(want.avoid, ","),
  }, "|")
  want.class = table.concat({want.worker, want.fit, tostring(want.probes), want.bot}, "|")
end

local function keep_want(want)
  call("HSET", key("want"), want.lease, cjson.encode({
    worker = want.worker, names = want.names, kinds = want.kinds, avoid = want.avoid,
    bot = want.bot, probes = want.probes, sends = want.sends, client = want.client,
    streams = want.streams, priority = want.priority, class = want.class, fit = want.fit,
    since = exact(want.since), deadline = exact(want.deadline),
  }))
end

-- Let what waits already want other accounts; it keeps its place.
local function refit(want, about)
  local ticket = call("ZSCORE", key("line"), want.lease)
  for _, list in ipairs(lists_of(want)) do
    call("ZREM", list, want.lease)
  end
  set_head(want.class)
  want.names, want.kinds, want.avoid = about.names, about.kinds, about.avoid
  classify(want)
  keep_want(want)
  put_at(want, ticket)
  return fitted(want)
end

-- Let a want join the line; return its ticket.
local function queue(want)
  local ticket = call("INCR", key("ticket"))
  keep_want(want)
  call("SADD", key("w", want.worker), want.lease)
  put_at(want, exact(ticket))
  local function came(one)
    return one.since - rules.STEP * one.priority
  end
  ticket = move_up(want, ticket, key("alike", want.fit), function(one)
    local are_of_one = one.client == want.client and want.client ~= ""
    return came(one) > came(want) and not are_of_one
  end)
  if want.streams and want.client ~= "" then
    ticket = move_up(want, ticket, key("own", want.fit, want.client), function(one)
      return not one.streams and one.since > want.since - rules.HEAD_START
    end)
  end
  return ticket
end

-- ---- serving

-- The next one of a class behind a ticket, which has less time than `within` if that is said.
local function next_of(class, ticket, within)
  local most = within and LOOKED_AT or 1
  local after = "(" .. exact(ticket)
  local line = key("line", class)
  local rest = call("ZRANGEBYSCORE", line, after, "+inf", "WITHSCORES", "LIMIT", 0, most)
  for at = 1, #rest, 2 do
    local want = waiter_of(rest[at])
    if not want then
      -- Redis has forgotten what it wants.
      call("ZREM", line, rest[at])
      call("ZREM", key("line"), rest[at])
      set_head(class)
    elseif not within or want.within < within then
      return {want = want, class = class, ticket = tonumber(rest[at + 1]), within = within}
    end
  end
end

local function insert_by_ticket(places, place)
  local at = 1
  while places[at] and places[at].ticket < place.ticket do
    at = at + 1
  end
  table.insert(places, at, place)
end

-- Walk once along the line; return whether to do so again: what was passed over for the sake of an
-- account that is lent by now may serve after all.
local function walk()
  local again, passes_over, places = false, false, {}
  local heads = call("ZRANGE", key("heads"), 0, -1, "WITHSCORES")
  for at = 1, #heads, 2 do
    local head = next_of(heads[at], heads[at + 1] - 1)
    if head then
      table.insert(places, head)
    end
  end
  while places[1] do
    local place = table.remove(places, 1)
    local want = place.want
    local known, is_passed = choose(want, is_long_first)
    if known then
      local owner = want.worker
      forget_waiter(want.lease)
      if is_struck(known, want.bot) then
        probing[owner] = probing[owner] or {}
        table.insert(probing[owner], want.lease)
      end
      lend(known, want)
      grants[owner] = grants[owner] or {}
      grants[owner][want.lease] = known.name
      again = passes_over
    end
    passes_over = passes_over or is_passed
    -- Of those that want the same, one with less time has fewer others to wait for.
    local behind
    if known then
      behind = next_of(place.class, place.ticket, place.within)
    elseif is_passed then
      behind = next_of(place.class, place.ticket, want.within)
    end
    if behind then
      insert_by_ticket(places, behind)
    end
  end
  return again
end

-- Whether anything is ready at all for those who wait.
local function is_any_ready()
  local lists, seen = {}, {}
  local kinds = call("SMEMBERS", key("kinds"))
  for _, class in ipairs(call("ZRANGE", key("heads"), 0, -1)) do
    local owner = string.match(class, "^[^|]*")
    for _, kind in ipairs(seen[owner] and {} or kinds) do
      table.insert(lists, key("ready", kind, owner))
    end
    seen[owner] = true
  end
  for _, kind in ipairs(kinds) do
    table.insert(lists, key("ready", kind))
    table.insert(lists, key("idle", kind))
  end
  return call("EXISTS", unpack(lists)) > 0
end

-- Give all that is free to the first in line that it fits.
local function serve_line()
  if call("EXISTS", key("heads")) == 1 and not is_closed() then
    ripen()
    while is_any_ready() and walk() do
    end
  end
end

-- How many wait, and for how long the one of them that has waited for longest: it is among the first,
-- as who overtakes others does so by seconds.
local function line_facts()
  local longest = 0
  for _, lease in ipairs(call("ZRANGE", key("line"), 0, LOOKED_AT - 1)) do
    local want = waiter_of(lease)
    longest = math.max(longest, want and now - want.since or 0)
  end
  return {length = call("ZCARD", key("line")), longest = longest}
end

-- ---- acts

-- Names that wants may say by their digest.
function acts.names(about)
  local names = key("n", about.digest)
  if #about.names > 0 then
    for from = 1, #about.names, 1000 do
      call("SADD", names, unpack(about.names, from, math.min(from + 999, #about.names)))
    end
  else
    call("SADD", names, "")
  end
  call("EXPIRE", names, NAMES_KEPT)
  return true
end

-- `lease`, `names` (their digest), `kinds`, `avoid`, `bot`, `within`, `probes`, `client`, `streams`,
-- `priority`, `size`, `sends`. What waits already may want other accounts now.
function acts.join(about)
  local loan = lease_of(about.lease)
  if loan then
    local known = token(loan.name)
    return {lent = loan.name, struck = known ~= nil and is_struck(known, loan.bot)}
  end
  if call("EXPIRE", key("n", about.names), NAMES_KEPT) == 0 then
    return {unknown = about.names}
  end
  local want = about
  want.worker = worker
  classify(want)
  local waiter = waiter_of(about.lease)
  if waiter then
    if waiter.fit ~= want.fit then
      waiter = refit(waiter, about)
    end
    local soon, ticket = soonest(waiter), call("ZSCORE", key("line"), about.lease)
    if soon > waiter.within then
      return {late = seconds(soon)}
    end
    return {waits = seconds(soon), place = call("ZCOUNT", key("line"), "-inf", ticket)}
  end
  want.since, want.deadline = now, now + number_of(about.within)
  fitted(want)
  -- What is free after that fits nobody in line, so the newcomer may have it.
  serve_line()
  ripen()
  local known = not is_closed() and choose(want, function() return false end)
  if known then
    local struck = is_struck(known, want.bot)
    lend(known, want)
    return {lent = known.name, struck = struck}
  end
  local soon = soonest(want)
  if call("ZCARD", key("line")) >= want.size then
    return {full = seconds(soon)}
  elseif soon > want.within or soon == inf then
    return {late = seconds(soon)}
  end
  local ticket = queue(want)
  return {waits = seconds(soon), place = call("ZCOUNT", key("line"), "-inf", exact(ticket))}
end

-- What became of `leases` that were in line: lent, lost (not known: to join anew), late (none that
-- fits will be rested in time). `due`: the seconds until time alone may serve somebody.
function acts.look(about)
  serve_line()
  local lent, late, lost, soon = {}, {}, {}, {}
  for _, lease in ipairs(about.leases) do
    local loan = lease_of(lease)
    local want = not loan and waiter_of(lease)
    if loan then
      lent[lease] = loan.name
    elseif want then
      soon[want.class] = soon[want.class] or soonest(want)
      if soon[want.class] > want.within then
        late[lease] = seconds(soon[want.class])
      end
    else
      table.insert(lost, lease)
    end
  end
  local due = inf
  for _, kind in ipairs(call("SMEMBERS", key("kinds"))) do
    local first = call("ZRANGE", key("due", kind), 0, 0, "WITHSCORES")
    due = math.min(due, first[1] and math.max(0, first[2] - now) or inf)
  end
  due = is_closed() and closed_for() or due
  return {lent = lent, late = late, lost = lost, due = seconds(due)}
end

-- Give back, or out of line; does nothing if it is unknown.
function acts.leave(about)
  give_back(about.lease)
  forget_waiter(about.lease)
  return true
end
