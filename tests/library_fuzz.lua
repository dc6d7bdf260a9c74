-- Calls whatever a script can reach with arguments that make no sense: functions of all libraries, methods of all objects,
-- callbacks that fail or come back. `--config seed=N` says which calls. With heka-sandbox --preserve, what
-- was made is kept and used again.

require "string"
require "math"
require "table"
require "os"

local libraries = {
    "lpeg", "cjson", "circular_buffer", "hyperloglog", "bloom_filter", "cuckoo_filter", "cuckoo_filter_expire", "struct", "sax",
    "alert", "annotation", "anomaly", "bind", "cbufd", "cef", "chart", "common_log_format", "date_time", "elasticsearch",
    "field_util", "gauges", "graphite", "ip_address", "listing", "msg_interpolate", "mysql", "slow_query", "syslog",
    "ts_line_protocol", "util", "web_access", "native_grammars", "native_json",
}

-- A generator of its own: the script may call math.randomseed.
local state = (read_config("seed") or 1) % 2147483647
if state == 0 then state = 1 end
local floor = math.floor
local how_many = read_config("calls") or 3000
local function any(n)
    state = state * 16807 % 2147483647
    return floor(state / 2147483647 * n) + 1
end

-- What scripts may change, kept from them.
local pcall, type, pairs, ipairs, unpack, error, pick = pcall, type, pairs, ipairs, unpack, error, select
local setmetatable, sort, rep = setmetatable, table.sort, string.rep

-- Kept over restarts: the state file writes them and reads them again.
made = made or {}
local functions, objects = {}, {}

local function keep(...)
    for i = 1, pick("#", ...) do
        local value = pick(i, ...)
        local kind = type(value)
        if kind == "userdata" or kind == "table" or kind == "function" then
            objects[#objects < 80 and #objects + 1 or any(80)] = value
            if kind == "userdata" or kind == "table" then made[any(20)] = value end
        end
    end
end

local texts = {
    "", " ", "\0", "\255\254", "%", "%%", "%d+", "%f[%w]", "%b()", "[^]", "(()", "^(.-)$", ".-.-.-.-x", "%1", "%g", "a", "abc",
    "-1", "1e400", "0x10", "nan", "2024-02-29T23:59:60Z", "%Y%j%Z", "%c%x%X%p", "*t", "!%H", "{\"a\":[1,{\"b\":null}]}", "[[[[",
    "{\"\\ud800\":1e999}", "<i8>I3!16s", "bBhHlLfdxc0", "c0s", "i17", "CEF:0|a|b|c|1|d|5|src=1.2.3.4", "<34>1 - - - - - -", "cbuf",
    "cbufd", "sum", "avg", "min", "max", "sd", "variance", "count", "Timestamp", "Fields[a]", "Payload", "raw", "framed", "txt",
    "# Time: 150101 10:00:00", "$remote_addr [$time_local] $status", "%h %l %u %t \"%r\" %>s", "%msg:::drop-last-lf%",
    "%{Payload} %{Fields[a]}", "return 1", "while", rep("(", 250), rep("a", 300), rep("ab", 5000), rep("\n", 70),
}
local numbers = {
    0, 1, 2, 3, 4, 7, 10, 60, 100, 255, 256, 1023, 65536, 2 ^ 31 - 1, 2 ^ 31, 2 ^ 32, 2 ^ 32 + 1, 2 ^ 53, 2 ^ 63, 2 ^ 64, 1e18, 1e300,
    0.5, 1e-320, 1 / 0, 0 / 0,
}

local value

local function some_table(depth)
    local t = {}
    for _ = 1, any(5) - 1 do
        local key = value(depth + 1)
        if key ~= nil and key == key then t[key] = value(depth + 1) end
    end
    if any(3) == 1 then t.Fields = {a = value(depth + 1), {name = "n", value = value(depth + 1), representation = value(depth + 1)}} end
    if any(3) == 1 then t.Payload, t.Timestamp, t.Uuid = value(depth + 1), value(depth + 1), value(depth + 1) end
    if any(4) == 1 then
        local meta = {__mode = ({"k", "v", "kv"})[any(3)]}
        for _, event in ipairs{"__index", "__newindex", "__len", "__concat", "__lt", "__eq", "__call", "__tostring", "__add", "__gc"} do
            if any(2) == 1 then meta[event] = value(2) end
        end
        setmetatable(t, meta)
    end
    return t
end

local calls

-- Functions that are called back.
local function callback()
    local kind = any(7)
    if kind == 1 then return function(...) return ... end end
    if kind == 2 then return function() error(value(2)) end end
    if kind == 3 then return function() return any(2) == 1 end end
    if kind == 4 then return function() return value(2) end end
    if kind == 5 then return function() calls(2) end end
    if kind == 6 then return function(t) if type(t) == "table" then t[any(9)] = value(2) end end end
    return functions[any(#functions)].call
end

function value(depth)
    local kind = any(10)
    if kind <= 3 then return texts[any(#texts)] end
    if kind <= 5 then return any(4) == 1 and -numbers[any(#numbers)] or numbers[any(#numbers)] end
    if kind == 6 then return any(2) == 1 end
    if kind == 7 then return nil end
    if kind == 8 and depth < 3 then return some_table(depth) end
    if kind == 9 then return callback() end
    if #objects > 0 then return objects[any(#objects)] end
    return any(80)
end

local function values()
    local list = {}
    local n = any(7) - 1
    for i = 1, n do list[i] = value(0) end
    return unpack(list, 1, n)
end

-- Methods are those that the libraries have and those that only objects have.
local methods = {
    "add", "set", "get", "get_range", "get_delta", "get_range_delta", "get_configuration", "set_header", "get_header", "format", "compute",
    "mannwhitneyu", "current_time", "count", "clear", "query", "delete", "merge", "match", "fromstring", "annotate", "get_word",
    "current_interval", "encode", "decode", "read", "render", "find", "gsub", "upper", "sub", "rep", "byte", "dump",
}

local operations = {
    function(o, v) return o + v end, function(o, v) return v - o end, function(o, v) return o * v end, function(o, v) return v / o end,
    function(o, v) return o ^ v end, function(o, v) return o % v end, function(o) return -o end, function(o) return #o end,
    function(o, v) return o .. v end, function(o, v) return o < v end, function(o, v) return v <= o end, function(o, v) return o == v end,
    function(o, v) return o[v] end, function(o, v) o[v] = v end, function(o, ...) return o(...) end, tostring, getmetatable,
}

function calls(n)
    for _ = 1, n do
        local kind = any(8)
        if kind <= 4 or #objects == 0 then
            keep(pick(2, pcall(functions[any(#functions)].call, values())))
        elseif kind <= 6 then
            local object, name = objects[any(#objects)], methods[any(#methods)]
            local found, method = pcall(function() return object[name] end)
            if found and type(method) == "function" then
                keep(pick(2, pcall(method, object, values())))
                -- An object that is not its own.
                keep(pick(2, pcall(method, values())))
            end
        elseif kind == 7 then
            keep(pick(2, pcall(operations[any(#operations)], objects[any(#objects)], values())))
        else
            local list = {}
            for i = 1, any(20) do list[i] = value(1) end
            pcall(sort, list, any(3) > 1 and callback() or nil)
        end
    end
end

local function offer(name, call)
    if type(call) == "function" and name ~= "os.exit" then functions[#functions + 1] = {name = name, call = call} end
end

for _, name in ipairs{"string", "math", "table", "os"} do
    for key, call in pairs(_G[name]) do offer(name .. "." .. key, call) end
end
for _, name in ipairs(libraries) do
    local loaded, library = pcall(require, name)
    if loaded and type(library) == "table" then
        for key, call in pairs(library) do offer(name .. "." .. tostring(key), call) end
        keep(library)
    end
end
for key, call in pairs(_G) do
    if key ~= "process_message" and key ~= "timer_event" then offer(tostring(key), call) end
end
-- In the same order in each run.
sort(functions, function(a, b) return a.name < b.name end)

keep(
    circular_buffer.new(7, 3, 60), circular_buffer.new(2, 1, 1, true), bloom_filter.new(100, 0.01), cuckoo_filter.new(100),
    hyperloglog.new(), lpeg.P "a" ^ 0, lpeg.Ct(lpeg.C(1)), lpeg.P{"x" * lpeg.V(1) + -1}, sax.window.new(8, 4, 4)
)
for _, object in pairs(made) do keep(object) end

function process_message()
    calls(how_many)
    return 0
end

function timer_event()
    calls(300)
end
