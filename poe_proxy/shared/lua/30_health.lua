-- What failed on one account, and how long that is remembered.
--
-- `health` is a table: `rests` {bot, ends, reason, code} and `strikes` {bot, count, ends, reason,
-- probe}, each a list in the order of their coming; `no_points` a reason; `paused` a time;
-- `suspension` {count, look_at, due, reason, code}; `retirement` {reason, code}. Bots are spelled
-- as `ledger.handle` does it; an empty one stands for all. Of a token that nothing is said about
-- there is no text: most are such.
local health = {}

local function nothing()
  return {rests = {}, strikes = {}}
end

-- ---- as a text

-- Replace the times in a table by what `form` makes of them.
local function with_times(known, form)
  for _, one in ipairs(known.rests) do
    one.ends = form(one.ends)
  end
  for _, one in ipairs(known.strikes) do
    one.ends = form(one.ends)
  end
  known.paused = known.paused and form(known.paused)
  if known.suspension then
    known.suspension.look_at = form(known.suspension.look_at)
    known.suspension.due = form(known.suspension.due)
  end
  return known
end

function health.read(text)
  return text and with_times(cjson.decode(text), tonumber) or nothing()
end

local function those(list, are)
  local found = {}
  for _, one in ipairs(list) do
    if are(one) then
      found[#found + 1] = one
    end
  end
  return found
end

-- The text of it; nil if there is nothing to say. What is over is forgotten.
function health.text(known)
  known.rests = those(known.rests, function(one) return one.ends > now end)
  known.strikes = those(known.strikes, function(one) return one.ends + rules.FORGIVEN_AFTER > now end)
  known.paused = known.paused and known.paused > now and known.paused or nil
  local is_said = known.no_points or known.paused or known.suspension or known.retirement
  if not is_said and #known.rests == 0 and #known.strikes == 0 then
    return nil
  end
  local text = cjson.encode(with_times(known, exact))
  with_times(known, tonumber)
  return text
end

-- ---- how it is

local function concerns(one, bot)
  return one.bot == "" or one.bot == bot
end

-- The one that ends last of those that concern a bot; of two, the one that came first.
local function last_for(list, bot)
  local last
  for _, one in ipairs(list) do
    if concerns(one, bot) and (not last or one.ends > last.ends) then
      last = one
    end
  end
  return last
end

-- The seconds until Poe and the operator let it go on; `inf` if time alone does not help.
function health.rest(known, bot)
  if known.retirement or known.suspension or known.no_points then
    return inf
  end
  local last = last_for(known.rests, bot)
  return math.max(0, (known.paused or 0) - now, last and last.ends - now or 0)
end

-- The code of a rest that nobody at Poe has asked for: it is caution.
health.CAUTION = "caution"

-- The gravest of what holds it back: standing, reason, code; nil if nothing does.
function health.verdict(known, bot)
  if known.retirement then
    return "retired", known.retirement.reason, known.retirement.code
  elseif known.suspension then
    return "suspended", known.suspension.reason, known.suspension.code
  elseif known.no_points then
    return "out_of_points", known.no_points, ""
  elseif known.paused and known.paused > now then
    return "paused", "", "paused"
  end
  local last = last_for(known.rests, bot)
  if last and last.ends > now then
    if last.code == health.CAUTION then
      return "resting", last.reason, ""
    end
    return "limited", last.reason, last.code
  end
end

-- The seconds until the rests for single bots are over.
function health.rests_of_bots(known)
  local left = {}
  for _, one in ipairs(known.rests) do
    if one.bot ~= "" and one.ends > now then
      left[one.bot] = one.ends - now
    end
  end
  return left
end

-- The seconds until it may be looked at.
function health.next_look(known)
  if known.retirement then
    return inf
  elseif known.suspension then
    return math.max(0, known.suspension.look_at - now)
  end
  return known.no_points and 0 or inf
end

-- What is remembered against it for a bot.
function health.strikes_for(known, bot)
  return those(known.strikes, function(one)
    return concerns(one, bot) and now < one.ends + rules.FORGIVEN_AFTER
  end)
end

-- ---- what happens to it

local function about(list, bot)
  for place, one in ipairs(list) do
    if one.bot == bot then
      return one, place
    end
  end
end

-- Note a rest; one that ends later stays.
function health.set_to_rest(known, seconds, reason, code, bot)
  local one = about(known.rests, bot)
  if not one then
    one = {bot = bot, ends = -inf}
    table.insert(known.rests, one)
  end
  if one.ends < now + seconds then
    one.ends, one.reason, one.code = now + seconds, reason, code
  end
end

-- Note a failure; one that is forgotten does not count.
function health.strike(known, reason, bot, costly)
  local one = about(known.strikes, bot)
  if not one then
    one = {bot = bot, count = 0, ends = now}
    table.insert(known.strikes, one)
  elseif one.ends + rules.FORGIVEN_AFTER <= now then
    one.count, one.ends, one.probe = 0, now, nil
  end
  if one.ends <= now then
    -- Requests that were under way together fail together: that counts once.
    one.count = one.count + 1
  end
  local first, most = rules.FIRST_BACKOFF, rules.MOST_BACKOFF
  if costly then
    first, most = rules.FIRST_COSTLY_BACKOFF, rules.MOST_COSTLY_BACKOFF
  end
  one.ends = math.max(one.ends, now + math.min(most, first * 2 ^ math.min(one.count - 1, 30)))
  one.reason = reason
end

-- Forget the failures for a bot and for all; return whether there were any.
function health.clear(known, bot)
  local before = #known.strikes
  known.strikes = those(known.strikes, function(one) return not concerns(one, bot) end)
  return #known.strikes < before
end

function health.retire(known, reason, code)
  known.retirement = {reason = reason, code = code}
end

-- Note a refusal by Poe, unless a look is still to come.
function health.suspend(known, reason, code)
  local before = known.suspension
  if before and now < before.due then
    -- Requests that were under way together are refused together, and a look that comes too early
    -- says nothing new: that is one refusal.
    if before.look_at <= now then
      before.look_at = before.due
    end
    return
  end
  local count = before and before.count + 1 or 1
  local look = rules.LOOKS[count]
  if look then
    local at = now + look
    known.suspension = {count = count, look_at = at, due = at, reason = reason, code = code}
  else
    health.retire(known, reason, code)
  end
end

-- Let a refusal be looked at anew, and now; that of a retired token for one last time.
function health.reconsider(known)
  local retired = known.retirement
  if retired then
    known.suspension = {
      count = #rules.LOOKS, look_at = now, due = now, reason = retired.reason, code = retired.code,
    }
    known.retirement = nil
  elseif known.suspension then
    known.suspension.look_at = now
  end
end

-- Forget what a look at its account disproves: that it is refused, or without points.
function health.revive(known)
  known.no_points, known.suspension = nil, nil
  known.rests = those(known.rests, function(one) return one.code ~= rules.NO_POINTS end)
end

-- Forget all that holds it back, and its failures.
function health.forget(known)
  known.rests, known.strikes = {}, {}
  known.no_points, known.suspension, known.retirement, known.paused = nil, nil, nil, nil
end

-- Let another lease probe what `lease` did; return whether it did.
function health.release(known, lease)
  local has = false
  for _, one in ipairs(known.strikes) do
    if one.probe == lease then
      one.probe, has = nil, true
    end
  end
  return has
end
