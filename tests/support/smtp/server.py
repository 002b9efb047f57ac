#!/usr/bin/python3
"""A mail server that works (Debian's python3-aiosmtpd): keeps each mail as FOLDER/N.eml, and what was said about it
as FOLDER/N.txt (key=value lines).

Some receivers are special:  refused@      550 at RCPT TO, always
                             greylisted@   451 the first time it is tried, then accepted
                             quoting@      550 after DATA, with the link of the mail in the answer
"""
import argparse
import asyncio
import os
import ssl
import subprocess

from aiosmtpd.smtp import SMTP, AuthResult

arguments = argparse.ArgumentParser()
arguments.add_argument("--folder", required=True)
arguments.add_argument("--tls", choices=["starttls", "smtps"])
arguments.add_argument("--login", help="USER:PASSWORD, required before a mail is taken")
arguments.add_argument("--no-utf8", action="store_true")
arguments.add_argument("--pause", type=float, default=0, help="seconds before a mail is accepted")
given = arguments.parse_args()

count = 0
seen = set()


class Handler:
    async def handle_EHLO(self, server, session, envelope, hostname, responses):
        session.host_name = hostname
        print("hello", flush=True)
        return responses

    async def handle_NOOP(self, server, session, envelope, arg):
        print("noop", flush=True)
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("refused@"):
            return f"550 5.1.1 <{address}>: no such user here"
        if address.startswith("greylisted@") and address not in seen:
            seen.add(address)
            print("greylisted", flush=True)
            return "451 4.7.1 come back later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        global count
        if any(address.startswith("quoting@") for address in envelope.rcpt_tos):
            text = envelope.original_content.decode()
            link = next(word for word in text.split() if "token=" in word)
            return f"550 5.7.1 we take no mail with {link} in it, nor {link.split('token=')[1]}"
        if given.pause:
            await asyncio.sleep(given.pause)
        count += 1
        about = {
            "from": envelope.mail_from,
            "to": ",".join(envelope.rcpt_tos),
            "options": " ".join(envelope.mail_options),
            "name": session.host_name,
            "tls": "yes" if session.ssl else "no",
            "login": (session.auth_data or b"").decode(),
            "connection": session.peer[1],
        }
        base = os.path.join(given.folder, str(count))
        with open(base + ".txt.new", "w") as file:
            file.writelines(f"{key}={value}\n" for key, value in about.items())
        os.rename(base + ".txt.new", base + ".txt")
        with open(base + ".eml.new", "wb") as file:
            file.write(envelope.original_content)
        os.rename(base + ".eml.new", base + ".eml")
        return "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    ours = tuple(text.encode() for text in given.login.split(":", 1))
    if (data.login, data.password) != ours:
        print("login refused", flush=True)
        return AuthResult(success=False, handled=False)
    return AuthResult(success=True, auth_data=data.login)


def tls_context():
    key, certificate = (os.path.join(given.folder, name) for name in ("key.pem", "certificate.pem"))
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
        check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


async def main():
    context = tls_context() if given.tls else None
    options = {"enable_SMTPUTF8": not given.no_utf8}
    if given.tls == "starttls":
        options.update(tls_context=context)
    if given.login:
        options.update(authenticator=authenticate, auth_required=True, auth_require_tls=False)
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(Handler(), **options), "127.0.0.1", 0, ssl=context if given.tls == "smtps" else None)
    print("listening", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
