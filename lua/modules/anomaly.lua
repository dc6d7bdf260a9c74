--[[
Finds what is unusual in the newest data of a circular buffer.

    parse_config(text)                  what to look for, as a table for detect; nil for nil
    detect(ns, name, buffer, config)    text and annotations of what was found; nothing when nothing was

The text is one or more of these calls. Windows are of `win` rows; the newest row, still being filled, is never looked at.

    roc("payload name", col, win, hwin, sd, loss_of_data, start_of_data)
        rate of change: the averages of the last two windows differ by more than `sd` deviations of the history before
        them (`hwin` rows; 0 is all); or data stops, or starts
    mww("payload name", col, win, nwin, pvalue, trend)
        Mann-Whitney-Wilcoxon: more than a quarter of the nwin windows before differ from the last one, with a
        probability under pvalue; trend is decreasing, increasing or any
    mww_nonparametric("payload name", col, win, nwin, pstat)
        the mean of the U statistics against the windows before, as a part of 1, is beyond pstat

Example
    local anomaly = require "anomaly"
    local config = anomaly.parse_config 'roc("Requests", 1, 15, 0, 1.5, true, false)'
    local text, annotations = anomaly.detect(ns, "Requests", data, config)
--]]

local l = require "lpeg"
local create = require "annotation".create
require "math"
require "string"
require "table"
local abs, format, concat = math.abs, string.format, table.concat
local error, ipairs, tonumber = error, ipairs, tonumber

local M = {}

local function build_grammar()
    local C, Cc, Cg, Ct, P = l.C, l.Cc, l.Cg, l.Ct, l.P
    local space, digit = l.S " \t\n\v\f\r" ^ 0, l.R "09"
    local function argument(pattern, name) return "," * space * Cg(pattern, name) end
    local unsigned = digit ^ 1 / tonumber
    local real = digit ^ 1 * ("." * digit ^ 1) ^ -1 / tonumber
    local part = "0" * ("." * digit ^ 1) ^ -1 / tonumber
    local flag = P "true" * Cc(true) + P "false" * Cc(false)
    local trend = C(P "decreasing" + "increasing" + "any")
    -- A quote in a name is written twice.
    local name = Cg(l.Cs((P '""' / '"' + (1 - P '"')) ^ 1), "name")

    local function call(algorithm, arguments)
        return Ct(algorithm * P '("' * Cg(Cc(algorithm), "algorithm") * name * '"' * arguments * ")")
    end
    local col, win, nwin = argument(unsigned, "col"), argument(unsigned, "win"), argument(unsigned, "nwin")
    local roc = call("roc", col * win * argument(unsigned, "hwin") * argument(real, "sd") * argument(flag, "loss")
        * argument(flag, "start"))
    local nonparametric = call("mww_nonparametric", col * win * nwin * argument(part, "pstat"))
    local mww = call("mww", col * win * nwin * argument(real, "pvalue") * argument(trend, "trend"))
    return Ct((space * (roc + nonparametric + mww)) ^ 1) * -1
end

function M.parse_config(text)
    if text == nil then return nil end
    local calls = build_grammar():match(text)
    if not calls then error("could not parse the anomaly_config", 2) end
    local config = {}
    for _, parameters in ipairs(calls) do
        local name = parameters.name
        config[name] = config[name] or {}
        config[name][#config[name] + 1] = parameters
    end
    return config
end
M.parse = M.parse_config

-- What a window is: the buffer, where its newest row begins, and how long a row is, in nanoseconds.
local function window(p, buffer)
    local rows, _, seconds = buffer:get_configuration()
    return rows, seconds * 1e9, buffer:current_time(), p.win * seconds * 1e9
end

local function out_of_range(name, p, details)
    error(format("%s - algorithm: %s col: %d msg: %sarguments out of range%s", name, p.algorithm, p.col,
        details and details.before or "", details and details.after or ""))
end

local algorithms = {}

function algorithms.roc(name, p, buffer)
    local rows, row, now, size = window(p, buffer)
    if 3 * p.win >= rows or (p.hwin > 0 and p.hwin < p.win) then
        out_of_range(name, p, { before = format("win=%d hwin=%d ", p.win, p.hwin), after = format(" (rows=%d)", rows) })
    end
    local oldest = now - (rows - 1) * row
    local history = oldest
    if p.hwin > 0 then
        history = now - 2 * size - p.hwin * row
        if history < oldest then history = oldest end
    end
    local current, samples = buffer:compute("avg", p.col, now - size, now - row)
    local previous, before = buffer:compute("avg", p.col, now - 2 * size, now - size - row)
    if p.loss and before > 0 and samples == 0 then return "no new data" end
    if p.start and before == 0 and samples > 0 then return "unexpected data" end
    local deviation = buffer:compute("sd", p.col, history, now - 2 * size - row)
    if abs(current - previous) > deviation * p.sd then
        return format("detected anomaly, standard deviation exceeds %G", p.sd)
    end
end

-- Calls each(start, end) for the windows that the last one is compared with.
local function each_window(p, now, row, size, each)
    for k = 2, p.nwin - 1 do each(now - k * size, now - (k - 1) * size - row) end
end

function algorithms.mww(name, p, buffer)
    local rows, row, now, size = window(p, buffer)
    if p.win * p.nwin >= rows then out_of_range(name, p) end
    local average = buffer:compute("avg", p.col, now - size, now - row)
    local hits = 0
    each_window(p, now, row, size, function(first, last)
        local other = buffer:compute("avg", p.col, first, last)
        if p.trend == "any" or (p.trend == "decreasing" and other > average)
            or (p.trend == "increasing" and other < average) then
            local _, probability = buffer:mannwhitneyu(p.col, now - size, now - row, first, last)
            if probability and probability < p.pvalue then hits = hits + 1 end
        end
    end)
    if hits <= p.nwin / 4 then return nil end
    if p.trend == "any" then return "detected anomaly" end
    return format("detected anomaly, %s values", p.trend)
end

function algorithms.mww_nonparametric(name, p, buffer)
    local rows, row, now, size = window(p, buffer)
    if p.win * p.nwin >= rows then out_of_range(name, p) end
    local sum = 0
    each_window(p, now, row, size, function(first, last)
        local u = buffer:mannwhitneyu(p.col, now - size, now - row, first, last)
        if u then sum = sum + u / (p.win * p.win) - 0.5 end
    end)
    local mean = 0.5 + sum / (p.nwin - 1)
    if (p.pstat < 0.5 and mean < p.pstat) or (p.pstat > 0.5 and mean > p.pstat) then
        return format("detected anomaly, pstat: %G", mean)
    end
end

function M.detect(ns, name, buffer, config)
    -- Rows up to now, even if nothing has come.
    if buffer:get(ns, 1) == nil then buffer:add(ns, 1, 0/0) end
    local calls = config and config[name]
    if not calls then return end
    local _, _, seconds = buffer:get_configuration()
    if ns - (calls.last_run or 0) < seconds * 1e9 then return end
    calls.last_run = ns

    local texts, annotations = {}, {}
    for _, p in ipairs(calls) do
        local text = algorithms[p.algorithm](name, p, buffer)
        if text then
            texts[#texts + 1] = format("%s - algorithm: %s col: %d msg: %s", name, p.algorithm, p.col, text)
            annotations[#annotations + 1] = create(buffer:current_time(), p.col, "A", text)
        end
    end
    if #texts > 0 then return concat(texts, "\n"), annotations end
end

return M
