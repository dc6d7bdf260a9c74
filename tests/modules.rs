//! The modules that scripts can require: each call gives what Heka's gives.

use common::Workdir;

mod common;

/// Runs one script that shows each expression: a line for each.
fn lines(prelude: &str, expressions: &[String]) -> Vec<String> {
    let work = Workdir::new();
    let shows: String = expressions.iter().map(|text| format!("show(pcall(function() return {text} end))\n")).collect();
    let show = include_str!("lpeg/show.lua");
    work.write(
        "script.lua",
        format!(
            "{show}{prelude}\nlocal function show(...) report('', ...) end\n\
             function process_message()\n{shows}return finish()\nend\n"
        ),
    );
    let run =
        work.sh("echo x > one.log; heka-tail one.log | heka-decode --lua script.lua | heka-cat --format payload").ok();
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(text.lines().count() >= expressions.len(), "{text}");
    text.lines().map(String::from).collect()
}

/// The same, compared.
fn check(prelude: &str, cases: &[(&str, &str)]) {
    let expressions: Vec<String> = cases.iter().map(|(expression, _)| expression.to_string()).collect();
    for ((expression, expected), line) in cases.iter().zip(lines(prelude, &expressions)) {
        assert_eq!(line, format!(" => {expected}"), "{expression}");
    }
}

#[test]
fn date_time() {
    check(
        "local dt = require 'date_time'
         local function ns(p, text) local t = p:match(text) return t and string.format('%.0f', dt.time_to_ns(t)) end
         local function strf(format, text) return ns(dt.build_strftime_grammar(format), text) end",
        &[
            (
                "dt.rfc3339:match '1999-05-05T23:23:59.217-07:00'",
                r#"{"day"="05","hour"="23","min"="23","month"="05","offset_hour"=7,"offset_min"=0,"offset_sign"="-","sec"="59","sec_frac"=0.217,"year"="1999"}"#,
            ),
            ("ns(dt.rfc3339, '1999-05-05T23:23:59.217-07:00')", r#""925971839217000064""#),
            ("ns(dt.rfc3339, '1985-04-12T23:20:50Z')", r#""482196050000000000""#),
            ("dt.rfc3339:match '1999-13-05T23:23:59Z'", "nil"),
            ("dt.rfc3339:match '1999-05-05t23:23:59Z'", "nil"),
            ("dt.rfc3339:match '1999-05-05T23:23:59'", "nil"),
            (
                "dt.clf_timestamp:match '10/Feb/2014:08:46:41 -0800'",
                r#"{"day"="10","hour"="08","min"="46","month"="2","offset_hour"=8,"offset_min"=0,"offset_sign"="-","sec"="41","year"="2014"}"#,
            ),
            ("ns(dt.clf_timestamp, '10/Feb/2014:08:46:41 -0800')", r#""1392050801000000000""#),
            ("dt.clf_timestamp:match '10/Feb/2014:24:46:41 -0800'", "nil"),
            ("ns(dt.mysql_timestamp, '20140210125858')", r#""1392037138000000000""#),
            ("ns(dt.pgsql_timestamp, '2014-02-10 16:46:36')", r#""1392050796000000000""#),
            ("dt.rfc3164_timestamp:match('Feb  9 16:46:36').day", r#""9""#),
            ("dt.rfc3164_timestamp:match('Feb  9 16:46:36').year == os.date('!%Y')", "true"),
            ("strf('%d/%m/%Y', '01/02/2014')", r#""1391212800000000000""#),
            ("strf('%I:%M:%S %p %d/%m/%y', '11:30:00 PM 01/02/14')", r#""1391297400000000000""#),
            ("strf('%I:%M:%S %p %d/%m/%y', '12:30:00 AM 01/02/14')", r#""1391214600000000000""#),
            ("strf('%Y-%m-%d %H:%M:%S %Z', '2014-02-01 00:00:00 PST')", r#""1391241600000000000""#),
            ("strf('%Y-%m-%d %H:%M:%S %Z', '2014-02-01 00:00:00 CET')", r#""1391212800000000000""#),
            ("strf('%a %b %e %T %z %Y', 'Sat Feb  1 00:00:00 +0100 2014')", r#""1391209200000000000""#),
            ("strf('%s', '1391212800')", r#""1391212800000000000""#),
            ("strf('%D %k:%M', '02/01/14  7:05')", r#""1391238300000000000""#),
            ("strf('%Y', 'x')", "nil"),
            ("dt.build_strftime_grammar('%Q')", "error: unknown strftime specifier: Q"),
            ("dt.build_strftime_grammar('')", "error: could not parse the strftime format"),
            ("dt.time_to_ns(nil)", "0"),
            ("dt.time_to_ns { time_t = 1 }", "1000000000"),
            ("dt.time_to_ns { year = 2014 }", "error: field 'day' missing in date table"),
            ("dt.seconds_to_ns('1.5')", "1500000000"),
            ("lpeg.Ct(dt.date_mabbr * ' ' * dt.date_mday_sp):match 'Dec  7'", r#"{"day"=" 7","month"="12"}"#),
            (
                "lpeg.Ct(dt.time_hour * ':' * dt.time_minute * dt.timezone):match '09:30EST'",
                r#"{"hour"="09","min"="30","offset_hour"=5,"offset_min"=0,"offset_sign"="-"}"#,
            ),
            ("lpeg.Ct(dt.rfc3339_full_date * 'T' * dt.rfc3339_full_time):match('2014-02-10T16:46:36Z').sec", r#""36""#),
        ],
    );
}

#[test]
fn grammars_compose_with_all_operators() {
    check(
        "require 'os'
         local C, Cg, Cp, Cs, Ct, P = lpeg.C, lpeg.Cg, lpeg.Cp, lpeg.Cs, lpeg.Ct, lpeg.P
         local ip, dt, clf, syslog = require 'ip_address', require 'date_time', require 'common_log_format', require 'syslog'
         local status = clf.build_nginx_grammar '$status'",
        &[
            ("C(ip.v4):match '192.0.2.17 x'", r#""192.0.2.17""#),
            ("ip.v4:match '256.1.1.1'", "nil"),
            ("ip.v4:match '01.2.3.4'", "nil"),
            ("C(ip.v6):match '2001:db8::ff00:42:8329 x'", r#""2001:db8::ff00:42:8329""#),
            ("C(ip.v6):match '::ffff:192.0.2.1'", r#""::ffff:192.0.2.1""#),
            ("C(ip.v6):match 'fe80'", "nil"),
            ("lpeg.type(ip.v4), lpeg.type(dt.rfc3339), lpeg.type(status)", r#""pattern" "pattern" "pattern""#),
            ("Cs((ip.v4 / 'IP' + 1)^0):match 'from 10.0.0.1 to 10.0.0.2'", r#""from IP to IP""#),
            ("Ct(C(ip.v6 + ip.v4) * (' ' * C(ip.v6 + ip.v4))^0):match '10.0.0.1 ::1'", r#"{1="10.0.0.1",2="::1"}"#),
            ("(#ip.v4 * C(1) * -ip.v4):match '1.2.3.4'", r#""1""#),
            ("((P'x' * ip.v4)^1):match 'x1.2.3.4x1.2.3.4'", "17"),
            ("(status * ' ' * status):match '200 404'", r#"{"status"=200} {"status"=404}"#),
            ("Ct(Cg(status, 'first') * (' ' + Cp()) * Cg(status / function(t) return t.status + 1 end, 'second')):match '200 404'",
             r#"{"first"={"status"=200},"second"=405}"#),
            ("Ct(Cg(dt.rfc3339 / dt.time_to_ns, 'time') * ' ' * Cg(P(1)^0, 'text')):match('2014-02-10T16:46:36Z hello').text", r#""hello""#),
            ("(status + C'no'):match 'no'", r#""no""#),
            ("(clf.build_nginx_grammar '$request')^0", "error: loop body may accept empty string"),
            ("clf.build_nginx_grammar('$')", "error: could not parse the log_format configuration: a $ without a variable's name"),
            ("syslog.severity:match 'WARNING'", "4"),
            ("syslog.severity:match 'err'", "3"),
            ("syslog.severity:match 'Err'", "nil"),
            ("syslog.build_rsyslog_grammar('%syslogtag%'):match 'sshd[4718]:'",
             r#"{"syslogtag"={"pid"=4718,"programname"="sshd"}}"#),
            (
                "clf.nginx_error_grammar:match '2014/01/10 07:04:56 [notice] 16842#0: *8878 signal process started'",
                r#"{"Fields"={"connection"=8878,"tid"=0},"Payload"="signal process started","Pid"=16842,"Severity"=5,"Timestamp"=1.389337496e+18}"#,
            ),
            ("#clf.nginx_error_grammar:match('2014/01/10 07:04:56 [crit] 1#2: a\\nb').Payload", "3"),
        ],
    );
}

#[test]
fn a_table_of_captures_is_a_table() {
    // What a grammar gives by itself is filled when it is looked at; what it gives within a pattern is a plain table.
    let uses = [
        "t",
        "t.status, t.request_time.value, t.nothing, t[1], #t, type(t)",
        "t.request_time == t.request_time, t == t, rawequal(t, t), next({}, nil)",
        "(function() t.status = nil return t.status, t end)()",
        "(function() t.status = 5 t.status = nil return t.status, t end)()",
        "(function() t.extra = 'x' t.status = 7 return t.extra, t.status, t end)()",
        "(function() t.request_time.value = 9 return t.request_time.value, t end)()",
        "(function() local n = 0 for k in pairs(t) do n = n + 1 end return n, t end)()",
        "(function() t.status = nil local n = 0 for k in next, t do n = n + 1 end return n end)()",
        "(function() local n = 0 table.foreach(t, function() n = n + 1 end) return n end)()",
        "next(t) ~= nil, rawget(t, 'status'), rawget(t, 'nothing')",
        "(function() rawset(t, 'status', 1) return t.status, t end)()",
        "getmetatable(t)",
        "(function() setmetatable(t, { __index = function(_, k) return k end }) return t.status, t.nothing end)()",
        "(function() t[1] = 'a' t[2.5] = 'b' return #t, t end)()",
        "pcall(function() t[nil] = 1 end)",
        "table.concat(t), table.maxn(t), unpack(t)",
        "(function() local found = {} for _, k in ipairs { 'host', 'status' } do found[k] = t[k] end return found end)()",
        "lpeg.match(lpeg.C(1)^1 / t, 'status')",
        "(function() local other = grammar:match('b 404 2') return t.status, other.status, t.status, other end)()",
    ];
    let shown = |made: &str| -> Vec<String> {
        uses.iter().map(|expression| format!("(function() local t = {made} return {expression} end)()")).collect()
    };
    let prelude = "require 'table'
        local grammar = require 'common_log_format'.build_nginx_grammar '$host $status $request_time'";
    let run = |expressions: Vec<String>| lines(prelude, &expressions);
    let (lazy, plain) = (run(shown("grammar:match('a 200 1.5')")), run(shown("lpeg.Cg(grammar):match('a 200 1.5')")));
    for ((expression, lazy), plain) in uses.iter().zip(&lazy).zip(&plain) {
        assert_eq!(lazy, plain, "{expression}");
        assert!(!lazy.contains("userdata"), "{expression}: {lazy}");
    }
    assert_eq!(
        lazy[0],
        r#" => {"host"={"representation"="hostname","value"="a"},"request_time"={"representation"="s","value"=1.5},"status"=200}"#
    );
    assert!(lazy.len() >= uses.len());
    let errors = [("pairs(nil)", "pairs"), ("next(5)", "next"), ("setmetatable(1, {})", "setmetatable")];
    for (expression, name) in errors {
        let found = &lines("", &[format!("select(2, pcall(function() return 0, {expression} end))")])[0];
        assert!(found.contains(&format!("bad argument #1 to '{name}' (table expected")), "{found}");
    }
}

#[test]
fn a_table_of_captures_is_injected_as_it_is() {
    let work = Workdir::new();
    work.write("access.log", "a 200 1.5\nb 404 2\n");
    let script = |made: &str| {
        format!(
            "require 'lpeg'
             local grammar = require 'common_log_format'.build_nginx_grammar '$host $status $request_time'
             function process_message()
                 local fields = {made}
                 local message = {{ Timestamp = fields.status * 1e9, Type = fields.host.value, Fields = fields }}
                 fields.status = nil
                 fields.more = {{ 1, 2 }}
                 if fields.host.value == 'b' then fields.request_time = 'none' end
                 inject_message(message)
                 inject_message {{ Timestamp = 7e9, Fields = {{ only = 1 }} }}
                 return 0
             end"
        )
    };
    let decoded = |made: &str| {
        work.write("script.lua", script(made));
        let run = work.sh("heka-tail access.log | heka-decode --lua script.lua").ok();
        let show = |message: &heka::message::schema::Message| {
            let mut fields: Vec<String> = message.fields.iter().map(|field| format!("{field:?}")).collect();
            fields.sort();
            (message.timestamp, message.r#type.clone(), fields)
        };
        common::messages(&run.stdout).iter().map(show).collect::<Vec<_>>()
    };
    let plain = decoded("lpeg.Cg(grammar):match(read_message 'Payload')");
    assert_eq!(plain.len(), 4);
    assert_eq!(plain[0].2.len(), 3);
    assert_eq!(decoded("grammar:match(read_message 'Payload')"), plain);
}

/// The figures are those that the original's own tests expect.
#[test]
fn cuckoo_filter_expire() {
    check(
        "require 'cuckoo_filter_expire' local new = cuckoo_filter_expire.new local one, hours = new(512, 1), new(1000, 60)
         local function fill(f, n, ns) for i = 1, n do assert(f:add(i, ns)) end return f:count() end
         local function hour(key, n) return hours:add(key, n * 3600e9) end",
        &[
            ("one:current_interval()", "15300000000000 255"),
            ("fill(one, 410, 60e9)", "410"),
            ("one:add(200, 120e9)", "false 1"),
            ("one:count()", "410"),
            // Four fifths are full: what was seen last at the oldest time makes room.
            ("one:add(411, 120e9)", "true 0"),
            ("one:count()", "2"),
            ("one:query(200)", "true 2"),
            ("one:query(199)", "false"),
            ("hour('a', 300)", "true 0"),
            ("hour('b', 10)", "false"),
            ("hours:query('b')", "false"),
            ("hour('a', 290)", "false 10"),
            ("hour('a', 555)", "false 255"),
            ("hour('c', 810)", "true 0"),
            ("hours:count()", "2"),
            ("hour('d', 811)", "true 0"),
            ("hours:query('a')", "false"),
            ("hours:delete('d')", "true"),
            ("hours:delete('d')", "false"),
            ("hours:count()", "1"),
            ("hour('e', 0/0)", "false"),
            ("hour('e', -1)", "false"),
            ("hour('e', 1e300)", "true 0"),
            ("hours:count()", "1"),
        ],
    );
    let work = Workdir::new();
    work.write(
        "dedupe.lua",
        "require 'cuckoo_filter_expire'
         seen = cuckoo_filter_expire.new(1000, 1)
         function process_message()
             local added, ago = seen:add(read_message('Payload'), read_message('Timestamp'))
             inject_payload('txt', '', tostring(added), ' ', tostring(ago))
             return 0
         end",
    );
    let run = "| heka-sandbox --lua dedupe.lua --preserve state | heka-cat --format payload";
    let at = |minute: u32| format!("heka-inject --payload x --timestamp 2026-01-01T00:{minute:02}:00Z {run}");
    for (minute, said) in [(1, "true 0\n"), (4, "false 3\n"), (5, "false 1\n"), (3, "false 2\n")] {
        assert_eq!(work.sh(&at(minute)).ok().text(), said, "minute {minute}");
    }
}

#[test]
fn deltas_of_circular_buffers() {
    check(
        "require 'circular_buffer' local b = circular_buffer.new(3, 2, 1, true)
         b:add(0, 1, 3) b:add(1e9, 1, 4) b:add(1e9, 1, 1) b:set(2e9, 2, 9)",
        &[
            ("b:get_delta(1e9, 1)", "5"),
            ("tostring(b:get_delta(2e9, 1))", "\"nan\""),
            ("b:get_delta(9e9, 1)", "nil"),
            ("b:get_range_delta(1, 0, 1e9)[2]", "5"),
            ("#b:get_range_delta(2)", "3"),
            ("b:get_range_delta(2, 1e9)[2]", "9"),
            ("b:get_range_delta(2, 0, 9e9)", "nil"),
            ("tostring(b:reset_delta() or b:get_delta(1e9, 1))", "\"nan\""),
        ],
    );
}

#[test]
fn sfl4j() {
    check(
        "local head = 'ERROR [2014-11-20 16:40:51,577] com.domain.UsersLoop: Error caught in user loop'
         local trace = '! java.net.SocketTimeoutException: Read timed out\\n! at java.net.A.b(A.java:152)\\n'
         local function read(text) return require 'sfl4j'.logevent_grammar:match(text) or {} end
         local function level(name) return read(name .. head:sub(6)).severity end",
        &[
            ("read(head).severity", "3"),
            ("read(head).timestamp == 1.416501651577e18", "true"),
            ("read(head).class", "\"com.domain.UsersLoop\""),
            ("read(head).message", "\"Error caught in user loop\""),
            ("read(head .. '\\n').stacktrace", "nil"),
            ("read(head .. '\\n' .. trace .. '    ').stacktrace == trace", "true"),
            ("#read(head .. '\\n\\tat java.net.A.b\\nCaused by: x').stacktrace", "29"),
            ("level 'TRACE' + level 'DEBUG' + level 'INFO' + level 'WARN' + level 'FATAL'", "24"),
            ("read('NOTE' .. head:sub(6)).severity", "nil"),
        ],
    );
}
