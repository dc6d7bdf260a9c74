-- Ordinary grammars, timed: what LPeg is used for, written as one writes it.
-- Usage: luajit lpeg_grammars.lua   or in a sandbox, where the lines are injected as a payload.
-- Prints: name, nanoseconds a match, and a checksum of what was captured.

local lpeg = require "lpeg"
require "string"
require "table"
require "math"
require "os"

local P, R, S, V, C, Cc, Cf, Cg, Cs, Ct = lpeg.P, lpeg.R, lpeg.S, lpeg.V, lpeg.C, lpeg.Cc, lpeg.Cf, lpeg.Cg, lpeg.Cs, lpeg.Ct
local digit, alpha, alnum, space = R "09", R("az", "AZ"), R("az", "AZ", "09"), S " \t"

local function csv()
    local field = '"' * Cs(((P(1) - '"') + P '""' / '"') ^ 0) * '"' + C((1 - S ',\n"') ^ 0)
    return Ct(field * ("," * field) ^ 0) * (P "\n" + -1),
        '2026-11-21T10:23:02Z,web-07,"GET /index.html?q=""a b""",200,5316,0.031,-,"Mozilla/5.0 (X11; Linux x86_64)",10.1.2.3'
end

local function json()
    local white = S " \t\r\n" ^ 0
    local escapes = { ["\\n"] = "\n", ["\\t"] = "\t", ['\\"'] = '"', ["\\\\"] = "\\", ["\\/"] = "/" }
    local text = '"' * Cs(((1 - S '"\\') ^ 1 + P "\\" * 1 / escapes) ^ 0) * '"'
    local number = C(P "-" ^ -1 * digit ^ 1 * ("." * digit ^ 1) ^ -1 * (S "eE" * S "+-" ^ -1 * digit ^ 1) ^ -1) / tonumber
    local function set(object, name, value) object[name] = value return object end
    local grammar = P {
        white * V "value" * -1,
        value = (V "object" + V "array" + text + number + P "true" * Cc(true) + P "false" * Cc(false) + P "null" * Cc(nil)) * white,
        array = "[" * white * Ct((V "value" * ("," * white * V "value") ^ 0) ^ -1) * "]",
        pair = Cg(text * white * ":" * white * V "value"),
        object = "{" * white * Cf(Ct "" * (V "pair" * ("," * white * V "pair") ^ 0) ^ -1, set) * "}",
    }
    return grammar, [[{"time": 1763720582.125, "host": "web-07.example.org", "level": "info", "tags": ["nginx", "access", "edge"],
  "request": {"method": "GET", "path": "/index.html", "query": {"q": "a \"b\"", "page": 12}, "bytes": 5316},
  "timings": [0.001, 0.013, 0.017, 1.25e-3], "cached": false, "user": null, "message": "line one\nline two"}]]
end

local function rfc3339()
    local two, four = digit * digit, digit * digit * digit * digit
    local number = function(p) return C(p) / tonumber end
    return Ct(Cg(number(four), "year") * "-" * Cg(number(two), "month") * "-" * Cg(number(two), "day") * S "Tt"
        * Cg(number(two), "hour") * ":" * Cg(number(two), "min") * ":" * Cg(number(two), "sec")
        * (Cg(number("." * digit ^ 1), "sec_frac")) ^ -1
        * (S "Zz" + Cg(S "+-", "offset_sign") * Cg(number(two), "offset_hour") * ":" * Cg(number(two), "offset_min"))),
        "1999-05-05T23:23:59.217-07:00"
end

local function nginx()
    local octet = P "1" * digit * digit + P "2" * (R "04" * digit + P "5" * R "05") + R "19" * digit + digit
    local v4 = octet * "." * octet * "." * octet * "." * octet
    local host = Ct(Cg(v4, "value") * Cg(Cc "ipv4", "representation"))
        + Ct(Cg((alnum + S "-._") ^ 1, "value") * Cg(Cc "hostname", "representation"))
    local months = { Jan = 1, Feb = 2, Mar = 3, Apr = 4, May = 5, Jun = 6, Jul = 7, Aug = 8, Sep = 9, Oct = 10, Nov = 11, Dec = 12 }
    local time = Ct(Cg(digit * digit, "day") * "/" * Cg(alpha ^ 3 / months, "month") * "/" * Cg(digit * digit * digit * digit, "year") * ":"
        * Cg(digit * digit, "hour") * ":" * Cg(digit * digit, "min") * ":" * Cg(digit * digit, "sec") * " "
        * Cg(S "+-", "offset_sign") * Cg(digit * digit / tonumber, "offset_hour") * Cg(digit * digit / tonumber, "offset_min"))
    local quoted = C((P '\\"' + (1 - P '"')) ^ 0)
    local blank = lpeg.space and lpeg.space ^ 1 or S " \t" ^ 1
    return Ct(Cg(host, "remote_addr") * blank * "-" * blank * Cg(C((1 - S " \t\n") ^ 0), "remote_user") * blank
        * "[" * Cg(time, "time") * "]" * blank * '"' * Cg(quoted, "request") * '"' * blank
        * Cg(digit * digit * digit / tonumber, "status") * blank
        * Cg(Ct(Cg(digit ^ 1 / tonumber, "value") * Cg(Cc "B", "representation")), "body_bytes_sent") * blank
        * '"' * Cg(quoted, "http_referer") * '"' * blank * '"' * Cg(quoted, "http_user_agent") * '"'),
        '62.195.113.219 - - [10/Jan/2014:07:04:56 -0800] "GET /v1/recovery_email/status HTTP/1.1" 200 82 "-" "Mozilla/5.0 (Windows NT 6.1; WOW64; rv:26.0) Gecko/20100101 Firefox/26.0"'
end

local function syslog()
    local month = P "Jan" + "Feb" + "Mar" + "Apr" + "May" + "Jun" + "Jul" + "Aug" + "Sep" + "Oct" + "Nov" + "Dec"
    local time = month * " " * (" " + digit) * digit * " " * digit * digit * ":" * digit * digit * ":" * digit * digit
    return Ct(("<" * Cg(digit ^ 1 / tonumber, "pri") * ">") ^ -1 * Cg(time, "timestamp") * " " * Cg((1 - P " ") ^ 1, "hostname") * " "
        * Cg((1 - S ":[ ") ^ 1, "programname") * ("[" * Cg(digit ^ 1 / tonumber, "pid") * "]") ^ -1 * P ":" ^ -1 * space ^ 0 * Cg(P(1) ^ 0, "msg")),
        "<38>Feb  9 16:46:36 trink-x230 sshd[4718]: Accepted publickey for alice from 192.0.2.17 port 49152 ssh2"
end

local function ini()
    local line = P "\n"
    local skip = (space + line + (S ";#" * (1 - line) ^ 0)) ^ 0
    local name = C((alnum + S "_.-") ^ 1) * space ^ 0
    local value = C((1 - S "\n;") ^ 0)
    local function set(t, k, v) t[k] = v return t end
    local pair = Cg(name * "=" * space ^ 0 * value) * skip
    local section = "[" * C((1 - S "]\n") ^ 1) * "]" * skip * Cf(Ct "" * pair ^ 0, set)
    return skip * Cf(Ct "" * Cg(section) ^ 0, set) * -1,
        "; settings\n[server]\nhost = example.org\nport=8080\n# tuned\nthreads = 16\n\n[log]\npath=/var/log/app.log\nlevel = info\nrotate=daily\n\n[cache]\nsize = 512M\nttl=3600\n"
end

local function sum(value)
    if type(value) == "table" then
        local total = 0
        for key, item in pairs(value) do total = total + sum(key) + sum(item) end
        return total
    end
    if type(value) == "string" then return #value end
    return type(value) == "number" and value or 1
end

local lines = {}
local function time(name, pattern, subject, wanted)
    if not pattern:match(subject) then error(name .. " doesn't match") end
    local best
    for _ = 1, 5 do
        local start = os.clock()
        for _ = 1, wanted do pattern:match(subject) end
        local took = (os.clock() - start) / wanted
        if not best or took < best then best = took end
    end
    lines[#lines + 1] = string.format("%s\t%.0f\t%.3f", name, best * 1e9, sum(pattern:match(subject)))
end

function process_message()
    for _, item in ipairs { { "csv", csv }, { "json", json }, { "rfc3339", rfc3339 }, { "nginx", nginx }, { "syslog", syslog }, { "ini", ini } } do
        local pattern, subject = item[2]()
        time(item[1], pattern, subject, 20000)
    end
    local text = table.concat(lines, "\n") .. "\n"
    if not inject_payload then return io.write(text) end
    local pattern = require "common_log_format".build_nginx_grammar(
        '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"')
    local _, subject = nginx()
    time("common_log_format", pattern, subject, 20000)
    -- Its values are read from the line when they are asked for; here all of them at once.
    time("common_log_format_filled", { match = function() local t = pattern:match(subject) next(t) return t end }, subject, 20000)
    -- As nginx_access.lua does it: from the Payload to an injected message.
    write_message("Payload", subject)
    local inject = require "native_grammars".inject
    time("nginx_access", { match = function() return inject(pattern, "nginx") end }, subject, 4000)
    inject_payload("txt", "times", table.concat(lines, "\n") .. "\n")
    return 0
end

if not inject_payload then process_message() end
