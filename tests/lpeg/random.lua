-- Random patterns on random subjects, as text: one line a case, for two implementations to agree on.
-- Stands behind show.lua. `seed` and `count` come from the arguments, or in a sandbox from its configuration.

vague = true
local seed = read_config and read_config("seed") or tonumber(arg[1])
local count = read_config and read_config("count") or tonumber(arg[2])

-- The same numbers wherever it runs: Park and Miller's generator.
local state = seed % 2147483646 + 1
local function random(n)
    state = state * 48271 % 2147483647
    return state % n + 1
end
local function pick(list) return list[random(#list)] end

local functions = {
    { "none", function() end },
    { "echo", function(...) return ... end },
    { "count", function(...) return select("#", ...) end },
    { "join", function(...) return "<" .. show_all(...) .. ">" end },
    { "two", function(a) return a, "second" end },
    { "nil", function() return nil end },
    { "fail", function() error("failed on purpose", 0) end },
    { "again", function(text) return lpeg.match(lpeg.C(lpeg.P "a" ^ 0) * lpeg.Cp(), tostring(text)) end },
}
local run_time = {
    { "true", function() return true end },
    { "values", function(_, _, ...) return true, ... end },
    { "here", function(_, at, ...) return at, select("#", ...) end },
    { "next", function(subject, at) return at <= #subject and at + 1, "n" end },
    { "false", function() return false end },
    { "nothing", function() end },
    { "odd", function(_, at, text) return at % 2 == 1, text end },
    { "nils", function() return true, nil, nil end },
    { "wrong", function(_, at) return at - 2 end },
    { "twice", function(_, _, text) return true, lpeg.match(lpeg.Ct(lpeg.C(1) ^ 0), text or "") end },
}
local texts = { "", "a", "b", "c", "ab", "ba", "aa", "abc", "cab" }
local names = { "x", "y", 1, true }
local templates = { "", "%0", "%1", "%2", "[%0]", "%%", "%a", "x%1y%0", "%9", "%" }
local tables = { {}, { a = "A", b = 1, ab = true }, { a = false, [1] = "one" }, { b = {} } }

local function call(text, build, ...)
    local ok, pattern = pcall(build, ...)
    if ok then return pattern, text end
    return lpeg.P "a", "error(" .. text .. ": " .. clean(pattern) .. ")"
end

local pattern

local leaves = {
    function() local text = pick(texts) return lpeg.P(text), show(text) end,
    function() local text = pick(texts) return lpeg.P(text), show(text) end,
    function() local n = random(6) - 3 return lpeg.P(n), "P(" .. n .. ")" end,
    function() local set = pick(texts) return lpeg.S(set), "S" .. show(set) end,
    function() return lpeg.R("ab"), "R'ab'" end,
    function() local flag = random(2) == 1 return lpeg.P(flag), tostring(flag) end,
    function() return lpeg.Cp(), "Cp()" end,
    function() local name = pick(names) return lpeg.Cb(name), "Cb(" .. show(name) .. ")" end,
    function() local n = random(3) return lpeg.Carg(n), "Carg(" .. n .. ")" end,
    function()
        local n = random(4)
        if n == 1 then return lpeg.Cc(), "Cc()" end
        if n == 2 then return lpeg.Cc(nil), "Cc(nil)" end
        if n == 3 then return lpeg.Cc("k"), "Cc'k'" end
        return lpeg.Cc(1, nil, "z"), "Cc(1,nil,'z')"
    end,
    function() local f = pick(run_time) return lpeg.P(f[2]), "P(" .. f[1] .. ")" end,
}

local unary = {
    function(p) return lpeg.C(p) end, "C",
    function(p) return lpeg.C(p) end, "C",
    function(p) return lpeg.Ct(p) end, "Ct",
    function(p) return lpeg.Cs(p) end, "Cs",
    function(p) return lpeg.Cg(p) end, "Cg",
    function(p) return #p end, "#",
    function(p) return -p end, "-",
    function(p) return lpeg.B(p) end, "B",
    function(p) return p / 0 end, "/0 ",
    function(p) return p / 1 end, "/1 ",
    function(p) return p / 2 end, "/2 ",
}

local function operator(depth, open)
    local kind = random(20)
    if kind <= 5 then
        local a, ta = pattern(depth - 1, open)
        local b, tb = pattern(depth - 1, open)
        return call("(" .. ta .. " * " .. tb .. ")", function() return a * b end)
    elseif kind <= 8 then
        local a, ta = pattern(depth - 1, open)
        local b, tb = pattern(depth - 1, open)
        return call("(" .. ta .. " + " .. tb .. ")", function() return a + b end)
    elseif kind == 9 then
        local a, ta = pattern(depth - 1, open)
        local b, tb = pattern(depth - 1, open)
        return call("(" .. ta .. " - " .. tb .. ")", function() return a - b end)
    elseif kind == 10 then
        -- A literal on one side.
        local a, ta = pattern(depth - 1, open)
        local literal = pick { "a", "bc", 1, 2, -1, true, false }
        if random(2) == 1 then return call("(" .. show(literal) .. " * " .. ta .. ")", function() return literal * a end) end
        return call("(" .. ta .. " + " .. show(literal) .. ")", function() return a + literal end)
    elseif kind <= 13 then
        local a, ta = pattern(depth - 1, open)
        local n = random(7) - 4
        return call("(" .. ta .. ")^" .. n, function() return a ^ n end)
    elseif kind <= 15 then
        local a, ta = pattern(depth - 1, open)
        local place = random(#unary / 2) * 2
        -- LPeg 1.0.2 ends the process when a predicate holds values that match-time functions left, and when a
        -- look-behind holds a rule.
        local calls = string.find(ta, "V(", 1, true)
        local values = calls or string.find(ta, "P%(%l") or string.find(ta, "Cmt(", 1, true)
        if unary[place] == "#" and values or unary[place] == "B" and calls then place = 2 end
        return call(unary[place] .. "(" .. ta .. ")", unary[place - 1], a)
    elseif kind == 16 then
        local a, ta = pattern(depth - 1, open)
        local name = pick(names)
        return call("Cg(" .. ta .. ", " .. show(name) .. ")", lpeg.Cg, a, name)
    elseif kind == 17 then
        local a, ta = pattern(depth - 1, open)
        local f = pick(run_time)
        return call("Cmt(" .. ta .. ", " .. f[1] .. ")", lpeg.Cmt, a, f[2])
    elseif kind == 18 then
        local a, ta = pattern(depth - 1, open)
        local f = pick(functions)
        if random(3) == 1 then return call("Cf(" .. ta .. ", " .. f[1] .. ")", lpeg.Cf, a, f[2]) end
        return call("(" .. ta .. ")/" .. f[1], function() return a / f[2] end)
    elseif kind == 19 then
        local a, ta = pattern(depth - 1, open)
        local value = random(3) == 1 and pick(tables) or pick(templates)
        return call("(" .. ta .. ")/" .. show(value), function() return a / value end)
    end
    -- Rules that call grammars are left to the written cases: LPeg 1.0.2 overlooks left recursion behind them.
    if open then return pick(leaves)() end
    local rules, shown = {}, {}
    local count = random(3)
    for rule = 1, count do
        local p, text = pattern(depth - 1, count)
        rules[rule] = p
        shown[rule] = text
    end
    return call("P{" .. table.concat(shown, "; ") .. "}", lpeg.P, rules)
end

function pattern(depth, open)
    if open and random(4) == 1 then
        local rule = random(open)
        return lpeg.V(rule), "V(" .. rule .. ")"
    end
    if depth <= 0 or random(6) == 1 then return pick(leaves)() end
    return operator(depth, open)
end

local function subject()
    local bytes = {}
    for place = 1, random(12) - 1 do bytes[place] = pick { "a", "a", "b", "c" } end
    return table.concat(bytes)
end

function process_message()
    for case = 1, count do
        local p, text = pattern(random(5))
        for _ = 1, 2 do
            local s = subject()
            local init = random(4) == 1 and random(8) - 4 or 1
            local label = case .. " " .. text .. " on " .. show(s) .. " at " .. init
            report(label, pcall(lpeg.match, p, s, init, "first", 2))
        end
    end
    return finish()
end

if not inject_payload then process_message() end
