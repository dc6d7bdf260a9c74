-- What the written cases use.

local match, type, version, setmaxstack, locale = lpeg.match, lpeg.type, lpeg.version, lpeg.setmaxstack, lpeg.locale
local P, S, R, B, V, utfR = lpeg.P, lpeg.S, lpeg.R, lpeg.B, lpeg.V, lpeg.utfR
local C, Carg, Cb, Cc, Cf, Cg, Cmt, Cp, Cs, Ct =
    lpeg.C, lpeg.Carg, lpeg.Cb, lpeg.Cc, lpeg.Cf, lpeg.Cg, lpeg.Cmt, lpeg.Cp, lpeg.Cs, lpeg.Ct
local function f(...) return "f", ... end
local function m(_, at, ...) return at, "m", ... end
