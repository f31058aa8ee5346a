-- Single adds for wrk. Every request changes something: nine of ten give one of 4,500 agents a penalty that nobody had
-- before, the tenth brings a new agent. BENCH_RUN (1 to 2000) tells one run's numbers from another's.

local run = tonumber(os.getenv("BENCH_RUN"))
local number = run * 1000000
local head, body_start, body_phone, body_penalty, body_end

local function encoded(text)
    return (text:gsub("[^%w]", function(character) return string.format("%%%02X", character:byte()) end))
end

function init()
    body_start = "queuemember=" .. encoded('[{"membername":"agent-')
    body_phone = encoded('","queueName":"' .. os.getenv("BENCH_CAMPAIGN") .. '","interface1":"SIP/')
    body_penalty = encoded('","penalty":"')
    body_end = encoded('","paused":"0"}]')
    local length = #body_start + #body_phone + #body_penalty + #body_end + 3 * 10
    head = table.concat({
        "POST " .. wrk.path .. " HTTP/1.1",
        "Host: " .. wrk.headers["Host"],
        "Authorization: Basic " .. os.getenv("BENCH_TOKEN"),
        "Content-Type: application/x-www-form-urlencoded",
        "Content-Length: " .. length,
        "", "",
    }, "\r\n")
end

function request()
    number = number + 1
    local agent = string.format("%010d", number % 10 == 0 and number or number % 5000)
    return head .. body_start .. agent .. body_phone .. agent .. body_penalty .. string.format("%010d", number)
        .. body_end
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format(
        '\n{"microseconds": %d, "requests": %d, "errors": %d, "p50": %d, "p99": %d}\n',
        summary.duration, summary.requests,
        errors.connect + errors.read + errors.write + errors.status + errors.timeout,
        latency:percentile(50), latency:percentile(99)
    ))
end
