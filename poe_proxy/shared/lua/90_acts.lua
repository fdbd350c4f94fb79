-- The way of one call: the dead are buried, then each act is done. An act that fails is answered by
-- a word that begins with "!", and the others are done all the same.
workers.bury_dead()

local wanted, is_strange = {}, false
for place = 3, #ARGV do
  local act = cjson.decode(ARGV[place])
  wanted[#wanted + 1] = act
  if not acts[act[1]] then
    begin_chapter(string.sub(act[1], 1, 2) == "b_" and "budgets" or "verbs")
  end
  if not acts[act[1]] then
    begin_chapters()
  end
  is_strange = is_strange or not always[act[1]]
end
is_strange = is_strange and workers.strange()
if is_strange then
  return is_strange
end

local function answer(act)
  return cjson.encode(acts[act[1]](act[2]))
end

local answers = {}
for place, act in ipairs(wanted) do
  local is_done, said = pcall(answer, act)
  if not is_done then
    -- What was read before may not be what is there.
    tokens, loans = {}, {}
    said = "!" .. (type(said) == "table" and said.err or tostring(said))
  end
  answers[place] = said
end
serve_line()
speak()
return answers
