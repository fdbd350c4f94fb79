-- What the requests of late were like, on all workers: for the status page. Times that workers tell
-- are by their own clocks; `late` is how far Redis's is ahead of them.
--
--   h:minutes      HASH: "<minute> n", "<minute> r": requests that ended then, and those refused
--   h:waits        HASH: "<minute> <step>": how many waited so long in line
--   h:hour:<hour>  HASH: "n <model>", "f <model>": requests and failures; a model is a JSON array of
--                  its name and its bot
--   h:first        HASH: "m <model>" or "a <account>": when, and the last times to a first word
--   h:accounts     HASH: account -> when it succeeded, when it failed, and how
--   h:clients      HASH: client -> when it was seen, and how many requests were refused, by code
--   h:failures     LIST: the last failures, the newest last
function chapters.board()
  local DAY, HOUR = 86400, 3600
  -- As long as budgets of clients are known.
  local LASTS = 63 * DAY

  -- Forget in a hash by minutes what is older than so many of them, once it has grown.
  local function tidy(hash, minutes, most)
    if call("HLEN", hash) <= most then
      return
    end
    local oldest = math.floor(now / 60) - minutes
    for _, field in ipairs(call("HKEYS", hash)) do
      if tonumber(string.match(field, "^%d+")) <= oldest then
        call("HDEL", hash, field)
      end
    end
  end

  -- Make room in a hash for one more, by what of it is older than so many seconds: a value begins
  -- with its time, or has it as `at`. Returns whether there is room.
  local function room(hash, field, most, lasts)
    if call("HLEN", hash) < most or call("HEXISTS", hash, field) == 1 then
      return true
    end
    -- All of it is looked through, and not for each that comes.
    if call("SET", hash .. ":tidy", 1, "EX", HOUR / 4, "NX") then
      local all = call("HGETALL", hash)
      for place = 1, #all, 2 do
        local value = all[place + 1]
        local at = tonumber(string.match(value, "^[%d.e+]+") or 0)
        if string.sub(value, 1, 1) == "{" then
          at = tonumber(cjson.decode(value).at)
        end
        if at < now - lasts then
          call("HDEL", hash, all[place])
        end
      end
    end
    return call("HLEN", hash) < most
  end

  local function first_words(field, seconds, bounds)
    if #seconds == 0 then
      return
    end
    local hash = key("h:first")
    if not room(hash, field, bounds.firsts, DAY) then
      return
    end
    local had = call("HGET", hash, field)
    local all = {}
    if had then
      for one in string.gmatch(string.match(had, " (.*)$"), "%S+") do
        all[#all + 1] = one
      end
    end
    for _, one in ipairs(seconds) do
      all[#all + 1] = string.format("%.3f", one)
    end
    local from = math.max(1, #all - bounds.first_texts + 1)
    call("HSET", hash, field, exact(now) .. " " .. table.concat(all, " ", from))
    call("EXPIRE", hash, DAY)
  end

  local function failed(failures, late, bounds)
    local list = key("h:failures")
    for _, one in ipairs(failures) do
      one.at = exact(tonumber(one.at) + late)
      local last = call("LINDEX", list, -1)
      last = last and cjson.decode(last)
      if last and last.client == one.client and last.model == one.model
        and last.account == one.account and last.code == one.code
        and last.message == one.message
      then
        -- What fails again and again shall not push out all that failed before.
        one.times = one.times + last.times
        call("RPOP", list)
      end
      call("RPUSH", list, cjson.encode(one))
    end
    call("LTRIM", list, -bounds.failures, -1)
    call("EXPIRE", list, LASTS)
  end

  -- {now: the time of whoever tells, bounds: how much is kept, and
  --  minutes: {minute: [requests, refused]}, waits: {minute: {step: number}},
  --  models: {hour: {model: [requests, failures]}}, firsts: {field: [seconds, ...]},
  --  accounts: {account: {ok, failed, code}}, clients: {client: {at, refused: {code: number}}},
  --  failures: [{at, ...}, ...]}
  function tells.board(told)
    local bounds = told.bounds
    local late = now - tonumber(told.now)
    local minutes, waits = key("h:minutes"), key("h:waits")
    local function shifted(number, length)
      return math.floor(((tonumber(number) + 0.5) * length + late) / length)
    end
    for number, counts in pairs(told.minutes) do
      local minute = shifted(number, 60)
      call("HINCRBY", minutes, minute .. " n", counts[1])
      if counts[2] > 0 then
        call("HINCRBY", minutes, minute .. " r", counts[2])
      end
    end
    tidy(minutes, 60, 240)
    for number, steps in pairs(told.waits) do
      local minute = shifted(number, 60)
      for step, count in pairs(steps) do
        call("HINCRBY", waits, minute .. " " .. step, count)
      end
    end
    tidy(waits, 15, 1000)
    for number, models in pairs(told.models) do
      local hash = key("h:hour", shifted(number, HOUR))
      for model, counts in pairs(models) do
        if call("HEXISTS", hash, "n " .. model) == 0 and call("HLEN", hash) >= 2 * bounds.models then
          model = bounds.other
        end
        call("HINCRBY", hash, "n " .. model, counts[1])
        if counts[2] > 0 then
          call("HINCRBY", hash, "f " .. model, counts[2])
        end
      end
      call("EXPIRE", hash, 25 * HOUR)
    end
    for field, seconds in pairs(told.firsts) do
      first_words(field, seconds, bounds)
    end
    local accounts = key("h:accounts")
    for name, one in pairs(told.accounts) do
      if room(accounts, name, bounds.accounts, LASTS) then
        local had = cjson.decode(call("HGET", accounts, name) or "{}")
        had.at = exact(now)
        if one.ok ~= null then
          had.ok = exact(tonumber(one.ok) + late)
        end
        if one.failed ~= null then
          had.failed, had.code = exact(tonumber(one.failed) + late), one.code
        end
        call("HSET", accounts, name, cjson.encode(had))
      end
    end
    local clients = key("h:clients")
    for name, one in pairs(told.clients) do
      if room(clients, name, bounds.clients, LASTS) then
        local had = cjson.decode(call("HGET", clients, name) or '{"refused":{}}')
        had.at = exact(tonumber(one.at) + late)
        for code, count in pairs(one.refused) do
          had.refused[code] = (had.refused[code] or 0) + count
        end
        call("HSET", clients, name, cjson.encode(had))
      end
    end
    failed(told.failures, late, bounds)
    for _, hash in ipairs({minutes, waits, accounts, clients}) do
      call("EXPIRE", hash, LASTS)
    end
  end

  -- All of that; hashes as lists of fields and values by turns. Each hour is its number since 1970,
  -- and its models.
  function acts.board()
    local found = {now = exact(now), clients = call("HGETALL", key("h:clients"))}
    found.minutes = call("HGETALL", key("h:minutes"))
    found.waits = call("HGETALL", key("h:waits"))
    found.firsts = call("HGETALL", key("h:first"))
    found.accounts = call("HGETALL", key("h:accounts"))
    found.failures = call("LRANGE", key("h:failures"), 0, -1)
    local hour = math.floor(now / HOUR)
    local hours = {}
    for number = hour - 23, hour do
      local models = call("HGETALL", key("h:hour", number))
      if #models > 0 then
        hours[#hours + 1] = {number, models}
      end
    end
    found.hours = hours
    return found
  end

  -- {name, seconds, id}: whether it is the first time in so many seconds that anybody claims this,
  -- and how many seconds ago the first one did. Who asks again with the same id is answered the same.
  function acts.claim(about)
    local claim, claimant = key("claim", about.name), key("claimant", about.name)
    local since = call("GET", claim)
    if since then
      local is_mine = call("GET", claimant) == about.id
      return {mine = is_mine, ago = math.max(0, now - tonumber(since))}
    end
    local lasts = string.format("%.0f", about.seconds * 1000)
    call("SET", claim, exact(now), "PX", lasts)
    call("SET", claimant, about.id, "PX", lasts)
    return {mine = true, ago = 0}
  end
end
