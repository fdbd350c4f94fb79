-- Which account is lent to which lease: the rules, at one moment.
--
-- `t:<name>` HASH: an account. `k:<name>` HASH: who knows it: worker -> terms. `l:<name>` ZSET: its
-- leases; 1 for one that waits for its next use, otherwise 0. `leases` HASH: lease -> what it has.
-- `w:<worker>` SET: a worker's leases, and its places in line. `knows:<worker>`, `homes:<worker>` SET:
-- the accounts that a worker knows, and those that are at home there. `tokens`, `kinds` SET.
--
-- For each kind of account there are lists, so that nothing walks over all of them. What is enlisted
-- is in: `ready:<kind>`, or `ready:<kind>:<home>` if it has one, if it may be lent now, in the order of
-- lending; `due:<kind>` if time alone keeps it back, by when that is over, or may be; and
-- `rested:<kind>` by when its rest is over, has it room or not, unless time does not help.
-- `idle:<kind>`: since when those have been idle that have a home and may be lent.
--
-- What other chapters may call, beside what is said of each function:
--   token(name)  what is known of an account, as a table; nil if it was never enlisted
--   place(token) to be called after each change of what decides when it may be lent
-- Keys that others write: `workers` ZSET: worker -> when its heartbeat runs out; `about:<worker>`
-- HASH, with `host`; `closed_until`: nothing is lent before that time.
local CHUNK = 16
-- What never was lent comes before all that was, in the order of its coming.
local RANK, NEVER = 2 ^ 40, 2 ^ 39
-- Seconds for which an account is remembered that nobody knows any more.
local REMEMBERED = 7 * 86400

-- ---- workers, and what they are told

-- What leases in line were lent, by their workers; and those whose account had failed, which their
-- workers are to say of when it answers.
local messages, grants, probing = {}, {}, {}

-- Let a worker hear of something at the end of the script.
local function tell(owner, message)
  table.insert(messages, {owner, message})
end

-- Tell all that was to be told.
local function speak()
  for owner, lent in pairs(grants) do
    tell(owner, {lent = lent, struck = probing[owner]})
  end
  for _, one in ipairs(messages) do
    call("PUBLISH", key("c", one[1]), cjson.encode(one[2]))
  end
  messages, grants, probing = {}, {}, {}
end

local function is_living(owner)
  local ends = call("ZSCORE", key("workers"), owner)
  return ends and tonumber(ends) > now
end

local function host_of(owner)
  return call("HGET", key("about", owner), "host")
end

local function lives_at(host)
  for _, owner in ipairs(call("ZRANGEBYSCORE", key("workers"), "(" .. exact(now), "+inf")) do
    if host_of(owner) == host then
      return true
    end
  end
  return false
end

-- The seconds for which nothing is lent.
local function closed_for()
  return math.max(0, tonumber(call("GET", key("closed_until")) or 0) - now)
end

local function is_closed()
  return closed_for() > 0
end

-- What is a list in JSON, too, if it is empty, wherever the script can say so.
local function list_of(table)
  return #table > 0 and table or cjson.decode("[]")
end

-- ---- accounts

local tokens = {}

local function token(name)
  if tokens[name] == nil then
    local fields = call("HGETALL", key("t", name))
    local known = {}
    for place = 1, #fields, 2 do
      known[fields[place]] = fields[place + 1]
    end
    if known.kind then
      known.name = name
      known.limits = cjson.decode(known.limits)
      for _, number in ipairs({"rank", "concurrency", "window", "turn", "idle_since"}) do
        known[number] = tonumber(known[number])
      end
      known.health = health.read(known.health)
      known.enlisted = known.enlisted == "1"
      known.has_home, known.pinned = known.has_home == "1", known.pinned == "1"
    end
    tokens[name] = known.kind and known or false
  end
  return tokens[name] or nil
end

local function ready_key(known)
  return known.home and key("ready", known.kind, known.home) or key("ready", known.kind)
end

local function score(known)
  return known.rank * RANK + NEVER + known.turn
end

-- How many leases have it.
local function in_use(known)
  return call("ZCARD", key("l", known.name))
end

-- Whether it may be lent once more as far as its leases go.
local function has_room(known)
  local leases = key("l", known.name)
  return call("ZCARD", leases) < known.concurrency and call("ZCOUNT", leases, 1, 1) == 0
end

-- The seconds until nothing else holds it back.
local function rest_of(known, bot)
  local rest = health.rest(known.health, bot)
  return rest == inf and inf or math.max(rest, uses.wait(known))
end

-- Whether it may be lent now, strikes aside.
local function is_free(known, bot)
  return known.enlisted and has_room(known) and rest_of(known, bot) <= 0
end

local function is_struck(known, bot)
  return #health.strikes_for(known.health, bot) > 0
end

-- Whether its rest is over within so many seconds, however late a use arrives.
local function could_serve(known, within, bot)
  local rest = rest_of(known, bot)
  return rest <= 0 or (rest < inf and rest + uses.unsettled_for(known.name) <= within)
end

-- The seconds until time alone may let it be lent, strikes included.
local function next_chance(known, bot, probes)
  local rest = rest_of(known, bot)
  if rest > 0 then
    return rest
  end
  local chance = 0
  for place, one in ipairs(health.strikes_for(known.health, bot)) do
    local ends = one.ends + ((probes and not one.probe) and 0 or rules.FORGIVEN_AFTER) - now
    chance = place == 1 and ends or math.max(chance, ends)
  end
  return chance
end

-- ---- lists

local function put(list, name, at)
  if at then
    call("ZADD", list, exact(at), name)
  else
    call("ZREM", list, name)
  end
end

-- Put an account where it belongs.
local function place(known)
  local rest = known.enlisted and rest_of(known, "") or inf
  local room = rest < inf and has_room(known)
  local ready = room and rest <= 0
  put(ready_key(known), known.name, ready and score(known))
  put(key("due", known.kind), known.name, room and rest > 0 and now + rest)
  put(key("rested", known.kind), known.name, rest < inf and now + rest)
  if known.has_home then
    local idle = ready and known.home and in_use(known) == 0
    put(key("idle", known.kind), known.name, idle and (known.idle_since or 0))
  end
end

-- Take it out of the lists that it is in, before its kind or its home changes.
local function displace(known)
  call("ZREM", ready_key(known), known.name)
  for _, list in ipairs({"due", "rested", "idle"}) do
    call("ZREM", key(list, known.kind), known.name)
  end
end

-- Keep what is known of its health, and put it where it belongs.
local function judge(known)
  local text = health.text(known.health)
  if text then
    call("HSET", key("t", known.name), "health", text)
  else
    call("HDEL", key("t", known.name), "health")
  end
  place(known)
end

-- Hold it back for so many seconds, for a bot or, if that is empty, for all.
local function set_to_rest(known, seconds, reason, code, bot)
  health.set_to_rest(known.health, seconds, reason, code, bot)
  judge(known)
end

-- An account that stands in a list; nil if Redis has forgotten it alone, as it may where it is to make
-- room for others: then it is taken out.
local function listed(list, name)
  local known = token(name)
  if not known then
    call("ZREM", list, name)
  end
  return known
end

-- Put what is due where it belongs.
local function ripen()
  for _, kind in ipairs(call("SMEMBERS", key("kinds"))) do
    local due = call("ZRANGEBYSCORE", key("due", kind), "-inf", exact(now), "LIMIT", 0, 100)
    for _, name in ipairs(due) do
      local known = listed(key("due", kind), name)
      if known then
        place(known)
      end
    end
  end
end

-- Walk over the names in a list from its front, which may be changed meanwhile only behind it; `most`
-- is the highest score.
local function names_in(list, most)
  local from, chunk, at = 0, {}, 1
  return function()
    if at > #chunk then
      if from > 0 and #chunk < 2 * CHUNK then
        return nil
      end
      chunk = call("ZRANGEBYSCORE", list, "-inf", most or "+inf", "WITHSCORES", "LIMIT", from, CHUNK)
      from, at = from + CHUNK, 1
    end
    local name, number = chunk[at], tonumber(chunk[at + 1])
    at = at + 2
    return name, number
  end
end

-- ---- homes

-- Let an account be at home at a worker from now on; nil: nowhere.
local function settle_at(known, owner)
  displace(known)
  if known.home then
    call("SREM", key("homes", known.home), known.name)
  end
  known.home = owner
  if owner then
    call("SADD", key("homes", owner), known.name)
    known.host = host_of(owner) or known.host
    known.idle_since = now
    call("HSET", key("t", known.name), "home", owner, "idle_since", exact(now))
    if known.host then
      call("HSET", key("t", known.name), "host", known.host)
    end
  else
    call("HDEL", key("t", known.name), "home")
  end
  place(known)
end

-- What is at home at a worker has no home from now on.
local function free_homes(owner)
  for _, name in ipairs(call("SMEMBERS", key("homes", owner))) do
    local known = token(name)
    if known and known.home == owner then
      settle_at(known, nil)
    end
  end
  call("DEL", key("homes", owner))
end

-- Whether it may ever be at home at a worker as things are: what is bound to a host leaves it only
-- when nobody lives there.
local function may_live_at(known, owner)
  if not known.pinned or not known.host or known.host == host_of(owner) then
    return true
  end
  return not lives_at(known.host)
end

-- Whether it may be lent by a worker without moving.
local function is_at_hand(known, owner)
  if not known.has_home or known.home == owner then
    return true
  end
  return (not known.home or not is_living(known.home)) and may_live_at(known, owner)
end

-- Whether it may move to a worker now.
local function may_move(known, owner)
  if known.home == owner or not may_live_at(known, owner) then
    return false
  end
  local moves = key("moves", known.name)
  return call("ZCOUNT", moves, "(" .. exact(now - rules.MOVES_WINDOW), "+inf") < rules.MOVES
end

-- Whether a worker may lend it as things are, if need be after a move.
local function may_come(known, owner)
  return is_at_hand(known, owner) or may_move(known, owner)
end

-- Let it be at home at a worker that is to lend it.
local function bring_home(known, owner)
  if not known.has_home or known.home == owner then
    return
  end
  local before = known.home
  settle_at(known, owner)
  if before and is_living(before) then
    local moves = key("moves", known.name)
    call("ZADD", moves, exact(now), exact(now))
    call("ZREMRANGEBYSCORE", moves, "-inf", exact(now - rules.MOVES_WINDOW))
    call("EXPIRE", moves, math.ceil(rules.MOVES_WINDOW))
    tell(before, {moved = known.name})
  end
end

-- ---- leases

local loans = {}

-- What a lease has: name, worker, bot, since; count: its uses, last: the id of the last one until
-- it has arrived; held: whether a place is held for the first; early: whether the first was counted
-- before it was sent. nil if it has nothing.
local function lease_of(lease)
  if loans[lease] == nil then
    local text = call("HGET", key("leases"), lease)
    local loan = text and cjson.decode(text)
    if loan then
      loan.since = tonumber(loan.since)
    end
    loans[lease] = loan
  end
  return loans[lease] or nil
end

local function keep_loan(lease, loan)
  loans[lease] = loan
  local since = loan.since
  loan.since = exact(since)
  call("HSET", key("leases"), lease, cjson.encode(loan))
  loan.since = since
end

-- Lend an account. What `want` is: see `best`.
local function lend(known, want)
  local lease = want.lease
  local strikes = health.strikes_for(known.health, want.bot)
  for _, one in ipairs(strikes) do
    one.probe = one.probe or lease
  end
  bring_home(known, want.worker)
  call("ZADD", key("l", known.name), 0, lease)
  local loan = {name = known.name, worker = want.worker, bot = want.bot, since = now, count = 0}
  if want.sends then
    loan.count, loan.early, loan.last = 1, true, lease .. "-1"
    uses.send(known, loan.last, now + rules.SENDS_WITHIN)
  else
    loan.held = true
    uses.hold_place(known, lease, now)
  end
  keep_loan(lease, loan)
  call("SADD", key("w", want.worker), lease)
  known.turn = call("INCR", key("turn"))
  call("HSET", key("t", known.name), "turn", known.turn)
  if #strikes > 0 then
    judge(known)
  else
    place(known)
  end
end

-- End a lease; does nothing if it has no account, or no longer.
local function give_back(lease)
  local loan = lease_of(lease)
  if not loan then
    return
  end
  loans[lease] = false
  call("HDEL", key("leases"), lease)
  call("SREM", key("w", loan.worker), lease)
  call("ZREM", key("l", loan.name), lease)
  local known = token(loan.name)
  if not known then
    return
  end
  if known.has_home then
    known.idle_since = now
    call("HSET", key("t", known.name), "idle_since", exact(now))
  end
  if health.release(known.health, lease) then
    judge(known)
  else
    place(known)
  end
end

-- Note that a worker has a lease already, whether there is room or not. What it has is at home there,
-- unless it has found another home.
local function take_up(lease, name, bot, count, owner)
  local known = token(name)
  if lease_of(lease) or not known then
    return
  end
  -- A worker that was taken for dead may find it at home elsewhere: there it stays.
  if known.has_home and not (known.home and is_living(known.home)) then
    settle_at(known, owner)
  end
  call("ZADD", key("l", name), 0, lease)
  call("SADD", key("w", owner), lease)
  keep_loan(lease, {name = name, worker = owner, bot = bot, since = now, count = count})
  place(known)
end

-- Take up a use of so many seconds ago, unless it is known.
local function remember_use(name, id, ago)
  local known = token(name)
  local arrived = key("u", name)
  if known and not call("ZSCORE", arrived, id) and not call("ZSCORE", key("o", name), id) then
    call("ZADD", arrived, exact(now - ago), id)
    call("EXPIRE", arrived, math.ceil(math.max(known.window, uses.KEPT_FOR)))
    place(known)
  end
end

-- ---- which accounts there are

-- The names of the accounts that a worker knows.
local function knows(owner)
  return call("SMEMBERS", key("knows", owner))
end

local function set_enlisted(known, is_enlisted)
  known.enlisted = is_enlisted
  local at = key("t", known.name)
  call("HSET", at, "enlisted", is_enlisted and "1" or "0")
  if is_enlisted then
    call("SADD", key("tokens"), known.name)
    call("PERSIST", at)
  else
    call("SREM", key("tokens"), known.name)
    call("EXPIRE", at, REMEMBERED)
  end
end

-- A worker knows an account no longer: it is withdrawn if no other one does.
local function unknow(owner, name)
  call("SREM", key("knows", owner), name)
  call("HDEL", key("k", name), owner)
  local known = token(name)
  if known and known.enlisted and call("HLEN", key("k", name)) == 0 then
    set_enlisted(known, false)
    place(known)
  end
end

-- The most seconds that a limit remembers.
local function window_of(limits)
  local window = 0
  for _, limit in ipairs(limits) do
    window = math.max(window, limit[1] == "within" and limit[3] or limit[2] + limit[3])
  end
  return window
end

-- Whether another worker that lives has other terms for it.
local function differs(name, terms)
  local all = call("HGETALL", key("k", name))
  for number = 1, #all, 2 do
    if all[number] ~= worker and all[number + 1] ~= terms and is_living(all[number]) then
      return true
    end
  end
  return false
end

-- `anew`: if it was refused, it may be looked at now, as by `reconsider`.
function acts.enlist(about)
  local name, limits = about.name, about.limits or {}
  local known = token(name)
  local kind = about.kind
  local terms = cjson.encode({kind, about.rank, about.concurrency, limits})
  if known then
    uses.forget_places(known)
  else
    known = {name = name, turn = 0, health = health.read(), limits = {}, window = 0, kind = kind}
    tokens[name] = known
  end
  displace(known)
  local is_new_here = not known.enlisted or known.rank ~= about.rank
  if is_new_here and known.turn <= 0 then
    known.turn = call("INCR", key("comings")) - NEVER / 2
  end
  known.kind, known.rank, known.concurrency = kind, about.rank, about.concurrency
  known.has_home, known.pinned = about.has_home == true, about.pinned == true
  known.limits, known.window = limits, window_of(limits)
  call(
    "HSET", key("t", name), "kind", kind, "rank", known.rank, "concurrency", known.concurrency,
    "limits", #limits > 0 and cjson.encode(limits) or "[]", "window", exact(known.window),
    "turn", exact(known.turn), "has_home", known.has_home and "1" or "0",
    "pinned", known.pinned and "1" or "0"
  )
  set_enlisted(known, true)
  call("SADD", key("kinds"), kind)
  call("SADD", key("knows", worker), name)
  call("HSET", key("k", name), worker, terms)
  if about.anew == true then
    health.reconsider(known.health)
    judge(known)
  else
    place(known)
  end
  return {differs = differs(name, terms)}
end

-- ---- the choice

-- The account that is lent to a want; nil if it has to wait, and then whether one that was struck
-- is passed over for a better one. `want` has: lease, worker, bot, probes, within (seconds), sends,
-- fits (of a name: whether it may be lent to it). `each` walks over the accounts in the order of
-- lending, `all` over all that may ever serve it.
local function best(want, each, all)
  local probe, struck = nil, {}
  for known in each do
    if want.fits(known.name) and is_free(known, want.bot) then
      if not is_struck(known, want.bot) then
        return probe or known
      end
      table.insert(struck, known)
      if not probe and want.probes then
        local may_be_probed = true
        for _, one in ipairs(health.strikes_for(known.health, want.bot)) do
          may_be_probed = may_be_probed and one.ends <= now and not one.probe
        end
        probe = may_be_probed and known or nil
      end
    end
  end
  if #struck == 0 then
    return nil, false
  end
  for known in all() do
    local is_better = known.enlisted and want.fits(known.name) and not is_struck(known, want.bot)
    if is_better and could_serve(known, want.within, want.bot) then
      return probe, not probe
    end
  end
  local first, ends
  for _, known in ipairs(struck) do
    local last = last_for(health.strikes_for(known.health, want.bot), want.bot).ends
    if not first or last < ends then
      first, ends = known, last
    end
  end
  return first
end
