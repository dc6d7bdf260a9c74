//! What the commands read, and the servers that they speak to.

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value as Json, json};

use crate::common::http::{self, Incoming};
use crate::common::{Background, Workdir, free_port};
use crate::printed;

pub struct World {
    pub dir: Workdir,
    hec: u16,
    web: u16,
    requests: Arc<AtomicUsize>,
    heard: u16,
    _servers: Vec<Background>,
}

/// A process.
pub struct Process {
    pub id: u32,
    pub name: String,
    pub sleeps: bool,
    /// Of processor time.
    pub ticks: u64,
}

/// What a process has started, first of all what it started first.
pub fn children(parent: u32) -> Vec<Process> {
    let read = |id: u32| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        let number = |place: usize| fields.get(place)?.parse::<u64>().ok();
        let ticks = number(11)? + number(12)?;
        let process = Process { id, name: name.into(), sleeps: fields[0] == "S", ticks };
        (number(1)? == parent as u64).then_some(process)
    };
    let ids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let mut found: Vec<Process> = ids.filter_map(read).collect();
    found.sort_by_key(|process| process.id);
    found
}

pub fn terminate(id: u32) {
    assert!(Command::new("kill").args(["-TERM", &id.to_string()]).status().unwrap().success());
}

/// What each server of the web answers.
fn answer(request: &Incoming) -> String {
    let text = request.text();
    if request.path == "/status" {
        let numbers = "server accepts handled requests\n 10 10 20 \nReading: 0 Writing: 1 Waiting: 2 \n";
        return format!("Active connections: 3 \n{numbers}");
    }
    if request.path.ends_with("/_bulk") {
        let items: Vec<Json> = (0..text.lines().count() / 2).map(|_| json!({"index": {"status": 201}})).collect();
        return json!({"errors": false, "items": items}).to_string();
    }
    if text.contains("GetCallerIdentity") {
        return "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
                <Account>1</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"
            .into();
    }
    if request.head.contains("putrecordbatch") {
        let call: Json = serde_json::from_str(&text).unwrap();
        let ids: Vec<Json> = call["Records"].as_array().unwrap().iter().map(|_| json!({"RecordId": "1"})).collect();
        return json!({"FailedPutCount": 0, "RequestResponses": ids}).to_string();
    }
    if request.head.contains("firehose_2015") {
        return json!({"DeliveryStreamDescription": {
            "DeliveryStreamName": "logs", "DeliveryStreamARN": "arn:aws:firehose:us-east-1:1:deliverystream/logs",
            "DeliveryStreamStatus": "ACTIVE", "DeliveryStreamType": "DirectPut", "VersionId": "1",
            "Destinations": [], "HasMoreDestinations": false}})
        .to_string();
    }
    "ok".into()
}

const HEKAD: &str = r#"
[FxaNginxAccessDecoder]
type = "SandboxDecoder"
filename = "lua_decoders/nginx_access.lua"
[FxaNginxAccessDecoder.config]
log_format = '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"'

[FxaAuthServerFrequentIP]
type = "SandboxFilter"
filename = "lua_filters/frequent_items.lua"
message_matcher = "Type == 'nginx.access'"
ticker_interval = 60
[FxaAuthServerFrequentIP.config]
message_variable = "Fields[remote_addr]"

[HttpOutput]
message_matcher = "TRUE"
address = "http://127.0.0.1:WEB/"
encoder = "AlertEncoder"

[AlertEncoder]
type = "SandboxEncoder"
filename = "lua_encoders/alert.lua"

[access]
type = "LogstreamerInput"
log_directory = "./var/log/nginx"
file_match = 'access\.log\.?(?P<Seq>\d+)?(\.gz)?'
priority = ["^Seq"]

[PlatformDevs]
type = "SandboxManagerFilter"
message_signer = "PlatformDevs"
working_directory = "./var/heka/sandbox"
max_filters = 100

["TCP:5565".signer.PlatformDevs_1]
hmac_key = "Platform devs signing key"
"#;

/// Makes what the commands read; README's two scripts are its own.
const INPUTS: &str = r#"
set -e
for folder in nginx hosts hosts/db1 web1; do mkdir -p var/log/$folder; done
mkdir -p var/spool var/cache/hekad/logstreamer var/heka/sandbox
cp access.log var/log/nginx/access.log
cp access.log var/log/hosts/db1/access.log
cp access.log var/log/web1/access.log
cp access.log access_log
gzip -c access.log > access.log.1.gz
gzip -c access.log > var/log/nginx/access.log.1.gz
cp app.log var/log/app.log
gzip -c app.log > var/log/app.log.1.gz
cp app.log var/log/messages
cp rsyslog.log var/log/messages
heka-tail access.log | heka-decode --lua nginx_access --config payload_keep=true --config type=nginx.access > decoded.hpb
heka-inject --severity crit --payload "$(head -n 1 access.log)" > day.hpb
cat decoded.hpb >> day.hpb
heka-tail app.log > lines.hpb
heka-tail stats.json | heka-decode --lua json > stats.hpb
heka-inject --type alert --field payload_type=alert --payload 'disk full' --severity crit > alerts.hpb
heka-cef login --vendor v --product p --device-version 1 > records.hpb
heka-cat --format payload records.hpb > cef.log
echo 'CEF:0|v|p|1|s|n|3|src=10.0.0.1' >> cef.log
columns='{"name":"A","unit":"count","aggregation":"sum"}'
heka-inject --field payload_type=cbufd --field payload_name=S --payload \
    '{"time":0,"rows":3,"columns":1,"seconds_per_row":60,"column_info":['"$columns"$']}\n60\t1\n' > deltas.hpb
for script in diskstats:sys loadavg:load memstats:mem procstat:stat; do
    case $script in
    diskstats:*) echo '1 2 3 4 5 6 7 8 9 10 11' > sample ;;
    loadavg:*) cat /proc/loadavg > sample ;;
    memstats:*) cat /proc/meminfo > sample ;;
    procstat:*) cat /proc/stat > sample ;;
    esac
    for round in 1 2; do heka-tail --splitter null sample | heka-decode --lua linux_${script%:*}; done > ${script#*:}.hpb
done
cp sys.hpb disks.hpb; cp mem.hpb memory.hpb
heka-tail --splitter regex --delimiter '(?:;|Argument)\n(# (?:Time|User@Host):)' --delimiter-at start slow.log |
    heka-decode --lua mysql_slow_query > slow.hpb
heka-inject --type heka.memstat --field HeapSys:double=1 --field HeapAlloc:double=1 --field HeapIdle:double=1 \
    --field HeapInuse:double=1 --field HeapReleased:double=1 --field HeapObjects:double=1 > memstat.hpb
heka-tail reports.json | heka-decode --lua json --config map_fields=true --config Payload=p --config Timestamp=t > reports.hpb
"#;

impl World {
    pub fn new() -> World {
        let dir = Workdir::new();
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = requests.clone();
        let web = http::listen(move |stream| {
            use std::io::Write as _;
            let mut request = Incoming::read(stream)?;
            request.decompress();
            counter.fetch_add(1, Ordering::Relaxed);
            let body = answer(&request);
            let mut stream = stream;
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).ok()
        });
        let (hec, hec_port) = dir.listen("", "hec.hpb");
        let heard = free_port();
        let mut listen = dir.start(&format!(
            "exec heka-listen --address 127.0.0.1 --tcp heka@{heard} --udp {heard} --unixgram ./heard.sock >> heard.hpb"
        ));
        (0..3).for_each(|_| drop(listen.stderr_line()));
        let world = World { dir, hec: hec_port, web, requests, heard, _servers: vec![hec, listen] };
        world.write_inputs();
        world
    }

    fn write_inputs(&self) {
        let dir = &self.dir;
        let sample = |name: &str| fs::read(printed::root().join(name)).unwrap();
        let lua = readme_scripts();
        let later = b"1.2.3.4 - - [10/Feb/2014:09:30:00 -0800] \"GET / HTTP/1.1\" 500 1 \"-\" \"-\"\n".to_vec();
        dir.write("access.log", [sample("examples/access.log"), later].concat());
        dir.write("sample.log", sample("examples/access.log"));
        dir.write("app.log", "1732176000 started\n1732176001 works\n");
        dir.write("java.log", "2024-11-21 10:00:00 a\n\tat b\n2024-11-21 10:00:01 c\n");
        dir.write("timed.log", "127.0.0.1 [2024-11-21T10:00:00+00:00] \"GET /\" 200 0.012\n");
        let failures: Vec<Json> = (0..150)
            .map(|at| {
                let failures = at + if at > 130 { 1000 * at } else { 0 };
                let plugin =
                    json!({"Name": "D", "ProcessMessageFailures": {"value": failures, "representation": "count"}});
                json!({"t": at * 60_000_000_000_i64, "p": json!({"decoders": [plugin]}).to_string()})
            })
            .collect();
        dir.write("reports.json", failures.iter().map(|line| format!("{line}\n")).collect::<String>());
        dir.write("rsyslog.log", "Feb 10 12:58:58 web1 kernel: imklog 5.8.6, log source = /proc/kmsg started.\n");
        dir.write("app.json", "{\"time\":\"2015-05-06T20:40:05Z\",\"host\":\"web1\",\"msg\":\"started\"}\n");
        dir.write(
            "stats.json",
            "{\"Logger\":\"disk\",\"used\":7,\"requests\":1,\"errors\":0,\"timestamp\":1430944805}\n",
        );
        dir.write(
            "query.log",
            "12-May-2015 21:31:28.104 queries: info: client 10.0.1.70#41242 (webserver.example.com): query: \
             webserver.example.com IN A +E (10.0.1.71)\n",
        );
        dir.write(
            "gelf.log",
            "{\"version\":\"1.1\",\"host\":\"web1\",\"short_message\":\"m\",\"timestamp\":1430944805}\n",
        );
        dir.write(
            "slow.log",
            "# Time: 150506 20:40:05\n# User@Host: root[root] @ localhost []\n# Thread_id: 3  Schema: db  QC_hit: No\n\
             # Query_time: 2.5  Lock_time: 0.0  Rows_sent: 1  Rows_examined: 2\nSET timestamp=1430944805;\nselect 1;\n",
        );
        dir.write("error.log", "2015/05/06 20:40:05 [error] 31#0: *7 open() \"/x\" failed (2: No such file)\n");
        dir.write("app.lua", &lua[0]);
        dir.write("counter.lua", &lua[2]);
        dir.write("my_decoder.lua", "function process_message() inject_message({Type = 'mine'}) return 0 end");
        dir.write("mine.lua", "function process_message() inject_message({Type = read_config('type')}) return 0 end");
        dir.write("my_filter.lua", include_str!("../scripts/tutorial/example.lua"));
        dir.write("example.lua", include_str!("../scripts/tutorial/example.lua"));
        dir.write("example.toml", "[Example]\ntype = \"SandboxFilter\"\nmessage_matcher = \"Type == 'Widget'\"\n");
        let signer = "[signer]\nname = \"PlatformDevs\"\nhmac_key = \"Platform devs signing key\"\nversion = 1\n";
        for name in ["PlatformDevs.toml", "sbmgr.toml", "sbmgrload.toml"] {
            dir.write(name, format!("ip_address = \"127.0.0.1:{}\"\n{signer}", self.heard));
        }
        dir.write(
            "signers.toml",
            "[ops_1]\nhmac_key = \"secret\"\n[PlatformDevs_1]\nhmac_key = \"Platform devs signing key\"\n",
        );
        dir.write("hekad.toml", HEKAD.replace("WEB", &self.web.to_string()));
        dir.write(
            "cef.ini",
            "[cef]\ncef.vendor = mozilla\ncef.product = weave\ncef.device_version = 3\ncef.version = 0\n",
        );
        dir.write("env.json", "{\"REMOTE_ADDR\": \"10.0.0.1\", \"REQUEST_METHOD\": \"GET\"}\n");
        assert!(dir.certificates(), "openssl");
        fs::create_dir(dir.path("tests")).unwrap();
        std::os::unix::fs::symlink(printed::root().join("tests/scripts"), dir.path("tests/scripts")).unwrap();
        dir.sh(INPUTS).ok();
    }

    /// How much has come to the servers and into files.
    pub fn progress(&self) -> usize {
        let size = |name: &str| fs::metadata(self.dir.path(name)).map_or(0, |file| file.len() as usize);
        let files = ["hec.hpb", "heard.hpb"];
        files.map(size).iter().sum::<usize>() + self.requests.load(Ordering::Relaxed)
    }

    /// The command before these servers and in this folder.
    pub fn adapted(&self, command: &str) -> String {
        let hec = format!("http://127.0.0.1:{}", self.hec);
        let web = format!("http://127.0.0.1:{}", self.web);
        let disk = fs::read_dir("/sys/block").unwrap().next().unwrap().unwrap().path();
        let (free, other) = (free_port().to_string(), format!("udp://127.0.0.1:{}", self.heard));
        let mut text = command.to_string();
        for (from, to) in [
            ("https://splunk.example.com:8088", hec.as_str()),
            ("https://splunk:8088", &hec),
            ("https://s1:8088", &hec),
            ("https://s2:8088", &hec),
            ("http://127.0.0.1:8088", &hec),
            ("--hec 127.0.0.1:8088", "--hec 127.0.0.1:0"),
            ("http://localhost:9200", &web),
            ("http://localhost:8086", &web),
            ("http://localhost/", &format!("{web}/")),
            ("http://127.0.0.1:5000", &web),
            ("https://metrics-api.librato.com", &web),
            ("tls://logs.example.com", &other),
            ("heka-cef syslog --address", "heka-cef syslog  --address"),
            ("/var/", "./var/"),
            ("/dev/log", "./devlog"),
            ("./dev/", "/dev/"),
            ("nc graphite 2003", "cat"),
            ("/sys/block/sda", disk.to_str().unwrap()),
            ("1514", &free),
            ("gelf@12201", "gelf@0"),
            ("heka@5565", "heka@0"),
            ("tcp 5565", "tcp 0"),
            ("udp 514", "udp 0"),
            ("tcp 514", "tcp 0"),
            ("tls 6514", "tls 0"),
        ] {
            text = text.replace(from, to);
        }
        if text.ends_with("heka-cef syslog") {
            text.push_str(" --address unix:./heard.sock");
        }
        if text.contains("heka-listen") {
            text = text.replace("heka-listen", "heka-listen --address 127.0.0.1");
        }
        let access = "AWS_ACCESS_KEY_ID=x AWS_SECRET_ACCESS_KEY=x AWS_REGION=us-east-1 AWS_EC2_METADATA_DISABLED=true";
        format!("export HOME=$PWD HOOK={web} AWS_ENDPOINT_URL={web} {access}; rm -f c *.ckpt *.state; {text}")
    }
}

/// The blocks of Lua in README, in their order.
fn readme_scripts() -> Vec<String> {
    let readme = fs::read_to_string(printed::root().join("README.md")).unwrap();
    readme.split("```lua\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_string()).collect()
}
