-- What workers tell in passing, many things at a time: each batch counts once, however often it
-- comes. `tells` has what takes each part of a batch.
local tells = {}

-- {by: who tells, n: the number of this batch, and the parts by their names}
function acts.tell(told)
  local last = key("told", told.by)
  if tonumber(call("GET", last) or 0) >= told.n then
    return false
  end
  call("SET", last, told.n, "EX", 86400)
  for part, content in pairs(told) do
    begin_chapter(part)
    if tells[part] then
      tells[part](content)
    end
  end
  return true
end
