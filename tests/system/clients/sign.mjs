// Reads {alg, kid, private (PKCS#8 or the secret, base64), other (a second key's), claims} and writes a JSON list of
// {name, token, good}: what jose signs with our key, and what somebody who knows jose would try.
import {
  CompactEncrypt, CompactSign, SignJWT, UnsecuredJWT, exportJWK, importPKCS8, importSPKI,
} from "jose";
import { createPublicKey } from "node:crypto";
import { text } from "node:stream/consumers";

const asked = JSON.parse(await text(process.stdin));
const { alg, kid, claims } = asked;
const is_public = alg !== "HS256";
const pem = (base64) => `-----BEGIN PRIVATE KEY-----\n${base64}\n-----END PRIVATE KEY-----\n`;
const key_of = (base64, as = alg) =>
  is_public ? importPKCS8(pem(base64), as, { extractable: true }) : Buffer.from(base64, "base64");

const ours = await key_of(asked.private);
const theirs = await key_of(asked.other);
const header = { alg, kid, typ: "at+jwt" };
const signed = (more = {}, what = claims, key = ours) =>
  new SignJWT(what).setProtectedHeader({ ...header, ...more }).sign(key);
const without = (...names) => Object.fromEntries(Object.entries(claims).filter(([one]) => !names.includes(one)));
const spki_of = (base64) => createPublicKey(pem(base64)).export({ type: "spki", format: "pem" });

const tokens = [];
const add = async (name, token, good = false) => tokens.push({ name, token: await token, good });

await add("as we sign", signed(), true);
await add("header in another order",
  new SignJWT(claims).setProtectedHeader({ typ: "at+jwt", kid, alg }).sign(ours), true);
await add("an actor", signed({}, { ...claims, act: { sub: claims.sub } }), true);
await add("no tenant", signed({}, without("tid", "role")), true);

await add("another key", signed({}, claims, theirs));
const jwk = is_public ? await exportJWK(await importSPKI(spki_of(asked.other), alg)) : { kty: "oct", k: "AAAA" };
await add("another key, embedded", signed({ jwk }, claims, theirs));
await add("a key at an address", signed({ jku: "https://evil.example/jwks.json" }, claims, theirs));
await add("another kid", signed({ kid: "nobody" }));
await add("no kid", new SignJWT(claims).setProtectedHeader({ alg, typ: "at+jwt" }).sign(ours));
await add("typ JWT", signed({ typ: "JWT" }));
await add("no typ", new SignJWT(claims).setProtectedHeader({ alg, kid }).sign(ours));
await add("unencoded payload", new CompactSign(new TextEncoder().encode(JSON.stringify(claims)))
  .setProtectedHeader({ ...header, b64: true, crit: ["b64"] }).sign(ours));
await add("expired", signed({}, { ...claims, iat: claims.iat - 3600, exp: claims.iat - 1 }));
await add("not yet", signed({}, { ...claims, nbf: claims.exp - 1 }));
await add("another issuer", signed({}, { ...claims, iss: "https://evil.example" }));
await add("another audience", signed({}, { ...claims, aud: "other" }));
await add("a list of audiences", signed({}, { ...claims, aud: [claims.aud] }));
await add("a higher role in words", signed({}, { ...claims, role: "root" }));
for (const name of ["iss", "aud", "sub", "sid", "sver", "jti", "iat", "exp"]) {
  await add(`without ${name}`, signed({}, without(name)));
}
await add("unsecured", new UnsecuredJWT(claims).encode());
await add("not claims", new CompactSign(new TextEncoder().encode("[]")).setProtectedHeader(header).sign(ours));

if (is_public) {
  const as_secret = new TextEncoder().encode(spki_of(asked.private));
  await add("HS256 with our public key",
    new SignJWT(claims).setProtectedHeader({ ...header, alg: "HS256" }).sign(as_secret));
}
if (alg === "RS256") {
  for (const other of ["PS256", "RS384", "RS512"]) {
    await add(`${other} with our key`,
      new SignJWT(claims).setProtectedHeader({ ...header, alg: other }).sign(await key_of(asked.private, other)));
  }
  await add("encrypted to our key", new CompactEncrypt(new TextEncoder().encode(JSON.stringify(claims)))
    .setProtectedHeader({ alg: "RSA-OAEP-256", enc: "A256GCM", kid, typ: "at+jwt" })
    .encrypt(await importSPKI(spki_of(asked.private), "RSA-OAEP-256")));
}
if (alg === "HS256") {
  for (const other of ["HS384", "HS512"]) {
    await add(`${other} with our secret`, new SignJWT(claims).setProtectedHeader({ ...header, alg: other })
      .sign(Buffer.concat([ours, ours])));
  }
}
console.log(JSON.stringify(tokens));
