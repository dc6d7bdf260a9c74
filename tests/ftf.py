# Sends lines with the library splunk-hec-ftf: ftf.py PORT raw|json ACK THREADS COUNT [SETTING=NUMBER...]
# The token is s3cret. Ends with the number of events that the library gave up.
import queue
import sys

from splunk_hec import splunk_hec

port, kind, ack, threads, count = sys.argv[1:6]
settings = {name: int(value) for name, value in (setting.split("=") for setting in sys.argv[6:])}
backup = queue.Queue(0)
hec = splunk_hec(
    token="s3cret", hec_server="127.0.0.1", hec_port=port, input_type=kind, use_hec_tls=False, use_ack=ack == "ack",
    max_threads=int(threads), backup_queue=backup, **settings)
for number in range(int(count)):
    text = f"event {number} " + "x" * (300 - len(str(number)))
    hec.send_event({"event": text, "host": "h", "time": 1700000000 + number} if kind == "json" else text)
hec.stop_threads_and_processing()
print(backup.qsize())
