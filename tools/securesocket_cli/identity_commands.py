"""`securesocket identity …`: what the user typed to calls, and results to text or JSON."""

import pathlib

import click

from certstore.identities import Stored

from . import identity_files as files
from . import identity_output as shown
from . import identity_store, issuing, passwords
from .entries import Entry
from .errors import CommandError, about
from .moments import moment
from .store_output import JSON, count, say, say_facts, say_json, say_table
from .table import Command


def new_ca(name, key, days, path_length, ca, ca_key, ca_password_file, out, force, plain, password_file):
    identity_store.check_label(name)
    path = files.stem(out)
    files.check_free(path, (".crt", ".key"), force)
    subject = issuing.subject_name(name)
    issuer = _issuer(ca, ca_key, ca_password_file)
    private = issuing.new_key(key)
    certificate, note = issuing.new_ca(subject, private, days, path_length, issuer)
    chain = _chain(certificate, issuer)
    password = _new_password(plain, password_file, f"the key of {name}")
    outputs = files.pair(path, private, password, chain)
    files.write(outputs)
    shown.say_note(note)
    shown.say_files(outputs, chain[0], password)


def new(
    name, subject, ca, ca_key, ca_password_file, usage, host, key, days, with_root, store, iterations, out,
    force, plain, password_file,
):  # fmt: skip
    identity_store.check_label(name)
    path = files.stem(out) if out else None
    held = identity_store.read_or_new(store) if store or not out else None
    if path:
        files.check_free(path, (".crt", ".key"), force)
    if held:
        identity_store.check_free(held, name, force)
    holder = issuing.subject_name(name, subject)
    alternatives = issuing.host_names(host)
    usage = _usage(usage, alternatives)
    issuer = _issuer(ca, ca_key, ca_password_file)
    private = issuing.new_key(key)
    certificate, note = issuing.new_leaf(
        holder, private.public_key(), alternatives, usage, days, issuer, private
    )
    chain = _chain(certificate, issuer, with_root, ca)
    password = _new_password(plain, password_file, f"the key of {name}")
    outputs = files.pair(path, private, password, chain) if path else []
    if held:
        stored = Stored(name, chain, files.sealed(private, password, iterations))
        in_store = [identity_store.with_one(held, stored)]
    files.write(outputs + (in_store if held else []))
    shown.say_note(note)
    shown.say_usage(usage, alternatives)
    if issuer is None:
        shown.say_note("signed by itself: whoever is to trust it needs exactly this certificate")
    shown.say_files(outputs, chain[0], password)
    if held:
        shown.say_identity(held, stored, password, iterations)


def csr(name, subject, host, key, out, force, plain, password_file):
    identity_store.check_label(name)
    path = files.stem(out)
    files.check_free(path, (".csr", ".key"), force)
    holder = issuing.subject_name(name, subject)
    alternatives = issuing.host_names(host)
    private = issuing.new_key(key)
    request = issuing.request(holder, private, alternatives)
    password = _new_password(plain, password_file, f"the key of {name}")
    outputs = [files.key_output(path, private, password), files.request_output(path, request)]
    files.write(outputs)
    say(f"{outputs[0].path}: private key, {shown.protection(password)}")
    say(f"{outputs[1].path}: the request, for `securesocket identity sign` or any other CA")


def sign(request, ca, ca_key, ca_password_file, usage, days, with_root, out, force):
    path = files.stem(out or request)
    files.check_free(path, (".crt",), force)
    with about(request):
        data = pathlib.Path(request).read_bytes()
    asked = issuing.read_request(data, request)
    usage = _usage(usage, asked.alternatives)
    issuer = _issuer(ca, ca_key, ca_password_file)
    certificate, note = issuing.new_leaf(
        asked.subject, asked.public_key, asked.alternatives, usage, days, issuer
    )
    chain = _chain(certificate, issuer, with_root, ca)
    output = files.certificate_output(path, chain)
    files.write([output])
    entry = Entry.of(chain[0], request)
    say_facts(
        ("subject", entry.subject),
        ("names", ", ".join(map(issuing.alternative_text, asked.alternatives)) or "none"),
        ("key", entry.key),
        ("for", usage if usage != "both" else "client and server"),
    )
    if asked.left:
        shown.say_note(f"asked for, but not in the certificate: {', '.join(asked.left)}")
    shown.say_note(note)
    shown.say_usage(usage, asked.alternatives)
    shown.say_files([output], chain[0], None)


def import_(file, name, with_root, store, iterations, force, source_password_file, plain, password_file):
    material = files.read(file, lambda what: passwords.read(passwords.SOURCE, source_password_file, what))
    source = ", ".join(file)
    chain, private, note = files.chain(material, source)
    issuing.check_public_key(private.public_key(), source)
    entry = Entry.of(chain[0], source)
    label = name or material.name or entry.title
    identity_store.check_label(label)
    held = identity_store.read_or_new(store)
    identity_store.check_free(held, label, force)
    if not with_root:
        chain = files.without_root(chain)
    password = _new_password(plain, password_file, f"the key of {label}")
    stored = Stored(label, chain, files.sealed(private, password, iterations))
    files.write([identity_store.with_one(held, stored)])
    shown.say_note(note)
    if entry.certificate.not_after < issuing.now().timestamp():
        shown.say_note(f"{entry.title} expired {moment(entry.certificate.not_after)}")
    shown.say_identity(held, stored, password, iterations)


def export(label, out, as_pkcs12, store, force, plain, password_file, new_password_file):
    path = files.stem(out)
    files.check_free(path, (".p12",) if as_pkcs12 else (".crt", ".key"), force)
    held = identity_store.read(store)
    identity = identity_store.select(held, label)
    private, password, what = _open(held, identity, password_file)
    if plain:
        password = None
    elif password is None or passwords.is_given(passwords.NEW, new_password_file):
        password = passwords.read(passwords.NEW, new_password_file, what, confirm=True)
    chain = list(map(bytes, identity.stored.chain))
    if as_pkcs12:
        outputs = [files.pkcs12_output(path, identity.label, private, password, chain)]
    else:
        outputs = files.pair(path, private, password, chain)
    files.write(outputs)
    shown.say_files(outputs, chain[0], password)


def list_(store, as_json):
    held = identity_store.read(store)
    if as_json:
        say_json({"store": held.path, "identities": [each.facts() for each in held.identities]})
        return
    rows = []
    for identity in held.identities:
        entry = identity.entry
        until = moment(entry.certificate.not_after)[:10]
        how = "encrypted" if identity.stored.encrypted else "plain"
        rows.append((identity.title, until, entry.key, how, entry.ski.hex(), entry.subject))
    say_table(("label", "until", "key", "private key", "SKI", "subject"), rows)
    say(f"{count(len(held.identities), 'identity', 'identities')} in {held.path}")


def remove(label, store):
    held = identity_store.read(store)
    identity = identity_store.select(held, label)
    files.write([identity_store.without(held, identity)])
    say(f'{held.path}: removed identity "{identity.title}"; copies of the file still have it')


def password(label, store, iterations, plain, password_file, new_password_file):
    held = identity_store.read(store)
    identity = identity_store.select(held, label)
    private, _, what = _open(held, identity, password_file)
    fresh = _new_password(plain, new_password_file, what, passwords.NEW)
    stored = Stored(identity.label, identity.stored.chain, files.sealed(private, fresh, iterations))
    files.write([identity_store.with_one(held, stored)])
    shown.say_note("copies of the file still open as before")
    shown.say_identity(held, stored, fresh, iterations)


def _open(held, identity, path):
    # (private key, its password, what to call it); the password is None if it is stored plain.
    what = f"the key of {identity.title} in {held.path}"
    password = passwords.read(passwords.OWN, path, what) if identity.stored.encrypted else None
    return files.unsealed(bytes(identity.stored.key), password, what), password, what


def _issuer(ca, ca_key, password_file):
    # The Authority of --ca and --ca-key; None without them.
    if ca is None:
        if ca_key is not None:
            raise CommandError("--ca-key without --ca: expected the CA's certificate too")
        return None
    beside = pathlib.Path(ca).with_suffix(".key")
    paths = [ca] + ([ca_key or str(beside)] if ca_key or beside.exists() else [])
    material = files.read(paths, lambda what: passwords.read(passwords.CA, password_file, what))
    if not material.keys:
        raise CommandError(f"{ca}: found no private key; expected the CA's: --ca-key FILE")
    chain, private, _ = files.chain(material, " and ".join(dict.fromkeys(paths)))
    return issuing.authority(private, chain, ca)


def _chain(certificate, issuer, with_root=False, ca=None):
    # [DER], the new certificate first; a CA's file may end with its root.
    chain = [files.der(each) for each in (certificate, *(issuer.chain if issuer else ()))]
    short = files.without_root(chain)
    if with_root and len(chain) > 1 and len(short) == len(chain):
        raise CommandError(f"{ca}: --with-root, but the root is not in it; add its certificate at the end")
    return chain if with_root else short


def _usage(usage, alternatives):
    return usage or ("both" if alternatives else "client")


def _new_password(plain, path, what, role=passwords.OWN):
    # None if the key is to stay plain.
    if not plain:
        return passwords.read(role, path, what, confirm=True)
    if path is not None:
        raise CommandError(f"--plain and {role.option}: expected one of them")
    return None


_LABEL = click.argument("label", metavar="LABEL|SUBJECT|SKI")
_OUT_PAIR = "Write NAME.crt, the chain, and NAME.key"

COMMANDS = (
    Command(
        "identity",
        "new-ca",
        new_ca,
        "Make a CA of your own: a certificate, and the key that signs with it.",
        (
            shown.name("What the CA is called: CN=NAME."),
            shown.KEY,
            shown.DAYS,
            click.option(
                "--path-length", type=click.IntRange(0, 9), metavar="N", help="CAs that may follow below it."
            ),
            *shown.CA,
            click.option(
                "--out", metavar="NAME", default="ca", help="Write NAME.crt and NAME.key.", show_default=True
            ),
            shown.FORCE,
            shown.PLAIN,
            shown.PASSWORD,
        ),
    ),
    Command(
        "identity",
        "new",
        new,
        "Make an identity, signed by --ca or by itself, and put it into a store.",
        (
            shown.name("Its label in the store, and its CN."),
            shown.SUBJECT,
            *shown.CA,
            shown.USAGE,
            shown.HOST,
            shown.KEY,
            shown.DAYS,
            shown.WITH_ROOT,
            shown.STORE,
            shown.ITERATIONS,
            shown.out(f"{_OUT_PAIR}; into a store too only with --store."),
            shown.FORCE,
            shown.PLAIN,
            shown.PASSWORD,
        ),
    ),
    Command(
        "identity",
        "csr",
        csr,
        "Make a key and a request for a certificate, which a CA elsewhere signs.",
        (
            shown.name("Its CN."),
            shown.SUBJECT,
            shown.HOST,
            shown.KEY,
            shown.out("Write NAME.csr, and NAME.key.", required=True),
            shown.FORCE,
            shown.PLAIN,
            shown.PASSWORD,
        ),
    ),
    Command(
        "identity",
        "sign",
        sign,
        "Sign a request. Of it only subject, public key and subjectAltName are taken.",
        (
            click.argument("request", metavar="FILE.csr"),
            *shown.REQUIRED_CA,
            shown.USAGE,
            shown.DAYS,
            shown.WITH_ROOT,
            shown.out("Write NAME.crt; else beside the request."),
            shown.FORCE,
        ),
    ),
    Command(
        "identity",
        "import",
        import_,
        "Put a certificate chain and its key into a store, from PEM, DER or PKCS#12.",
        (
            click.argument("file", metavar="FILE...", nargs=-1, required=True),
            click.option("--name", metavar="NAME", help="Its label; else the name in PKCS#12, else its CN."),
            shown.WITH_ROOT,
            shown.STORE,
            shown.ITERATIONS,
            shown.FORCE,
            shown.SOURCE_PASSWORD,
            shown.PLAIN,
            shown.PASSWORD,
        ),
    ),
    Command(
        "identity",
        "export",
        export,
        "Write an identity to files: chain and key in PEM, or PKCS#12.",
        (
            _LABEL,
            shown.out(f"{_OUT_PAIR}, or NAME.p12.", required=True),
            click.option("--pkcs12", "as_pkcs12", is_flag=True, help="Write PKCS#12."),
            shown.STORE,
            shown.FORCE,
            shown.PLAIN,
            shown.PASSWORD,
            shown.EXPORT_PASSWORD,
        ),
    ),
    Command("identity", "list", list_, "List the identities of a store.", (shown.STORE, JSON)),
    Command("identity", "remove", remove, "Remove an identity from a store.", (_LABEL, shown.STORE)),
    Command(
        "identity",
        "password",
        password,
        "Change the password of an identity's key.",
        (
            _LABEL,
            shown.STORE,
            shown.ITERATIONS,
            shown.PLAIN,
            shown.PASSWORD,
            shown.NEW_PASSWORD,
        ),
    ),
)
