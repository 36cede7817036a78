-- wrk's script: one chat request, without a stream. The key comes by the environment, so that no process list shows it.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local key = os.getenv("BENCH_KEY")
if key and key ~= "" then wrk.headers["Authorization"] = "Bearer " .. key end
wrk.body = '{"model":"m-1","max_tokens":256,"messages":[{"role":"system","content":"You are terse."},'
  .. '{"role":"user","content":"Say words, please: as many as you are asked for, and no more."}]}'

function done(summary, latency, requests)
  local errors = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status
    + summary.errors.timeout
  io.write(string.format(
    'RESULT {"streams":%d,"seconds":%.3f,"requests_per_second":%.1f,"p50_us":%d,"p99_us":%d,"errors":%d}\n',
    summary.requests, summary.duration / 1e6, summary.requests / (summary.duration / 1e6), latency:percentile(50),
    latency:percentile(99), errors))
end
