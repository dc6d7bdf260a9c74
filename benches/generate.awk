# Writes `lines` lines in nginx's combined format, of 170 bytes on average, the same for the same seed:
#   awk -v lines=1000000 -v seed=1 -f generate.awk > access.log
function pick(n) { return int(rand() * n) }
BEGIN {
    srand(seed)
    agents[0] = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/119.0.0.0 Safari/537.36"
    agents[1] = "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0"
    agents[2] = "curl/7.88.1"
    agents[3] = "python-requests/2.31.0"
    agents[4] = "Go-http-client/1.1"
    agents[5] = "kube-probe/1.28"
    split("200 200 200 200 304 404 500 502", status, " ")
    for (i = 0; i < lines; i++) {
        t = int(i / 50)
        printf "%d.%d.%d.%d - %s [10/Feb/2014:%02d:%02d:%02d -0800] \"GET /v1/recovery_email/status/%d HTTP/1.1\" %s %d \"%s\" \"%s\"\n",
            1 + pick(254), pick(256), pick(256), pick(256), pick(3) ? "-" : "frank",
            int(t / 3600) % 24, int(t / 60) % 60, t % 60,
            pick(1000000), status[1 + pick(8)], pick(100000),
            pick(2) ? "-" : "https://www.example.com/start?id=" pick(1000000), agents[pick(6)]
    }
}
