# Forwards connections to a port of this machine, each byte that much later, in either direction, and the first ones by
# a round trip more, which a handshake takes. delay.py PORT SECONDS; it prints its own port.
import asyncio
import sys


async def pump(reader, writer, delay):
    queue = asyncio.Queue()

    async def write():
        while True:
            due, data = await queue.get()
            await asyncio.sleep(max(0, due - asyncio.get_running_loop().time()))
            if not data:
                break
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()

    task = asyncio.create_task(write())
    while True:
        data = await reader.read(1 << 16)
        queue.put_nowait((asyncio.get_running_loop().time() + delay, data))
        if not data:
            break
    await task


async def main(port, delay):
    async def connected(reader, writer):
        await asyncio.sleep(2 * delay)
        there = await asyncio.open_connection("127.0.0.1", port)
        try:
            await asyncio.gather(pump(reader, there[1], delay), pump(there[0], writer, delay))
        except OSError:
            pass
        writer.close()
        there[1].close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))
