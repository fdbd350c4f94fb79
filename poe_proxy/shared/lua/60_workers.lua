-- Who shares the pool, since when Redis remembers, and what becomes of those that are gone.
--
--   workers          ZSET: worker -> when its heartbeat runs out
--   about:<worker>   HASH: host; text, what it says of itself; adopted, in which epoch it has told
--                    what it holds
--   epoch            HASH: id; began; lost, when it was found out that there had been another one
--   pulse:<worker>   STRING: when it last gave a sign of life, for a day
--   awaited          SET: workers that have yet to tell what they hold and have used
--   closed_until     STRING: nothing is lent before it
--   job:<name>       STRING: who does a job that one worker is enough for
local workers = {}

-- Seconds after its last sign of life until a worker counts as dead, if it does not say itself.
workers.LIFE = rules.LIFE
-- Seconds in which nothing is lent by a pool that has just begun: whoever knows an older one says so.
workers.QUIET = 3
-- Seconds that those are waited for who have to tell what they hold.
workers.RECALL = 15
-- Seconds from the beginning of an epoch in which accounts with a home rest if there was another one
-- before: what workers did that are dead since is not known. What was lost longer ago holds up nobody.
workers.CAUTION = 60
-- Seconds for which a lease may be unknown to its worker: it was given a moment ago.
workers.GRACE = 10
-- The most workers that are buried at once.
workers.BURIED_AT_ONCE = 10

function workers.publish_to_all(message)
  call("PUBLISH", prefix .. "all", cjson.encode(message))
end

-- The word for a worker that has to make itself known; nil if it is known.
function workers.strange()
  if worker == "" then
    return nil
  end
  local id = call("HGET", key("epoch"), "id")
  if epoch ~= "" and epoch ~= id then
    return "!epoch"
  elseif not id or not call("ZSCORE", key("workers"), worker) then
    return "!stranger"
  end
end

-- Bury those whose heartbeat ran out.
function workers.bury_dead()
  local first = call("ZRANGE", key("workers"), 0, 0, "WITHSCORES")
  if not first[1] or tonumber(first[2]) > now then
    return
  end
  begin_chapters()
  local dead = call(
    "ZRANGEBYSCORE", key("workers"), "-inf", exact(now), "LIMIT", 0, workers.BURIED_AT_ONCE)
  for _, one in ipairs(dead) do
    workers.bury(one)
  end
end

-- Let an account rest that has a home, if it may have been used in a way that is not known.
function workers.be_cautious(name, began)
  local known = token(name)
  local left = began + workers.CAUTION - now
  if known and known.has_home and left > 0 then
    set_to_rest(known, left, "Redis has forgotten how it was used.", health.CAUTION, "")
  end
end

-- When the present epoch began if another one was lost with it, and not long ago; nil otherwise.
local function lost_since()
  local found = call("HMGET", key("epoch"), "lost", "began")
  local began = tonumber(found[2] or 0)
  if found[1] and now < began + workers.CAUTION then
    return began
  end
end

-- Accounts that become known after that are to rest, too.
local enlist = acts.enlist
function acts.enlist(what)
  local answer = enlist(what)
  local began = lost_since()
  if began then
    workers.be_cautious(what.name, began)
  end
  return answer
end

function chapters.workers()
  -- ---- the end of a worker

  function workers.bury(gone)
    call("ZREM", key("workers"), gone)
    for _, lease in ipairs(call("SMEMBERS", key("w", gone))) do
      forget_waiter(lease)
      give_back(lease)
    end
    for _, name in ipairs(knows(gone)) do
      unknow(gone, name)
    end
    free_homes(gone)
    forget_requests(gone)
    call("DEL", key("w", gone), key("about", gone))
  end

  -- ---- what a worker says of itself

  local function lives_on(seconds, about)
    call("ZADD", key("workers"), exact(now + seconds), worker)
    if about then
      call(
        "HSET", key("about", worker), "host", tostring(about.host or ""), "text", cjson.encode(about))
    end
  end

  local function close_for(seconds)
    call("SET", key("closed_until"), exact(now + seconds), "PX", math.ceil(seconds * 1000) + 1000)
  end

  -- Redis has lost what it knew, less than a minute ago.
  local function recall(began)
    call("HSET", key("epoch"), "lost", exact(now))
    close_for(workers.RECALL)
    for _, name in ipairs(call("SMEMBERS", key("tokens"))) do
      workers.be_cautious(name, began)
    end
  end

  local function begin_of(id)
    return tonumber(string.match(id, "^[%d.]+") or 0)
  end

  local function begin_epoch()
    local id = string.format("%.6f-%s", now, worker)
    call("HSET", key("epoch"), "id", id, "began", exact(now))
    call("HDEL", key("epoch"), "lost")
    call("DEL", key("awaited"))
    close_for(workers.QUIET)
    workers.publish_to_all({epoch = id})
    return id
  end

  -- Redis was away, and may know less than before, if what it had written down was older: {pulse},
  -- what this worker was told last. Then it has forgotten as if it knew nothing.
  function acts.returned(what)
    local id = call("HGET", key("epoch"), "id")
    local is_behind
    if id == epoch then
      local pulse = call("GET", key("pulse", worker))
      is_behind = what.pulse ~= "" and tonumber(pulse or 0) < tonumber(what.pulse)
    else
      is_behind = id and epoch ~= "" and begin_of(id) < begin_of(epoch)
    end
    if is_behind then
      begin_epoch()
    end
    return true
  end
  always.returned = true

  -- This worker is here, and has known others: {about, knew_epoch, knows}.
  function acts.hello(what)
    local known = call("HMGET", key("epoch"), "id", "began", "lost")
    local id, began, lost = known[1], tonumber(known[2] or now), known[3]
    if not id then
      id, began = begin_epoch(), now
    end
    local is_new = not call("ZSCORE", key("workers"), worker)
    lives_on(workers.LIFE, what.about)
    if is_new then
      -- Others are to know it at once: should Redis forget all, they say who is to be waited for.
      workers.publish_to_all({came = worker})
    end
    local knew = what.knew_epoch
    if knew and knew ~= null and knew ~= "" and knew ~= id and now < began + workers.CAUTION then
      if not lost then
        recall(began)
      end
      for _, one in ipairs(what.knows or {}) do
        if call("HGET", key("about", one), "adopted") ~= id then
          call("SADD", key("awaited"), one)
        end
      end
      call("SADD", key("awaited"), worker)
      call("EXPIRE", key("awaited"), workers.CAUTION)
    end
    return {epoch = id, lends_in = closed_for()}
  end
  always.hello = true

  -- What this worker holds, and what it has used: {leases = {{id, name, bot, count}}, uses = {{id,
  -- name, ago}}}. It may be told in parts: the last of them has `more` false, or not at all.
  function acts.adopt(what)
    for _, use in ipairs(what.uses or {}) do
      if token(use.name) then
        remember_use(use.name, use.id, use.ago)
      end
    end
    for _, lease in ipairs(what.leases or {}) do
      if token(lease.name) then
        take_up(lease.id, lease.name, lease.bot or "", lease.count or 0, worker)
      end
    end
    if what.more and what.more ~= null then
      return true
    end
    call("HSET", key("about", worker), "adopted", call("HGET", key("epoch"), "id"))
    local was_awaited = call("SREM", key("awaited"), worker) == 1
    if was_awaited and call("EXISTS", key("awaited")) == 0 then
      -- All have told what they know: there is nothing to wait for.
      call("DEL", key("closed_until"))
    end
    return true
  end

  -- Give back what this worker has, as far as Redis knows, and does not know of: calls that were given
  -- up may have been done all the same.
  local function compare(holds)
    local held = {}
    for _, lease in ipairs(holds) do
      held[lease] = true
    end
    for _, id in ipairs(call("SMEMBERS", key("w", worker))) do
      if not held[id] then
        local lease, waiter = lease_of(id), waiter_of(id)
        if lease and lease.since <= now - workers.GRACE then
          give_back(id)
        elseif waiter and waiter.since <= now - workers.GRACE then
          forget_waiter(id)
        end
      end
    end
  end

  -- This worker lives: {["for"] = seconds, holds, about}.
  function acts.beat(what)
    lives_on(what["for"] or workers.LIFE, what.about)
    call("SET", key("pulse", worker), exact(now), "EX", 86400)
    if what.holds and what.holds ~= null then
      compare(what.holds)
    end
    return {
      epoch = call("HGET", key("epoch"), "id"),
      workers = list_of(call("ZRANGE", key("workers"), 0, -1)),
      homes = list_of(call("SMEMBERS", key("homes", worker))),
      lends_in = closed_for(),
      pulse = exact(now),
    }
  end

  -- This worker ends, and has nothing more.
  function acts.quit()
    begin_chapters()
    workers.bury(worker)
    call("DEL", key("pulse", worker))
    return true
  end
  always.quit = true

  -- Whether this worker is the one to do the job `name`, which is not to be done again for so many
  -- `seconds`: {name, seconds, id}. Who asks again with the same id is answered the same.
  function acts.job(what)
    local mine = worker .. ":" .. (what.id or "")
    local job = key("job", what.name)
    if call("SET", job, mine, "NX", "PX", math.max(1, math.ceil(what.seconds * 1000))) then
      return true
    end
    return what.id ~= nil and call("GET", job) == mine
  end

  -- Tell all workers `what`, an object, with `from`, the one that tells it.
  function acts.announce(what)
    what.from = worker
    workers.publish_to_all(what)
    return true
  end

  -- ---- the whole, for those who look on

  local function all_workers()
    local found = {}
    local known = call("ZRANGE", key("workers"), 0, -1, "WITHSCORES")
    for place = 1, #known, 2 do
      local text = call("HGET", key("about", known[place]), "text")
      found[#found + 1] = {
        id = known[place],
        lives_for = known[place + 1] - now,
        about = text and cjson.decode(text) or nil,
      }
    end
    return list_of(found)
  end

  local function points_of(known)
    local said = known.points and cjson.decode(known.points)
    return said and {
      number = said[1], grant_at = said[2], grant_number = said[3], ago = now - known.points_at,
    }
  end

  -- All workers, all accounts that are enlisted, and the line: {epoch, lends_in, workers = {{id,
  -- lives_for, about}}, accounts = {name = {state, home, day, points}}, line}.
  function acts.census()
    local today = key("day", day_of(now))
    local accounts = {}
    for _, name in ipairs(call("SMEMBERS", key("tokens"))) do
      local known = token(name)
      accounts[name] = {
        state = state_of(known, ""),
        home = known.home,
        day = tonumber(call("HGET", today, name) or 0),
        points = points_of(known),
      }
    end
    return {
      epoch = call("HGET", key("epoch"), "id"),
      lends_in = closed_for(),
      workers = all_workers(),
      accounts = accounts,
      line = line_facts(),
    }
  end
end
