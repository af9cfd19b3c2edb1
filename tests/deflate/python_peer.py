"""The peer of python_interop_test.ts: an echo server or a client, on Debian's python3-websockets.

    python_peer.py server '{"server_max_window_bits": 9}'
    python_peer.py client ws://127.0.0.1:PORT/ '{"client_no_context_takeover": true}' 1000
"""

import asyncio
import json
import random
import sys

import websockets
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    ServerPerMessageDeflateFactory,
)


async def serve(parameters):
    async def echo(websocket, _path=None):
        number = 0
        async for message in websocket:
            number += 1
            if number % 5 == 0:
                size = max(1, len(message) // 3)
                parts = [message[at : at + size] for at in range(0, len(message), size)]
                await websocket.send(iter(parts or [message]))
            else:
                await websocket.send(message)

    extensions = [ServerPerMessageDeflateFactory(**parameters)]
    async with websockets.serve(
        echo, "127.0.0.1", 0, compression=None, extensions=extensions, max_size=None
    ) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


def messages(count):
    rng = random.Random(1)
    words = "habe nun ach Philosophie Juristerei und Medizin Grüße 世界 🌍".split()
    text = " ".join(rng.choice(words) for _ in range(40000))
    noise = rng.randbytes(200000)
    for number in range(count):
        length = 16 if number == 0 else 131072 if number == 1 else int(16 * 2 ** (rng.random() * 13))
        start = rng.randrange(60000)
        if number % 2:
            yield noise[start : start + length]
        else:
            yield text[start : start + length // (4 if number % 4 else 1)]


async def connect(url, parameters, count):
    extensions = [ClientPerMessageDeflateFactory(**parameters)]
    async with websockets.connect(
        url, compression=None, extensions=extensions, max_size=None
    ) as websocket:
        agreed = [extension.name for extension in websocket.extensions]
        for number, message in enumerate(messages(count)):
            if number % 3 == 0:
                size = max(1, len(message) // 4)
                parts = [message[at : at + size] for at in range(0, len(message), size)]
                await websocket.send(iter(parts))
            else:
                await websocket.send(message)
            echo = await websocket.recv()
            if echo != message:
                raise AssertionError(f"message {number} came back different")
    print(json.dumps({"agreed": agreed, "close": websocket.close_code}), flush=True)


if sys.argv[1] == "server":
    asyncio.run(serve(json.loads(sys.argv[2])))
else:
    asyncio.run(connect(sys.argv[2], json.loads(sys.argv[3]), int(sys.argv[4])))
