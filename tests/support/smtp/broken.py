#!/usr/bin/python3
"""A mail server that does not work, in one of these ways.

silent       accepts the connection and says nothing
hang         takes the mail, and never says whether it did
hang_once    that for the first connection; later ones work
reset        takes the mail and cuts the connection without a word
half         cuts the connection in the middle of the mail
closed       421 as its greeting
unwanted     554 as its greeting
leaves       takes each mail and closes the connection, without a word about it
no_quit      works, but never answers QUIT
refuse_hang  550 at RCPT TO, then says nothing more
"""
import asyncio
import socket
import struct
import sys

mode = sys.argv[1]
connections = 0


async def forever():
    await asyncio.Event().wait()


def cut(writer):
    # With a RST, as a machine that has gone does it.
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.close()


async def talk(reader, writer):
    global connections
    connections += 1
    number = connections
    print("connection", number, flush=True)

    async def say(text):
        writer.write(text.encode() + b"\r\n")
        await writer.drain()

    if mode == "silent":
        await forever()
    if mode in ("closed", "unwanted"):
        await say("421 4.3.2 closing down" if mode == "closed" else "554 5.7.1 we take no mail from you")
        writer.close()
        return
    await say("220 broken.example ESMTP")
    while line := (await reader.readline()).decode():
        verb = line.split()[0].upper() if line.split() else ""
        if verb == "EHLO":
            await say("250-broken.example\r\n250 8BITMIME")
        elif verb == "RCPT" and mode == "refuse_hang":
            await say("550 5.1.1 no such user here")
            await forever()
        elif verb == "DATA":
            await say("354 go on")
            if mode == "half":
                await reader.read(20)
                cut(writer)
                return
            while (text := await reader.readline()) and text != b".\r\n":
                pass
            print("content", number, flush=True)
            if mode == "hang" or (mode == "hang_once" and number == 1):
                await forever()
            if mode == "reset":
                cut(writer)
                return
            await say("250 taken")
            if mode == "leaves":
                writer.close()
                print("left", number, flush=True)
                return
        elif verb == "QUIT":
            if mode == "no_quit":
                await forever()
            await say("221 good bye")
            writer.close()
            return
        else:
            await say("250 fine")


async def quietly(reader, writer):
    try:
        await talk(reader, writer)
    except ConnectionError:
        pass


async def main():
    server = await asyncio.start_server(quietly, "127.0.0.1", 0)
    print("listening", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
