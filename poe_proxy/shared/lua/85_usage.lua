-- What was used, by day: each file of usage records has its own sums, all of which its host puts here
-- anew where it has found more. So a sum is right however often it comes, and what is lost here is
-- put here again.
--
--   sums:<day>          SET: files that have sums of this day
--   sums:<day>:<file>   HASH: a JSON array of what they are of -> a JSON array of numbers
--   charged:<day>       HASH: account -> points that Poe's history has for it
--   summed:<file>       STRING: up to where the file is summed

-- {file, seconds}: whether this worker is the one to put here what the file has, for so long; and up to
-- where it is here already. No seconds: it is no longer.
function acts.u_turn(about)
  local turn = key("job", "sums", about.file)
  local holder = call("GET", turn)
  if holder and holder ~= worker then
    return {mine = false, summed = null}
  end
  if about.seconds <= 0 then
    call("DEL", turn)
    return {mine = false, summed = null}
  end
  call("SET", turn, worker, "PX", string.format("%.0f", about.seconds * 1000))
  return {mine = true, summed = call("GET", key("summed", about.file)) or null}
end

-- {file, day, lasts: seconds, groups: {of: numbers}, is_whole: whether the day begins with these, and
-- is_last: ends with these; charged: {account: points}}
function acts.u_put(about)
  local sums = key("sums", about.day, about.file)
  local into = sums
  if about.is_whole then
    into = sums .. ":new"
    if about.is_first then
      call("DEL", into)
    end
  end
  for of, numbers in pairs(about.groups) do
    call("HSET", into, of, numbers)
  end
  if about.is_whole and about.is_last then
    call("DEL", sums)
    if call("EXISTS", into) == 1 then
      call("RENAME", into, sums)
    end
    into = sums
  end
  call("EXPIRE", into, about.lasts)
  local charged = key("charged", about.day)
  for account, points in pairs(about.charged) do
    -- Several hosts read the history of an account: what was read last has most.
    if points > tonumber(call("HGET", charged, account) or -1) then
      call("HSET", charged, account, string.format("%.0f", points))
    end
  end
  call("EXPIRE", charged, about.lasts)
  call("SADD", key("sums", about.day), about.file)
  call("EXPIRE", key("sums", about.day), about.lasts)
  return true
end

-- {file, summed, lasts}: all is here up to there.
function acts.u_summed(about)
  call("SET", key("summed", about.file), about.summed, "EX", about.lasts)
  return true
end

-- {day}: what was used on it.
function acts.u_sums(about)
  local files = {}
  for _, file in ipairs(call("SMEMBERS", key("sums", about.day))) do
    files[#files + 1] = call("HGETALL", key("sums", about.day, file))
  end
  return {files = files, charged = call("HGETALL", key("charged", about.day))}
end
