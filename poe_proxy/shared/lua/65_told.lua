-- What workers tell in passing, many things at a time: each batch counts once, however often it
-- comes. `tells` has what takes each part of a batch.
local tells = {}

-- {by: who tells, n: the number of this batch, and the parts by their names}
function acts.tell(told)
  begin_chapters()
  local last = key("told", told.by)
  if tonumber(call("GET", last) or 0) >= told.n then
    return false
  end
  call("SET", last, told.n, "EX", 86400)
  for part, take in pairs(tells) do
    if told[part] ~= nil and told[part] ~= null then
      take(told[part])
    end
  end
  return true
end
