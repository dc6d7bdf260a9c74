--[[
Dates and times as patterns, and as nanoseconds.

Parts, to be put together in a table capture: date_fullyear date_month date_mabbr date_mfull date_mday date_mday_sp
time_hour time_minute time_second time_secfrac timezone timezone_offset, and the parts of RFC 3339. Each is a named group: year month
day hour min sec as text, sec_frac offset_hour offset_min as numbers, offset_sign "+" or "-".

Whole timestamps, each giving such a table: rfc3339 clf_timestamp rfc3164_timestamp mysql_timestamp pgsql_timestamp, and
what build_strftime_grammar(format) makes. %f, %N and %L are digits of a second's fraction; %z takes +hhmm, +hh:mm and Z; what
is missing is its first: January, the 1st, midnight.

    time_to_ns(table)      nanoseconds since 1970
    seconds_to_ns(number)
    epoch_to_ns(number)    of seconds, milliseconds, microseconds or nanoseconds, told by the size

Example
    local dt = require "date_time"
    local grammar = lpeg.Ct(lpeg.Cg(dt.rfc3339 / dt.time_to_ns, "time") * " " * lpeg.Cg(lpeg.P(1)^0, "text"))
--]]

local l = require "lpeg"
-- Scripts expect the classes of characters in the table that all of them share, as Heka's modules leave them there.
l.locale(l)
local grammars = require "native_grammars"
require "os"
require "string"
local error, ipairs, tonumber = error, ipairs, tonumber
local os_date, os_time, string_format, string_sub = os.date, os.time, string.format, string.sub

local P, R, S, C, Cc, Cg, Ct = l.P, l.R, l.S, l.C, l.Cc, l.Cg, l.Ct
local digit = R "09"
local space = S " \t\n\v\f\r"

local M = {}

local function named(name, pattern) return Cg(pattern, name) end

-- One of several words, each for a text of its own.
local function words(list)
    local pattern = P(false)
    for _, pair in ipairs(list) do pattern = pattern + P(pair[1]) / pair[2] end
    return pattern
end

local months = { "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December" }
local abbreviated, full = {}, {}
for number, name in ipairs(months) do
    abbreviated[number] = { string_sub(name, 1, 3), string_format("%d", number) }
    full[number] = { name, string_format("%d", number) }
end

M.date_fullyear = named("year", digit * digit * digit * digit)
M.date_month = named("month", P "0" * R "19" + "1" * R "02")
M.date_mabbr = named("month", words(abbreviated))
M.date_mfull = named("month", words(full))
M.date_mday = named("day", P "0" * R "19" + R "12" * digit + "3" * R "01")
M.date_mday_sp = named("day", P " " * R "19" + R "12" * digit + "3" * R "01")
M.time_hour = named("hour", R "01" * digit + "2" * R "03")
M.time_minute = named("min", R "05" * digit)
M.time_second = named("sec", R "05" * digit + "60")
M.time_secfrac = named("sec_frac", "." * digit ^ 1 / tonumber)

local offset_sign = named("offset_sign", S "+-")
local function two(name) return named(name, digit * digit / tonumber) end
M.timezone_offset = offset_sign * two "offset_hour" * two "offset_min"

local function zone(name, hours)
    return P(name) * named("offset_sign", Cc "-") * named("offset_hour", Cc(hours)) * named("offset_min", Cc(0))
end
local letter = R("az", "AZ")
M.timezone = (zone("PST", 8) + zone("PDT", 7) + zone("MST", 7) + zone("MDT", 6) + zone("CST", 6) + zone("CDT", 5)
    + zone("EST", 5) + zone("EDT", 4)) * -letter + letter ^ -5

M.rfc3339_full_date = M.date_fullyear * "-" * M.date_month * "-" * M.date_mday
M.rfc3339_partial_time = M.time_hour * ":" * M.time_minute * ":" * M.time_second * M.time_secfrac ^ -1
M.rfc3339_time_numoffset = offset_sign * two "offset_hour" * ":" * two "offset_min"
M.rfc3339_time_offset = "Z" + M.rfc3339_time_numoffset
M.rfc3339_full_time = M.rfc3339_partial_time * M.rfc3339_time_offset

-- Native nodes: these two are in most logs.
M.rfc3339 = grammars.rfc3339
M.clf_timestamp = grammars.clf_timestamp

local clock = M.time_hour * ":" * M.time_minute * ":" * M.time_second
-- The last year in which the time is not far ahead of the clock.
local function with_year(t)
    local now = os_time()
    t.year = os_date("!%Y", now)
    if os_time { year = t.year, month = t.month, day = t.day, hour = t.hour } > now + 2 * 86400 then
        t.year = string_format("%d", t.year - 1)
    end
    return t
end
M.rfc3164_timestamp = Ct(M.date_mabbr * space ^ 1 * named("day", digit ^ -2) * space ^ 1 * clock) / with_year
M.mysql_timestamp = Ct(M.date_fullyear * M.date_month * M.date_mday * M.time_hour * M.time_minute * M.time_second)
M.pgsql_timestamp = Ct(M.rfc3339_full_date * " " * clock)

function M.seconds_to_ns(seconds) return tonumber(seconds) * 1e9 end

-- A time since 1970 in seconds, milliseconds, microseconds or nanoseconds, told by its size.
function M.epoch_to_ns(number)
    if number < 1e11 then return number * 1e9 end
    if number < 1e14 then return number * 1e6 end
    if number < 1e17 then return number * 1e3 end
    return number
end

function M.time_to_ns(t)
    if t == nil then return 0 end
    if t.time_t then return M.epoch_to_ns(t.time_t) end
    local hour = t.hour
    if t.period then
        hour = tonumber(hour) % 12
        if t.period == "PM" then hour = hour + 12 end
    end
    local offset = 0
    if t.offset_hour then offset = t.offset_hour * 3600 end
    if t.offset_min then offset = offset + t.offset_min * 60 end
    if t.offset_sign == "+" then offset = -offset end
    local seconds = os_time { year = t.year, month = t.month, day = t.day, hour = hour, min = t.min, sec = t.sec }
    if t.yday then seconds = seconds + (t.yday - 1) * 86400 end
    return (seconds + (t.sec_frac or 0) + offset) * 1e9
end

-- A pattern for the text of a format, which gives the pattern that the format means.
local function build_format_grammar()
    local two_digits = digit * digit
    local hour_12 = named("hour", P "0" * R "19" + "1" * R "02")
    local weekday = P "Sunday" + "Monday" + "Tuesday" + "Wednesday" + "Thursday" + "Friday" + "Saturday"
    local weekday_short = P "Sun" + "Mon" + "Tue" + "Wed" + "Thu" + "Fri" + "Sat"
    local short_year = named("year", two_digits / function(digits) return string_sub(os_date("!%Y"), 1, 2) .. digits end)
    local second = named("sec", R "05" * digit + P "6" * S "01")
    local fraction = named("sec_frac", digit ^ 1 / function(digits) return tonumber("0." .. digits) end)
    local week = R "04" * digit + "5" * R "03"

    local specifiers = {
        a = weekday_short, A = weekday, b = M.date_mabbr, h = M.date_mabbr, B = M.date_mfull, C = two_digits, d = M.date_mday,
        e = M.date_mday_sp, g = short_year, G = M.date_fullyear, H = M.time_hour, I = hour_12,
        j = named("yday", (P "00" * R "19" + "0" * R "19" * digit + R "12" * digit * digit
            + "3" * (R "05" * digit + "6" * R "06")) / tonumber),
        k = named("hour", P " " * digit + "1" * digit + "2" * R "03"), l = named("hour", P " " * R "19" + "1" * R "02"),
        m = M.date_month, M = M.time_minute, n = P "\n", p = named("period", P "AM" + "PM"),
        s = named("time_t", digit ^ 1 / tonumber), S = second, t = P "\t", u = R "17", U = week, V = week, w = R "06", W = week,
        y = short_year, Y = M.date_fullyear, z = M.timezone_offset + M.rfc3339_time_offset,
        Z = M.timezone, f = fraction, N = fraction, L = fraction, ["%"] = P "%",
    }
    specifiers.D = specifiers.m * "/" * specifiers.d * "/" * specifiers.y
    specifiers.F = specifiers.Y * "-" * specifiers.m * "-" * specifiers.d
    specifiers.R = specifiers.H * ":" * specifiers.M
    specifiers.T = specifiers.R * ":" * specifiers.S
    specifiers.r = specifiers.I * ":" * specifiers.M * ":" * specifiers.S * " " * specifiers.p
    specifiers.c = specifiers.a * " " * specifiers.b * " " * specifiers.e * " " * specifiers.T * " " * specifiers.Y
    specifiers.x = specifiers.D
    specifiers.X = specifiers.T

    local function specifier(letter)
        local pattern = specifiers[letter]
        if not pattern then error("unknown strftime specifier: " .. letter, 0) end
        return pattern
    end
    local function join(a, b) return a * b end
    local item = "%" * C(1) / specifier + space * Cc(space) + C((1 - S "% \t\n\v\f\r") ^ 1) / P
    return l.Cf(item ^ 1, join) * -1
end
local format_grammar

-- What a format leaves out is its first.
local function with_first(t)
    if not t.time_t then
        t.month, t.day, t.hour = t.month or "1", t.day or "1", t.hour or "0"
    end
    return t
end

function M.build_strftime_grammar(format)
    format_grammar = format_grammar or build_format_grammar()
    local pattern = format_grammar:match(format)
    if not pattern then error("could not parse the strftime format", 2) end
    return Ct(pattern) / with_first
end

return M
