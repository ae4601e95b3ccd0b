"""A board on a TCP port: the raw REPL's protocol in front of the Unix port with a file system in a file.

mpremote connects to it as it is, by socket://. The file system is the board's root and sys.path is a board's.
Power can be cut at the n-th write to flash: then the program is killed and the connection is gone.
"""

import contextlib
import os
import socket
import subprocess
import threading

from plugins.interpreters import binary

_CUT = b"\x06"
_END = b"\x04"
_BANNER = b"raw REPL; CTRL-B to exit\r\n>"
_WINDOW = 4096

# Each line is a command, as repr; \x04, what it raised, \x04 and the number of writes end what it prints.
_PROGRAM = """
import os, sys, vfs
class Flash:
    def __init__(self, path, cut_at):
        self.size, self.cut_at, self.writes = {block}, cut_at, 0
        self.file = open(path, "r+b")
        self.count = self.file.seek(0, 2) // self.size
    def readblocks(self, n, buf, off=0):
        self.file.seek(n * self.size + off)
        self.file.readinto(buf)
    def write(self, at, buf):
        self.writes += 1
        cut = self.writes == self.cut_at
        if cut:
            # The first half of it is still written.
            buf = memoryview(buf)[:len(buf) // 2]
        self.file.seek(at)
        self.file.write(buf)
        self.file.flush()
        if cut:
            sys.stdout.buffer.write(b"\\x06")
            while True:
                sys.stdin.read(1)
    def writeblocks(self, n, buf, off=0):
        for at in range(0, len(buf), self.size):
            self.write(n * self.size + off + at, memoryview(buf)[at:at + self.size])
    def ioctl(self, op, arg):
        if op == 6:
            self.write(arg * self.size, b"\\xff" * self.size)
        return {{4: self.count, 5: self.size}}.get(op, 0)
flash = Flash({image!r}, {cut_at})
# A region of flash as the vfs module of a board offers it; the Unix port has none.
rom_file = open({rom!r}, "r+b") if {rom!r} else None
if rom_file:
    rom = bytearray(rom_file.read())
    class Vfs:
        pass
    wrapped = Vfs()
    for name in dir(vfs):
        setattr(wrapped, name, getattr(vfs, name))
    def rom_ioctl(op, *args):
        if op == 1:
            return 1
        if op == 2:
            return rom
        if op == 6:
            return 4096
        if op == 3:
            rom[args[1]:args[1] + args[2]] = b"\\xff" * args[2]
            return 256
        if op == 4:
            rom[args[1]:args[1] + len(args[2])] = args[2]
        rom_file.seek(0)
        rom_file.write(rom)
        rom_file.flush()
        return 0
    wrapped.rom_ioctl = rom_ioctl
    sys.modules["vfs"] = wrapped
vfs.umount("/")
try:
    vfs.mount(vfs.{kind}(flash), "/")
except OSError:
    vfs.{kind}.mkfs(flash)
    vfs.mount(vfs.{kind}(flash), "/")
os.chdir("/")
sys.path[:] = {path!r}
if rom_file and rom[:3] == b"\\xd2\\xcd\\x31":
    vfs.mount(vfs.VfsRom(rom), "/rom")
    sys.path += ["/rom", "/rom/lib"]
known = {{"__name__": "__main__"}}
while True:
    line = sys.stdin.readline()
    if not line:
        break
    problem = None
    try:
        exec(eval(line), known)
    except BaseException as error:
        problem = error
    sys.stdout.buffer.write(b"\\x04")
    if problem:
        sys.print_exception(problem, sys.stdout)
    sys.stdout.buffer.write(b"\\x04%d\\n" % flash.writes)
"""


class Board:
    """folder: for its flash. kind: of its file system. `port` is what mpremote connects to.

    cut_at: the number of the write at which power fails next; `cut` says that it has. lost_at: a text; the
    connection is gone when a program with it arrives. seen: the programs that arrived. writes: the most since
    a reset.
    """

    def __init__(self, folder, kind="VfsLfs2", blocks=256, block=4096, build="stock", rom_bytes=0, path=None):
        self.image = folder / "flash.img"
        self.image.write_bytes(b"\xff" * blocks * block)
        self.rom = ""
        if rom_bytes:
            self.rom = str(folder / "rom.img")
            (folder / "rom.img").write_bytes(b"\xff" * rom_bytes)
        self.block, self.kind, self.build = block, kind, build
        self.path = path or ["", "/lib"]
        self.cut_at, self.cut, self.lost_at, self.damage = 0, False, None, None
        self.seen, self.writes = [], 0
        self._process = None
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = f"socket://127.0.0.1:{self._server.getsockname()[1]}"
        # Formatted, as a board is that has started once.
        self.run("")
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self):
        # A thread that waits in accept would wait on, and take a later server's connections.
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._off()

    # ---- the program

    def _on(self):
        self._off()
        program = _PROGRAM.format(
            image=str(self.image), cut_at=self.cut_at, block=self.block, kind=self.kind, rom=self.rom,
            path=self.path,
        )  # fmt: skip
        env = {name: value for name, value in os.environ.items() if not name.startswith("MICROPY")}
        self._process = subprocess.Popen(
            [binary(self.build), "-X", "heapsize=4M", "-c", program], env=env, cwd="/", stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0,
        )  # fmt: skip

    def _off(self):
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _execute(self, code):
        """(printed, raised); None if power failed meanwhile."""
        if self._process is None:
            self._on()
        self._process.stdin.write(repr(code).encode() + b"\n")
        parts = [b"", b""]
        for number in (0, 1):
            while True:
                byte = self._process.stdout.read(1)
                if byte == _CUT:
                    self.cut, self.cut_at = True, 0
                    self._off()
                    return None
                if byte == _END:
                    break
                assert byte, f"the board ended: {parts}"
                parts[number] += byte
        self.writes = max(self.writes, int(self._process.stdout.readline()))
        return parts

    def run(self, code):
        """What a program prints on the board, after a reset."""
        self._on()
        printed, raised = self._execute(code)
        assert not raised, raised.decode()
        return printed.decode()

    def put(self, name, data):
        self.run(
            f"import os\nfolder = ''\nfor part in {name!r}.strip('/').split('/')[:-1]:\n folder "
            "+= '/' + part\n"
            f" try: os.mkdir(folder)\n except OSError: pass\nwith open({name!r}, 'wb') as f: "
            f"f.write({data!r})"
        )

    def files(self):
        """{path: bytes} of all of its file system."""
        return eval(self.run(_WALK))

    # ---- the port

    def _serve(self):
        try:
            while True:
                connection, _ = self._server.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                # The other end may be gone at any moment; there is the next one then.
                with connection, contextlib.suppress(ConnectionError):
                    self._talk(connection)
        except OSError:
            pass  # closed by the test
        finally:
            # Whatever went wrong here, nobody waits for an answer.
            self._server.close()

    def _talk(self, connection):
        raw, code = False, b""
        while byte := _received(connection):
            if byte == b"\x01":
                raw, code = True, b""
                connection.sendall(_BANNER)
            elif byte == b"\x02":
                raw = False
                connection.sendall(b"\r\nMicroPython on a test's board\r\n>>> ")
            elif byte == b"\x03":
                code = b""
            elif not raw:
                connection.sendall(byte)
            elif byte == b"\x05":
                _received(connection)
                _received(connection)
                connection.sendall(b"R\x01" + _WINDOW.to_bytes(2, "little"))
                code = _pasted(connection)
                connection.sendall(_END)
                if not self._answer(connection, code):
                    return
                code = b""
            elif byte == _END and not code.strip():
                self._on()
                connection.sendall(b"OK\r\nMPY: soft reboot\r\n" + _BANNER)
            elif byte == _END:
                connection.sendall(b"OK")
                if not self._answer(connection, code):
                    return
                code = b""
            else:
                code += byte

    def _answer(self, connection, code):
        text = code.decode()
        self.seen.append(text)
        if self.lost_at and self.lost_at in text:
            return False
        if self.damage:
            text = text.replace(*self.damage)
        done = self._execute(text)
        if done is None:
            return False
        connection.sendall(done[0].replace(b"\n", b"\r\n") + _END + done[1] + _END + b">")
        return True


def _received(connection):
    try:
        return connection.recv(1)
    except ConnectionError:
        return b""


def _pasted(connection):
    """A program in raw-paste mode: a window at a time, until \\x04."""
    code = b""
    while (byte := _received(connection)) not in (_END, b""):
        code += byte
        if len(code) % _WINDOW == 0:
            connection.sendall(b"\x01")
    return code


_WALK = """
import os
found = {}
def walk(path):
    for entry in list(os.ilistdir(path or "/")):
        name = path + "/" + entry[0]
        if entry[1] == 0x4000:
            walk(name)
        else:
            with open(name, "rb") as file:
                found[name] = file.read()
walk("")
print(found)
"""
