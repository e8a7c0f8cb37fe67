-- Appended to each script: what was counted, as one line of JSON.
function done(summary, latency)
  local e = summary.errors
  io.write(string.format('{"microseconds":%d,"requests":%d,"bytes":%d,"connect":%d,"read":%d,"write":%d,"timeout":%d,"status":%d,"p50":%d,"p99":%d,"max":%d}\n',
    summary.duration, summary.requests, summary.bytes, e.connect, e.read, e.write, e.timeout, e.status,
    latency:percentile(50), latency:percentile(99), latency.max))
end
