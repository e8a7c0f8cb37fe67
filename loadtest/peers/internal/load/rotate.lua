-- Each request is the next of a file, whose lines are a path and a token. After
-- the last comes the first. Arguments: file, number of the line to begin with, then
-- pairs of a header's name and value.
local requests, count, at = {}, 0, 0

function init(args)
  local first = tonumber(args[2])
  for i = 3, #args - 1, 2 do
    wrk.headers[args[i]] = args[i + 1]
  end
  local headers = {}
  for name, value in pairs(wrk.headers) do
    headers[name] = value
  end
  local lines = {}
  for line in io.lines(args[1]) do
    lines[#lines + 1] = line
  end
  for i = 0, #lines - 1 do
    local path, token = lines[(first + i) % #lines + 1]:match("^(%S+) (%S+)$")
    headers["Authorization"] = "Bearer " .. token
    requests[i + 1] = wrk.format("GET", path, headers)
  end
  count = #lines
  lines = nil
  collectgarbage()
end

function request()
  at = at % count + 1
  return requests[at]
end
