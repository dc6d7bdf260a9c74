# An HTTP Event Collector that takes everything and keeps nothing; each batch is acknowledged at once. It
# prints its port.
import re
import socket
import threading

LENGTH = re.compile(rb"content-length: *(\d+)", re.I)


def serve(connection):
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    block, have, taken = memoryview(bytearray(1 << 20)), b"", 0
    while True:
        while b"\r\n\r\n" not in have:
            count = connection.recv_into(block)
            if count == 0:
                return
            have += bytes(block[:count])
        head, _, body = have.partition(b"\r\n\r\n")
        left = int(LENGTH.search(head).group(1)) - len(body)
        asks = b"/ack" in head.split(b"\r\n", 1)[0]
        while left > 0:
            count = connection.recv_into(block)
            if count == 0:
                return
            if asks:
                body += bytes(block[:count])
            left -= count
        if asks:
            ids = re.findall(rb"\d+", body)
            text = b'{"acks":{' + b",".join(b'"' + number + b'":true' for number in ids) + b"}}"
        else:
            text = b'{"text":"Success","code":0,"ackId":%d}' % taken
            taken += 1
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(text) + text)
        have = b""


listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
