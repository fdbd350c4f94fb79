-- KEYS[1]: what all keys of the pool begin with. ARGV: the worker that calls, the epoch that it
-- knows, and then acts, each a JSON array: its verb, and what it is about.
-- The answer: a JSON text for each act; or one word that begins with "!", and nothing was done.
local prefix, worker, epoch = KEYS[1], ARGV[1], ARGV[2]
local call = redis.call
local null = cjson.null
-- What can be asked for, by its verb: takes what the act is about, returns what is answered.
local acts = {}
-- Those that a worker may ask for before the pool knows it, or after the pool has forgotten.
local always = {}

local function key(...)
  return prefix .. table.concat({...}, ":")
end

-- A time or a score, in full.
local function exact(number)
  return string.format("%.17g", number)
end

-- Forgets the requests of clients that a worker had which is no more; it is in 70_budgets.
local forget_requests

-- Chapters of what is asked for rarely, by their names: to make all their functions for each call
-- would be most of what it costs. They are begun when something is asked for that is in none of the
-- others.
local chapters = {}

local function begin_chapter(name)
  local begin = chapters[name]
  chapters[name] = nil
  if begin then
    begin()
  end
end

local function begin_chapters()
  for _, name in ipairs({"verbs", "workers", "budgets", "board"}) do
    begin_chapter(name)
  end
end
