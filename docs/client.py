#!/usr/bin/env python3
"""A parent in Python: starts a program built with mitogen-service as its child, and calls it.

    python3 docs/client.py EXECUTABLE SERVICE METHOD ['{"argument": value, ...}']

For example, after `cargo build --example ping_pong`:

    python3 docs/client.py target/debug/examples/ping_pong ping_pong::PingPong ping '{"number": 1}'

Needs Python 3.9 and `msgpack`. What it does is told in `docs/protocol.md`.
"""
import json
import os
import socket
import struct
import subprocess
import sys
import threading

import msgpack

MARK, NAME = "--mitogen-service-child", "worker"  # the child's first two arguments
HELLO = struct.Struct(">4sHHII")  # magic, version, nothing, features, length of the body
HEADER = struct.Struct(">H6I")  # encoding, dst_id, src_id, auth_id, handle, reply_to, length
BINARY, MESSAGEPACK = 0x4D4B, 0x4D50  # encodings
SHUTDOWN, CALL_SERVICE, IS_DEAD, FIRST_DYNAMIC = 106, 110, 999, 1000  # handles
ROOT, CHILD, STRANGER = 0, 1, 99  # context ids; nobody has the last one
FEATURES = 0  # no CANCEL, no channels, no PING, no link for bulk
MAX_MESSAGE_SIZE = 128 * 1024 * 1024


class Refused(Exception):
    """A dead message came instead of an answer: its code and its text."""


class Child:
    def __init__(self, executable):
        # The child finds a socket where its stdin is, and gets its pipes over it. Nothing travels
        # over it later, since we do not say in our hello that we have a link for bulk: much data
        # comes over the pipes then, and nothing else is different. Python's descriptors have
        # close-on-exec set.
        self.socket, stdin = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        their_read, our_write = os.pipe()
        our_read, their_write = os.pipe()
        self.process = subprocess.Popen(
            [executable, MARK, NAME], stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        socket.send_fds(self.socket, [b"P"], [their_read, their_write])
        # Without our copies of its ends, the end of the child is the end of what we read.
        stdin.close()
        os.close(their_read)
        os.close(their_write)
        self.reader, self.writer = os.fdopen(our_read, "rb"), os.fdopen(our_write, "wb")
        self.handle = FIRST_DYNAMIC
        # What the child prints is no part of the protocol, but has to be read, or it would block.
        outputs = {"stdout": self.process.stdout, "stderr": self.process.stderr}
        self.printers = [threading.Thread(target=show_lines, args=output, daemon=True)
                         for output in outputs.items()]
        for printer in self.printers:
            printer.start()

    def read(self, size):
        got = self.reader.read(size)
        if len(got) < size:
            raise EOFError("the child has closed its stream")
        return got

    def greet(self):
        """Says hello, which tells the child who it is, and returns the child's features and hello."""
        body = msgpack.packb({
            "encodings": [MESSAGEPACK, BINARY], "pid": os.getpid(),
            "context_id": CHILD, "name": NAME, "parents": [[ROOT, "root"]],
            "max_message_size": MAX_MESSAGE_SIZE, "unidirectional": False})
        self.writer.write(HELLO.pack(b"MGSV", 1, 0, FEATURES, len(body)) + body)
        self.writer.flush()
        magic, version, _, features, length = HELLO.unpack(self.read(HELLO.size))
        if (magic, version) != (b"MGSV", 1):
            raise ValueError(f"the child does not speak version 1: {magic} {version}")
        hello = msgpack.unpackb(self.read(length))
        if MESSAGEPACK not in hello["encodings"]:
            raise ValueError("the child does not read MessagePack")
        return features, hello

    def send(self, dst, handle, value, reply_to=0, auth=ROOT, src=ROOT):
        payload = msgpack.packb(value)
        self.writer.write(HEADER.pack(MESSAGEPACK, dst, src, auth, handle, reply_to, len(payload)))
        self.writer.write(payload)
        self.writer.flush()

    def call(self, service, method, args, auth=ROOT):
        """Calls a method and waits for `(0, result)` or `(1, error)`."""
        self.handle += 1  # the handle of this one answer
        self.send(CHILD, CALL_SERVICE, [service, method, None, args], self.handle, auth)
        return self.answer(self.handle)

    def answer(self, handle):
        while True:
            _, dst, src, auth, to, reply_to, length = HEADER.unpack(self.read(HEADER.size))
            payload = self.read(length)
            if (src, auth) != (CHILD, CHILD):
                continue  # forged: no other context is behind this stream, and it was given no ids
            if (dst, to) == (ROOT, handle):
                if reply_to == IS_DEAD:
                    raise Refused(*msgpack.unpackb(payload))
                return msgpack.unpackb(payload, strict_map_key=False)
            if reply_to not in (0, IS_DEAD):
                # This parent serves nothing, and says so: whoever waits for an answer gets one.
                self.send(src, reply_to, [2, "invalid handle"], IS_DEAD, dst, dst)

    def shut_down(self, milliseconds):
        """Ends the child in good order; returns its exit status."""
        self.send(CHILD, SHUTDOWN, [milliseconds])
        while self.reader.read(65536):
            pass  # until the child has closed its stream
        for printer in self.printers:
            printer.join()
        return self.process.wait(timeout=milliseconds / 1000 + 5)


def show(text):
    # At once: `print` writes the end of a line by itself, and another thread may come in between.
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def show_lines(source, lines):
    for line in lines:
        show(f"[{NAME} {source}] {line.decode(errors='replace').rstrip()}")


def show_call(what, child, *call):
    try:
        failed, value = child.call(*call)
        show(f"{what}: {'error' if failed else 'result'} {value!r}")
    except Refused as refused:
        show(f"{what}: refused, code {refused.args[0]}, {refused.args[1]!r}")


def main(executable, service, method, args="{}"):
    child = Child(executable)
    features, hello = child.greet()
    show(f"hello from process {hello['pid']}, features {features:#x}")
    args = json.loads(args)
    # With the authority of a context that is no parent of the child, and may not start a service.
    show_call("as a stranger", child, service, method, args, STRANGER)
    show_call("as the parent", child, service, method, args)  # which starts the service
    show_call("no such method", child, service, "no_such_method", {})
    show_call("as a stranger again", child, service, method, args, STRANGER)
    status = child.shut_down(5000)
    show(f"the child has ended with status {status}")
    return status


if __name__ == "__main__":
    if not 4 <= len(sys.argv) <= 5:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
