local answers = {}
for place = 3, #ARGV do
  local act = cjson.decode(ARGV[place])
  answers[#answers + 1] = cjson.encode(acts[act[1]](act[2]))
end
serve_line()
speak()
return answers
