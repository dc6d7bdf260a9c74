-- The yardstick for heka-decode: the combined format with LPeg, in C, as one would write it down.
-- Usage: lua5.1 nginx_lpeg.lua access.log   (prints how many lines matched)
local lpeg = require "lpeg"
lpeg.locale(lpeg)
local P, R, S, C, Cg, Ct = lpeg.P, lpeg.R, lpeg.S, lpeg.C, lpeg.Cg, lpeg.Ct

local space = lpeg.space ^ 1
local digit = lpeg.digit
local months = { Jan = 1, Feb = 2, Mar = 3, Apr = 4, May = 5, Jun = 6, Jul = 7, Aug = 8, Sep = 9, Oct = 10, Nov = 11, Dec = 12 }

local octet = P "1" * digit * digit
    + P "2" * (R "04" * digit + P "5" * R "05")
    + R "19" * digit
    + digit
local v4 = octet * "." * octet * "." * octet * "." * octet
local host = Ct(Cg(v4, "value") * Cg(lpeg.Cc "ipv4", "representation"))
    + Ct(Cg((lpeg.alnum + S "-._") ^ 1, "value") * Cg(lpeg.Cc "hostname", "representation"))

local function number(pattern) return pattern / tonumber end

local time = Ct(Cg(digit * digit, "day") * "/"
    * Cg(lpeg.alpha ^ 3 / months, "month") * "/"
    * Cg(digit * digit * digit * digit, "year") * ":"
    * Cg(digit * digit, "hour") * ":" * Cg(digit * digit, "min") * ":" * Cg(digit * digit, "sec") * " "
    * Cg(S "+-", "sign") * Cg(number(digit * digit), "offset_hour") * Cg(number(digit * digit), "offset_min"))
local function to_ns(t)
    local offset = (t.offset_hour * 60 + t.offset_min) * 60
    if t.sign == "+" then offset = -offset end
    return (os.time(t) + offset) * 1e9
end

local word = C((1 - lpeg.space) ^ 0)
local quoted = C((P '\\"' + (1 - P '"')) ^ 0)

local grammar = Ct(
    Cg(host, "remote_addr") * space * "-" * space
    * Cg(word, "remote_user") * space
    * "[" * Cg(time / to_ns, "time") * "]" * space
    * '"' * Cg(quoted, "request") * '"' * space
    * Cg(number(digit * digit * digit), "status") * space
    * Cg(Ct(Cg(number(digit ^ 1), "value") * Cg(lpeg.Cc "B", "representation")), "body_bytes_sent") * space
    * '"' * Cg(quoted, "http_referer") * '"' * space
    * '"' * Cg(quoted, "http_user_agent") * '"')

local count = 0
for line in io.lines(arg[1]) do
    if grammar:match(line) then count = count + 1 end
end
print(count)
