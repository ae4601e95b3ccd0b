"""`make example NAME=chat`: a chat over raw TLS with three members, each a MicroPython of its own."""

import sys

from stage import HOST, chapter, free_port, play

PASSWORD = "correct horse battery staple"


def chat(stage):
    port = free_port()
    chapter("An identity, its key encrypted under the password in pwdfile")
    (stage.folder / "pwdfile").write_text(PASSWORD + "\n")
    stage.command(
        "identity", "new", "--name", "dartcert", "--host", "localhost", "--password-file", "pwdfile",
        "--store", "roots.bin", "--out", "dartcert",
    )  # fmt: skip
    stage.command("identity", "list", "--store", "roots.bin")

    chapter("The server")
    server = stage.board("server", "chat_server", HOST, port, "pwdfile")
    server.expect(r"^\* listening: ")

    chapter("Three members")
    members = {}
    for name in ("anna", "bruno", "carla"):
        members[name] = stage.board(name, "chat_client", name, "localhost", port, "dartcert.crt")
        members[name].expect(rf"^\* here are: .*\b{name}\b")
        for other in members.keys() - {name}:
            members[other].expect(rf"^\* {name} has joined$")

    for speaker, line in (("anna", "is anybody there?"), ("bruno", "I am"), ("carla", "me too")):
        members[speaker].type(line)
        for name in members.keys() - {speaker}:
            members[name].expect(rf"^{speaker}: {line.replace('?', '[?]')}$")

    chapter("One leaves, one is cut off, one stays")
    leaver = members.pop("bruno")
    leaver.type("/quit")
    leaver.ends()
    for member in members.values():
        member.expect(r"^\* bruno has left$")
    members.pop("carla").stop()
    members["anna"].expect(r"^\* carla was lost$")
    members["anna"].type("/quit")
    members["anna"].ends()
    server.expect(r"^\* anna has left$")


if __name__ == "__main__":
    sys.exit(play(chat))
