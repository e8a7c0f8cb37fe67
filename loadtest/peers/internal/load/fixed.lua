-- Every request is the same. Arguments: method, file with a body or "-", then
-- pairs of a header's name and value.
function init(args)
  wrk.method = args[1]
  if args[2] ~= "-" then
    local f = assert(io.open(args[2], "rb"))
    wrk.body = f:read("*a")
    f:close()
  end
  for i = 3, #args - 1, 2 do
    wrk.headers[args[i]] = args[i + 1]
  end
end
