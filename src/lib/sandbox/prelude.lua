-- What a script sees: the base library without what leads out of the sandbox, and `require`.
-- Runs once, before the script. Everything that it still needs later is local, so a script can't replace it.

local find_module, open_native, guard = ...

local error, find, gsub, getmetatable, loadstring, pairs, rawget, rawset, select, setfenv, setmetatable, type =
    error, string.find, string.gsub, getmetatable, loadstring, pairs, rawget, rawset, select, setfenv, setmetatable, type
local globals = _G

-- Without the compiler a script's instructions can be counted exactly, whatever it does.
jit.off()
jit.flush()

string.dump = nil
string.gfind = string.gmatch
math.mod = math.fmod

local libraries = {
    string = string,
    table = table,
    math = math,
    os = { clock = os.clock, date = os.date, difftime = os.difftime, time = os.time },
}

-- Where a table of a grammar's captures would show that it is filled only when it is looked at.
for _, name in ipairs { "getmetatable", "next", "pairs", "rawget", "rawset", "setmetatable" } do
    rawset(globals, name, guard(globals[name], name ~= "getmetatable"))
end
table.foreach = guard(table.foreach, true)

for _, name in pairs {
    "collectgarbage", "coroutine", "dofile", "load", "loadfile", "loadstring", "newproxy", "print", "string", "table",
    "math", "os", "jit", "ffi", "bit", "debug", "package", "io",
} do
    rawset(globals, name, nil)
end

local loaded = {}
local loading = {}

local function remember(name, library)
    -- A metatable marks a library as no data of the script's own.
    if type(library) == "table" and getmetatable(library) == nil then setmetatable(library, {}) end
    loaded[name] = library
    return library
end

function require(name)
    if type(name) ~= "string" then
        error("bad argument #1 to 'require' (string expected, got " .. type(name) .. ")", 2)
    end
    local library = loaded[name]
    if library == loading then error("loop or previous error loading module '" .. name .. "'", 2) end
    if library ~= nil then return library end
    if name == "io" then error("module 'io' disabled", 2) end
    if name == "" or find(name, "[^%w_.]") then error("invalid module name '" .. name .. "'", 2) end

    library = libraries[name]
    if library then
        rawset(globals, name, library)
        return remember(name, library)
    end
    local code, file = find_module(name)
    if not code then
        library = open_native(name)
        if library then return remember(name, library) end
        error("module '" .. name .. "' not found:" .. file, 2)
    end
    local chunk, message = loadstring(code, "@" .. file)
    if not chunk then error("error loading module '" .. name .. "' from file '" .. file .. "':\n\t" .. message, 2) end
    loaded[name] = loading
    local result = chunk(name)
    if result ~= nil then return remember(name, result) end
    if loaded[name] == loading then loaded[name] = true end
    return loaded[name]
end

-- Lua 5.1's, without the `package` library that it lives in.
function module(name, ...)
    if type(name) ~= "string" then
        error("bad argument #1 to 'module' (string expected, got " .. type(name) .. ")", 2)
    end
    local library = loaded[name]
    if type(library) ~= "table" or library == loading then
        library = rawget(globals, name)
        if library == nil then
            library = {}
            rawset(globals, name, library)
        elseif type(library) ~= "table" then
            error("name conflict for module '" .. name .. "'", 2)
        end
        loaded[name] = library
    end
    library._M = library
    library._NAME = name
    library._PACKAGE = gsub(name, "[^.]*$", "")
    setfenv(2, library)
    for place = 1, select("#", ...) do
        select(place, ...)(library)
    end
end
