//! The tutorial on dynamic sandboxes of Heka's documentation: its files and commands.

use crate::common::Workdir;

/// The files of the tutorial in Heka's documentation.
pub fn tutorial() -> Workdir {
    let dir = Workdir::new();
    dir.write("example.lua", include_str!("../scripts/tutorial/example.lua"));
    dir.write(
        "example.toml",
        r#"[Example]
type = "SandboxFilter"
message_matcher = "Type == 'Widget'"
ticker_interval = 60
script_type = "lua"
filename = ""
preserve_data = false
"#,
    );
    dir.write(
        "hekad.toml",
        r#"[PlatformDevs]
type = "SandboxManagerFilter"
message_signer = "PlatformDevs"
working_directory = "sandbox"
max_filters = 100

[TCP:5565]
type = "TcpInput"
address = ":5565"
    [TCP:5565.signer.PlatformDevs_0]
    hmac_key = "Old Platform devs signing key"
    [TCP:5565.signer.PlatformDevs_1]
    hmac_key = "Platform devs signing key"
"#,
    );
    dir
}

/// PlatformDevs.toml, for a server at that port.
pub fn sbmgr(dir: &Workdir, port: u16, version: u32, key: &str, rest: &str) {
    dir.write(
        "PlatformDevs.toml",
        format!(
            "ip_address = \":{port}\"\n{rest}\n[signer]\n name = \"PlatformDevs\"\n hmac_hash = \"md5\"\n {key}\n version = {version}\n"
        ),
    );
}

pub const KEY: &str = "hmac_key = \"Platform devs signing key\"";
pub const LOAD: &str =
    "heka-sbmgr -action=load -config=PlatformDevs.toml -script=example.lua -scriptconfig=example.toml";
pub const UNLOAD: &str = "heka-sbmgr -action=unload -config=PlatformDevs.toml -filtername=Example";
