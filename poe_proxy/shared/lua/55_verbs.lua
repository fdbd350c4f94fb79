-- The verbs of the ledger that are about leases and accounts.

-- ---- a lease that has an account

-- `count`: which of its uses; without it, the next one. `anew`: it may have been counted before, but was
-- not sent then: it counts from now on, if it may be sent.
function acts.use(about)
  local lease = about.lease
  local loan = lease_of(lease)
  local known = loan and token(loan.name)
  if not known then
    return {lost = true}
  end
  local count = about.count or loan.count + 1
  local is_early = loan.early and count == 1
  if count <= loan.count and not is_early and not (about.anew and count == loan.count) then
    return {wait = 0}
  end
  if is_early or count == loan.count then
    -- It was to be sent at once, and was not.
    local id = lease .. "-" .. count
    uses.unsend(known, id, is_early and loan.since or uses.sent_at(known, id))
    if count == 1 then
      -- A place is held for it, as for any other.
      uses.hold_place(known, lease, loan.since)
      loan.held = true
    end
    loan.count, loan.last = count - 1, nil
  end
  loan.early = nil
  if loan.held then
    uses.free_place(known, lease)
  end
  local wait = rest_of(known, loan.bot)
  if wait > 0 then
    if loan.held then
      uses.hold_place(known, lease, loan.since)
    end
    call("ZADD", key("l", known.name), 1, lease)
  else
    loan.held = nil
    loan.count, loan.last = count, lease .. "-" .. count
    uses.send(known, loan.last)
    call("ZADD", key("l", known.name), 0, lease)
  end
  keep_loan(lease, loan)
  place(known)
  return {wait = seconds(wait)}
end

-- `count`: which of its uses has arrived; without it, the last one.
function acts.arrived(about)
  local loan = lease_of(about.lease)
  local known = loan and token(loan.name)
  if known and loan.last and (about.count or loan.count) == loan.count then
    uses.settle(known, loan.last)
    loan.last, loan.early = nil, nil
    keep_loan(about.lease, loan)
    place(known)
  end
  return true
end

-- How an account is, for a bot; as `ledger.TokenState` has it.
local state_of

function chapters.verbs()
  -- ---- how the accounts are

  -- A verb about one account that is known.
  local function verb(does)
    return function(about)
      local known = token(about.name)
      if not known then
        return {unknown = about.name}
      end
      local answer = does(known, about)
      return answer == nil or answer
    end
  end

  -- One that changes its health.
  local function verdict(does)
    return verb(function(known, about)
      does(known.health, about)
      judge(known)
    end)
  end

  acts.withdraw = verb(function(known)
    unknow(worker, known.name)
  end)

  acts.rest = verdict(function(its, about)
    health.set_to_rest(its, number_of(about.seconds), about.reason, about.code, about.bot)
  end)

  acts.strike = verdict(function(its, about)
    health.strike(its, about.reason, about.bot, about.costly == true)
  end)

  acts.clear = verb(function(known, about)
    -- Called for each answer: nothing is written if there is nothing to forget.
    local is_changed = health.clear(known.health, about.bot)
    if is_changed then
      judge(known)
    end
    return is_changed
  end)

  acts.exhaust = verdict(function(its, about)
    its.no_points = about.reason
  end)

  acts.suspend = verdict(function(its, about)
    health.suspend(its, about.reason, about.code)
  end)

  acts.reconsider = verdict(health.reconsider)
  acts.revive = verdict(health.revive)

  acts.pause = verdict(function(its, about)
    its.paused = now + number_of(about.seconds)
  end)

  acts.bring_back = verdict(health.forget)

  acts.retire = verdict(function(its, about)
    health.retire(its, about.reason, "")
  end)

  -- What Poe last said of its points: `number`, and when there will be `grant_number` more.
  acts.points = verb(function(known, about)
    local said = {about.number, about.grant_at, about.grant_number}
    call("HSET", key("t", known.name), "points", cjson.encode(said), "points_at", exact(now))
  end)

  -- Whether the worker that calls is the one to ask Poe about an account for so many seconds: it is at
  -- home there, or may be.
  acts.may_ask = verb(function(known, about)
    if not is_at_hand(known, worker) then
      return false
    end
    local ends, asker = string.match(known.asks or "", "(%S+) (.*)")
    if ends and tonumber(ends) > now then
      return asker == worker
    end
    known.asks = exact(now + about.seconds) .. " " .. worker
    call("HSET", key("t", known.name), "asks", known.asks)
    bring_home(known, worker)
    return true
  end)

  function state_of(known, bot)
    local rest = rest_of(known, bot)
    local standing, reason, code = health.verdict(known.health, bot)
    local strikes = health.strikes_for(known.health, bot)
    if not standing then
      local last = rest <= 0 and last_for(strikes, bot)
      standing, reason, code = rest > 0 and "resting" or "fit", last and last.reason or "", ""
    end
    return {
      is_free = known.enlisted and has_room(known) and rest <= 0, in_use = in_use(known),
      rest = seconds(rest), standing = standing, reason = reason, code = code,
      next_look = seconds(health.next_look(known.health)), is_struck = #strikes > 0,
    }
  end

  local function outlook_of(known)
    return {
      uses = uses.ages(known), rest = seconds(math.max(0, health.rest(known.health, ""))),
      in_use = in_use(known), bots = health.rests_of_bots(known.health),
      settles = uses.unsettled_for(known.name),
    }
  end

  -- An act that tells of each of `names`.
  local function telling(of)
    return function(about)
      local told = {}
      for _, name in ipairs(about.names) do
        local known = token(name)
        if not known then
          return {unknown = name}
        end
        told[name] = of(known, about.bot)
      end
      return told
    end
  end

  acts.state = telling(state_of)
  acts.outlook = telling(outlook_of)

  -- ---- the line of one call

  local function each_of(order)
    local at = 0
    return function()
      at = at + 1
      return order[at]
    end
  end

  local function in_order(one, other)
    local mine, its = score(one), score(other)
    return mine < its or (mine == its and one.name < other.name)
  end

  -- All accounts that are enlisted of those that the wants name.
  local function named(lists)
    local order, seen = {}, {}
    for _, names in ipairs(lists) do
      for name in pairs(names) do
        local known = not seen[name] and token(name)
        seen[name] = true
        if known and known.enlisted then
          table.insert(order, known)
        end
      end
    end
    table.sort(order, in_order)
    return order
  end

  -- The seconds until time alone may let a want be served that was not.
  local function due_of(vain, order)
    local due = inf
    for _, known in ipairs(order) do
      if has_room(known) then
        for _, want in pairs(vain) do
          if want.fits(known.name) then
            due = math.min(due, next_chance(known, want.bot, want.probes))
          end
        end
      end
    end
    return due
  end

  -- `names`: lists of names; `wants`: in order, each by the number of its list, and what `best` says.
  function acts.serve(about)
    local lists = {}
    for place, names in ipairs(about.names) do
      lists[place] = {}
      for _, name in ipairs(names) do
        lists[place][name] = true
      end
    end
    local wants = {}
    for place, want in ipairs(about.wants) do
      local names = lists[want.names]
      want.worker, want.within = worker, number_of(want.within)
      want.fits = function(name) return names[name] end
      wants[place] = want
    end
    local lent, order, vain = {}, {}, {}
    local function all()
      return each_of(order)
    end
    ripen()
    local again = not is_closed()
    while again do
      local passes_over, left = false, {}
      again, vain = false, {}
      for _, want in ipairs(wants) do
        local loan = lease_of(want.lease)
        if loan then
          lent[want.lease] = loan.name
        else
          local alike = table.concat({want.names, want.bot, tostring(want.probes)}, "\n")
          local before = vain[alike]
          local known, passed
          -- A want with more time has more to choose from, and so more is passed over for it.
          if not before or before.within > want.within then
            order = named(lists)
            local here = {}
            for _, one in ipairs(order) do
              if is_at_hand(one, worker) then
                table.insert(here, one)
              end
            end
            known, passed = best(want, each_of(here), all)
            passes_over = passes_over or passed == true
            if not known then
              vain[alike] = want
            end
          end
          if known then
            lend(known, want)
            lent[want.lease] = known.name
            again = passes_over
          else
            table.insert(left, want)
          end
        end
      end
      wants = left
    end
    local due = due_of(vain, named(lists))
    return {lent = lent, due = seconds(is_closed() and closed_for() or due)}
  end
end
