#!/usr/bin/env bash
# A peer: Hindsight reads a file to its end into its queue, which is a stream of messages, and ends. hindsight.sh JOB IN OUT
# Jobs: lines, nginx. Its queue is one file, and no analysis or output runs beside.
# LUASANDBOX_MODULES and LUASANDBOX_SANDBOXES say where lua_sandbox_extensions are, if not where their packages put them.
set -euo pipefail
job=$1 in=$PWD/$2 out=$PWD/$3
modules=${LUASANDBOX_MODULES:-/usr/lib/luasandbox}
folder=$(mktemp -d)
daemon=
trap 'kill "$daemon" 2> /dev/null || true; rm -rf "$folder"' EXIT
rm -f "$out"
cd "$folder"
mkdir -p load/{input,analysis,output} run/{input,analysis,output} output
cat > conf << END
output_path = "output"
output_size = 4 * 1024 * 1024 * 1024 - 1
sandbox_load_path = "load"
sandbox_run_path = "run"
sandbox_install_path = "${LUASANDBOX_SANDBOXES:-/usr/share/luasandbox/sandboxes/heka}"
analysis_threads = 1
analysis_lua_path = "$modules/modules/?.lua"
analysis_lua_cpath = "$modules/modules/?.so"
io_lua_path = analysis_lua_path .. ";$modules/io_modules/?.lua"
io_lua_cpath = analysis_lua_cpath .. ";$modules/io_modules/?.so"
max_message_size = 64 * 1024
hostname = "localhost"
input_defaults = {}
analysis_defaults = {}
output_defaults = {}
END
decoder='decoder_module = "decoders.payload"'
[ "$job" != nginx ] || decoder="decoder_module = 'decoders.nginx.access'
decoders_nginx_access = { log_format =
    '\$remote_addr - \$remote_user [\$time_local] \"\$request\" \$status \$body_bytes_sent \"\$http_referer\" \"\$http_user_agent\"' }"
cat > run/input/file.cfg << END
filename = "file.lua"
-- It reads the whole file in one call.
instruction_limit = 0
input_filename = "$in"
$decoder
END
hindsight conf 6 > log 2>&1 & daemon=$!
# At the end of the file its input detaches, and it waits for others.
until grep -qs 'input.file detaching' log; do
    # A plugin that can't be loaded doesn't end it.
    if ! kill -0 "$daemon" 2> /dev/null || grep -Eqs '\[(err|error|crit|alert|panic)\]' log; then cat log >&2; exit 1; fi
    sleep 0.1
done
kill -INT "$daemon"
wait "$daemon"
grep -q 'input.file detaching received: 0' log || { cat log >&2; exit 1; }
mv output/input/0.log "$out"
