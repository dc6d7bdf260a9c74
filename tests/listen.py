"""Senders that are not ours: listen.py PROGRAM PORT …

sysloghandler PORT udp|tcp   Python's logging.handlers.SysLogHandler
pygelf PORT udp|udpz|tcp|tls  pygelf: chunks of 100 bytes, plain or compressed; TCP; TLS
graypy PORT udp|tcp          graypy: compressed chunks; TCP
activate NAMES PROGRAM …     runs a program as systemd does: a TCP socket, a UDP one, and a Unix one at ./activated
"""
import logging
import logging.handlers
import os
import socket
import sys

what = sys.argv[1]
log = logging.getLogger("app")
log.setLevel(logging.DEBUG)
if what == "activate":
    names, program = sys.argv[2], sys.argv[3:]
    tcp = socket.create_server(("127.0.0.1", 0))
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    unix = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    unix.bind("activated")
    unix.listen()
    sockets = [tcp, udp, unix]
    copies = [os.dup(one.fileno()) for one in sockets]
    for place, one in enumerate(copies):
        os.dup2(one, 20 + place)
    for place in range(len(sockets)):
        os.dup2(20 + place, 3 + place)
    os.environ.update(
        LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(sockets)), LISTEN_FDNAMES=names
    )
    os.execvp(program[0], program)
port, how = int(sys.argv[2]), sys.argv[3]
if what == "sysloghandler":
    kind = socket.SOCK_DGRAM if how == "udp" else socket.SOCK_STREAM
    handler = logging.handlers.SysLogHandler(("127.0.0.1", port), "local3", kind)
    handler.setFormatter(logging.Formatter("app[%(process)d]: %(message)s"))
    if how == "tcp":
        # It ends a message with a zero byte.
        assert handler.append_nul
elif what == "pygelf":
    import pygelf

    fields = dict(host="127.0.0.1", port=port, debug=True, include_extra_fields=True)
    if how == "tcp":
        handler = pygelf.GelfTcpHandler(**fields)
    elif how == "tls":
        handler = pygelf.GelfTlsHandler(validate=True, ca_certs="ca.pem", **fields)
    else:
        handler = pygelf.GelfUdpHandler(compress=how == "udpz", chunk_size=100, **fields)
elif what == "graypy":
    import graypy

    if how == "tcp":
        handler = graypy.GELFTCPHandler("127.0.0.1", port)
    else:
        handler = graypy.GELFUDPHandler(
            "127.0.0.1", port, gelf_chunker=graypy.handler.GELFWarningChunker(chunk_size=100)
        )
log.addHandler(handler)
log.warning("a warning, %s", "w" * 300, extra={"request": 7, "user": "u\u00e9"})
log.error("an error")
handler.close()
