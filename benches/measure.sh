# What the scripts of this folder measure with. Needs a folder in $work.

# Least CPU time (user + system) of five runs, in milliseconds.
cpu() {
    local best=999999999 user system total
    for _ in 1 2 3 4 5; do
        { TIMEFORMAT='%U %S'; time "$@" > /dev/null; } 2> "$work/time"
        read -r user system < <(tail -n 1 "$work/time")
        total=$(awk -v u="$user" -v s="$system" 'BEGIN { printf "%d", (u + s) * 1000 }')
        [ "$total" -lt "$best" ] && best=$total
    done
    [ "$best" -gt 0 ] || best=1
    echo "$best"
}

# Least elapsed time of five runs, in milliseconds.
elapsed() {
    local best=999999999 from to
    for _ in 1 2 3 4 5; do
        from=$(date +%s%N)
        "$@" > /dev/null
        to=$(date +%s%N)
        [ $(((to - from) / 1000000)) -lt "$best" ] && best=$(((to - from) / 1000000))
    done
    echo "$best"
}

# Runs a command and answers its VmHWM in KiB, polled while it lives.
peak() {
    "$@" > /dev/null & local pid=$! peak=0 now
    while now=$(awk '/VmHWM/ { print $2 }' "/proc/$pid/status" 2>/dev/null) && [ -n "$now" ]; do peak=$now; sleep 0.02; done
    wait "$pid" || true
    echo "$peak"
}

# A row of a table: what, its ms, the yardstick, its ms, what is wanted. Needs $lines.
row() {
    awk -v what="$1" -v a="$2" -v yard="$3" -v b="$4" -v wanted="$5" -v lines="$lines" 'BEGIN {
        printf "%-44s %7d ms  %6.0f ns/line  %5.2f x %s (%d ms)  wanted: %s\n", what, a, a * 1e6 / lines, a / b, yard, b, wanted }'
}
